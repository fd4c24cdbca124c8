"""The report of a finished training: what `training` left, drawn by `analysis`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vae_batch import storage
from vae_batch.analysis.report import Seen, write_report
from vae_batch.images.cache import ImageCache
from vae_batch.models import ModelCard, load_model
from vae_batch.models.arrays import decode_pixels, encode_pixels
from vae_batch.specs import TrainSpec
from vae_batch.training.draws import held_out
from vae_batch.training.metrics import METRICS

FOLDER = "report"
IMAGES = 512
"""Images that are encoded for it."""


def leave_report(spec: TrainSpec, images: ImageCache) -> str:
    """Write the report of a model into its folder; gives the page's path or URI.

    Args:
        spec: of the training.
        images: what it was trained and validated on.
    """
    out = storage.join(storage.local(spec.out), FOLDER)
    model = load_model(spec.out)
    kind, chosen = _choose(images.ids, spec.validation)
    pixels = np.ascontiguousarray(images.images.numpy()[chosen])
    seen = Seen(kind, pixels, *encode_pixels(model, pixels), partial(decode_pixels, model))
    lines = [json.loads(line) for line in storage.read_bytes(storage.join(spec.out, METRICS)).splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        page = write_report(Path(folder), *_about(model.card), lines, seen)
        storage.make_folder(out)
        for file in sorted(Path(folder).iterdir()):
            storage.write_bytes(storage.join(out, file.name), file.read_bytes(), out)
    return storage.join(out, page.name)


def _choose(ids: Sequence[str], share: float) -> tuple[str, npt.NDArray[np.int64]]:
    """Give some of the held-out images, or of all where there are none, from all over the collection; in order."""
    held = np.flatnonzero(held_out(ids, share).numpy())
    kind, some = ("held-out", held) if len(held) else ("training", np.arange(len(ids)))
    return kind, some[np.linspace(0, len(some) - 1, min(IMAGES, len(some))).round().astype(np.int64)]


def _about(card: ModelCard) -> tuple[str, Mapping[str, Any]]:
    """Give the page's title and what it says of the training."""
    training, latent = card.extra["training"], "×".join(map(str, card.latent_shape))
    last, found = training["last"], training["validation"] or {}
    facts = {
        "source": training["source"],
        "images": f"{training['images']:,}, of them {training['held_out']:,} held out; {training['rejected']:,} "
        "rejected",
        "trained": f"{last['step']:,} steps of {training['batch_size']} in {last['seconds']:,.0f} s on "
        f"{training['hardware']}, seed {training['seed']}",
        "parameters": f"{card.parameters:,}",
        "training": f"ELBO {last['elbo']:,.1f} = -(distortion {last['distortion']:,.1f} + rate {last['rate']:.2f}) "
        "nats per image",
    }  # fmt: skip
    if found:
        facts["held out"] = (
            f"ELBO {found['elbo']:,.1f} = -(distortion {found['distortion']:,.1f} + rate {found['rate']:.2f}) nats per "
            f"image; PSNR {found['psnr']:.2f} dB, SSIM {found['ssim']:.4f}; {found['active_units']} of "
            f"{len(found['kl'])} dimensions active"
        )
    return f"{card.family} VAE, {card.image_size}×{card.image_size} pixels to {latent} numbers", facts
