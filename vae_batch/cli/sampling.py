"""Options of `vae-batch generate` that say where latents come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_SAMPLERS = {
    "prior": "N(0, I)",
    "fitted": "a density fitted to encoded posteriors",
    "posterior": "draws around encoded images",
    "reconstruct": "their means",
    "given": "your own latents",
    "interpolate": "ways from one encoded image to another",
    "traverse": "one dimension after the other over a range",
    "grid": "two dimensions over the prior",
    "edit": "an attribute added to encoded images",
}

_SAMPLING = [
    click.option(
        "--sampler", type=click.Choice(list(_SAMPLERS)), default="prior", show_default=True,
        help=" ".join(f"{name}: {what}." for name, what in _SAMPLERS.items()),
    ),
    click.option(
        "--latents", metavar="ENCODED", help="Encoded data set of the same model; given: Parquet, a folder of it."
    ),
    click.option(
        "--where", metavar="SQL",
        help="Only the rows of ENCODED for which it is true: 'Smiling AND NOT Male'. edit: only these are edited, the "
        "attribute is learnt from all.",
    ),
    click.option("--components", type=int, default=1, show_default=True, help="fitted: Gaussians."),
    click.option(
        "--fit", metavar="FILE",
        help="fitted, edit: what an earlier job worked out (OUT/.vae_batch/fit-*), not --latents, not --attribute.",
    ),
    click.option("--draws", type=int, default=1, show_default=True, help="posterior: for each encoded image."),
    click.option("--latent-column", default="latent", show_default=True, help="given: lists of floats."),
    click.option(
        "--temperature", type=float, default=1.0, show_default=True, help="prior, fitted: factor of the spread."
    ),
    click.option(
        "--truncation", type=float, metavar="T", help="prior: draw numbers beyond T standard deviations anew."
    ),
    click.option(
        "--pairs", metavar="FILE.csv",
        help="interpolate: columns source_id and target_id.  [default: pairs by the seed, as many as --count asks for]",
    ),
    click.option(
        "--across", metavar="LABEL|SQL", help="interpolate: pairs by the seed, from without to with this."
    ),
    click.option(
        "--path", type=click.Choice(["lerp", "slerp"]), default="lerp", show_default=True,
        help="interpolate: a straight line, or an arc around 0.",
    ),
    click.option(
        "--steps", type=int, default=7, show_default=True,
        help="interpolate: images of a pair, its ends included; traverse: of a dimension; grid: a side.",
    ),
    click.option(
        "--around", metavar="ID",
        help="traverse, grid: the encoded image that all else is of.  [default: the mean of those encoded; without "
        "--latents 0]",
    ),
    click.option(
        "--dimensions", metavar="I,J,...",
        help="traverse: from 0.  [default: the active ones, by falling KL]  grid: two.  [default: 0,1 of two]",
    ),
    click.option(
        "--reach", type=float, default=3.0, show_default=True,
        help="traverse: from -REACH to REACH, standard deviations of the prior.",
    ),
    click.option(
        "--attribute", metavar="LABEL|SQL",
        help="edit: a column of ENCODED (numbers are split at their median), or a condition. What is added is the mean "
        "of the posterior means with it less that without it.",
    ),
    click.option(
        "--balance", metavar="LABEL,...", default="", help="edit: columns whose own effect is taken out of that."
    ),
    click.option(
        "--strength", metavar="X,...", default="1", show_default=True,
        help="edit: how many times it is added; --strength=-1,0,1,2 makes four images of each.",
    ),
]  # fmt: skip


def sampling_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of all samplers."""
    for option in reversed(_SAMPLING):
        function = option(function)
    return function
