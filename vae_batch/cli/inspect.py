"""`vae-batch inspect`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from vae_batch.cli.options import TRUST_MODEL_CODE

if TYPE_CHECKING:
    from vae_batch.models import ModelCard
    from vae_batch.models.timing import Timing

SHOWN = 8
"""So many numbers of a list are printed."""


@click.command()
@click.argument("model")
@click.option("--image-size", type=click.IntRange(8, 4096), help="Pixels a side.  [default: the model's own, else 64]")
@click.option("--batch-size", type=click.IntRange(1), help="Of the timing.  [default: as encode takes]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@TRUST_MODEL_CODE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    model: str, image_size: int | None, batch_size: int | None, device: str, trust_model_code: bool, as_json: bool
) -> None:
    """Say what MODEL is, and how fast it encodes and decodes on this device.

    MODEL is what `encode --model` takes. The timing is of the network alone, in float32: a CPU computes with one
    thread, as a replica does; reading and decoding images comes on top, see `vae-batch plan`.

    \b
    Example:
      vae-batch inspect model/
    """
    import json
    from dataclasses import asdict

    card, timing = inspect(model, image_size, batch_size, device, trust_model_code)
    if as_json:
        click.echo(json.dumps({**card.to_dict(), "timing": asdict(timing)}))
    else:
        click.echo("\n".join(f"{name:11} {text}" for name, text in [*describe(card), *speeds(timing)]))


def inspect(
    ref: str, image_size: int | None, batch_size: int | None, device: str, trust_model_code: bool
) -> tuple[ModelCard, Timing]:
    """Load a model and time it. Raises ModelError, SpecError."""
    from vae_batch.errors import SpecError
    from vae_batch.models import load_model
    from vae_batch.models.timing import time_model
    from vae_batch.training.device import choose_device
    from vae_batch.work.job import DEFAULT_IMAGE_SIZE
    from vae_batch.work.loaded import default_batch

    chosen = choose_device(device).type
    model = load_model(ref, image_size, trust_model_code)
    card = model.card
    size = image_size or card.image_size or DEFAULT_IMAGE_SIZE
    batch = card.nearest_batch(batch_size or default_batch(chosen, size))
    if batch_size not in (None, batch):
        raise SpecError(f"batch_size={batch_size}: {ref} does not take it; the nearest that it takes is {batch}")
    return card, time_model(model, chosen, batch, size)


def describe(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Write a card for a person: names and what they say."""
    size = f"{card.image_size}×{card.image_size}" if card.image_size else "any size"
    latent = "×".join(map(str, card.latent_shape))
    yield "family", card.family
    yield "digest", card.digest
    yield "parameters", f"{card.parameters:,}"
    yield "images", f"{size}, {'gray' if card.in_channels == 1 else 'RGB'}"
    yield "latent", f"{latent}, {'deterministic: no variance' if card.deterministic else 'mean and variance'}"
    if not card.decodes:
        yield "decoder", "none: it encodes only"
    if card.batch_sizes:
        low, high = card.batch_sizes
        yield "batches", f"of {low} images only" if low == high else f"of {low} to {high or 'any number of'} images"
    yield "transform", _line(card.transform) if card.transform else "not known: center, cover, exact unless told"
    if card.force_upcast:
        yield "precision", "fp32 where fp16 is asked for, which its activations do not fit (force_upcast)"
    facts = {**(card.scaling or {}), **card.extra}
    for name, value in facts.items():
        if value is not None:
            yield name, _line(value)


def speeds(timing: Timing) -> Iterator[tuple[str, str]]:
    """Write a timing for a person."""
    where = f"a batch of {timing.batch_size} at {timing.image_size}×{timing.image_size}, {timing.precision}"
    where += f" on {timing.device}{', one thread' if timing.device == 'cpu' else ''}"
    yield "encode", f"{timing.encode_images_per_second:,.0f} images/s, {timing.encode_ms:,.1f} ms {where}"
    if timing.decode_ms is not None:
        yield "decode", f"{timing.decode_images_per_second:,.0f} images/s, {timing.decode_ms:,.1f} ms {where}"


def _line(value: Any) -> str:
    """Write a JSON value in one line, long lists shortened."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_line(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        more = f" … ({len(value):,})" if len(value) > SHOWN else ""
        return " ".join(_line(item) for item in value[:SHOWN]) + more
    return f"{value:.6g}" if isinstance(value, float) else str(value)
