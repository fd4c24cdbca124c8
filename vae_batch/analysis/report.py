"""The report of a training: PNGs, and one page that holds them all."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from vae_batch.analysis.curves import draw_curves
from vae_batch.analysis.latent_pictures import (
    F32,
    U8,
    Decode,
    draw_kl,
    draw_prior,
    draw_reconstructions,
    draw_traversals,
    kl_by_dimension,
)
from vae_batch.latents.moments import ACTIVE_THRESHOLD

RECONSTRUCTED, TRAVERSED = 24, 12


@dataclass(frozen=True, slots=True)
class Seen:
    """Some images, and what the model makes of them."""

    kind: str
    """Whether it was trained on them: "held-out" or "training"."""
    images: U8
    """(N, H, W, 3)."""
    mean: F32
    """(N, D), of the posteriors, latents flat."""
    variance: F32
    """(N, D)."""
    decode: Decode


def write_report(
    folder: Path, title: str, facts: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], seen: Seen
) -> Path:
    """Draw everything into a folder.

    Args:
        folder: made where missing; gets five PNGs and report.html.
        title: of the page.
        facts: what the page says of the training, by name.
        metrics: the lines of metrics.jsonl.
        seen: images, held out where there are such.

    Returns:
        The page, which needs no other file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "report.html"
    pictures = [
        {"name": name, "title": heading, "text": text, "data": base64.b64encode((folder / name).read_bytes()).decode()}
        for name, heading, text in _draw(folder, metrics, seen)
    ]
    page.write_text(_template().render(title=title, facts=facts, pictures=pictures), encoding="utf-8")
    return page


def _draw(folder: Path, metrics: Sequence[Mapping[str, Any]], seen: Seen) -> list[tuple[str, str, str]]:
    """Draw the pictures; gives name, heading and what there is to see."""
    kl_D, active = kl_by_dimension(seen.mean, seen.variance), seen.mean.var(0) >= ACTIVE_THRESHOLD
    dims = len(kl_D)
    top = [int(d) for d in np.argsort(-kl_D, kind="stable")[:TRAVERSED] if active[d]] or [0]
    validation = [line for line in metrics if line.get("split") == "validation"]
    draw_curves(folder / "curves.png", [line for line in metrics if line not in validation], validation)
    shown = slice(RECONSTRUCTED)
    draw_reconstructions(folder / "reconstructions.png", seen.images[shown], seen.decode(seen.mean[shown]))
    draw_traversals(folder / "traversals.png", seen.decode, dims, {d: f"dim {d}\n{kl_D[d]:.1f} nats" for d in top})
    draw_kl(folder / "kl.png", kl_D)
    draw_prior(folder / "prior.png", seen.decode, dims)
    count = f"{len(seen.mean):,} {seen.kind} images"
    return [
        ("curves.png", "Curves", "Rate and distortion add up to the negative ELBO."),
        ("reconstructions.png", "Reconstructions", f"Some {seen.kind} images, and below each what its posterior's mean "
         "decodes to."),
        ("traversals.png", "Traversals", f"The {len(top)} active dimensions of largest KL, of {active.sum()} active in "
         f"{dims}: each goes from -3 to 3 standard deviations of the prior, the others stay at 0."),
        ("kl.png", "KL by dimension", f"Means over {count}. What a dimension says of an image, at most; near 0 it is "
         "the prior."),
        ("prior.png", "Samples of the prior", "Decoded from draws of N(0, I): images that nobody took."),
    ]  # fmt: skip


def _template() -> Any:
    import jinja2

    text = (files("vae_batch.analysis") / "report.html.j2").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)
