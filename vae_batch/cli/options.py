"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from vae_batch import storage


class _DataSet(click.Path):
    """The folder of a data set: one that is here, or a URI."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if storage.is_remote(value):
            return value
        return super().convert(value, param, ctx)


DATA_SET = _DataSet(exists=True, file_okay=False)

TRUST_MODEL_CODE = click.option(
    "--trust-model-code", is_flag=True, help="Allow a model whose file can run code: an exported program (.pt2)."
)

_IMAGES = [
    click.option("--image-column", help="Parquet, Arrow, listings: the column of images or paths.  [default: found]"),
    click.option("--id-column", help="Parquet, Arrow, listings: the column of ids.  [default: file#row, or the path]"),
    click.option(
        "--labels", multiple=True, metavar="FILE",
        help="Labels by image: CSV, Parquet, JSON Lines, CelebA's files, or a folder of them. May be given again.",
    ),
    click.option(
        "--split", type=click.Choice(["train", "validation", "valid", "test"]), help="Only this part of the images."
    ),
    click.option("--exclude", metavar="FILE", help="Ids or sha256, one a line: images that are left out."),
    click.option(
        "--crop", metavar="CROP",
        help="none, center, center:N, WxH+X+Y, landmarks or box.  [default: the model's own, else center]",
    ),
    click.option(
        "--fit", type=click.Choice(["cover", "contain", "stretch"]),
        help="How what was cut becomes a square.  [default: the model's own, else cover]",
    ),
    click.option(
        "--decode", type=click.Choice(["exact", "fast"]),
        help="fast: JPEGs at a reduced size where they shrink by two or more.  [default: the model's own, else exact]",
    ),
]  # fmt: skip


def images_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which images, their labels, and how they are cut."""
    for option in reversed(_IMAGES):
        function = option(function)
    return function
