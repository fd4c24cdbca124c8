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

MODEL = click.option(
    "--model", required=True,
    help="A folder that train or diffusers wrote, owner/name on the hub, module:callable?key=value, .pt2 or "
    "family:argument.",
)  # fmt: skip

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


_WORK = [
    TRUST_MODEL_CODE,
    click.option(
        "--batch-size", type=int, help="Images per pass.  [default: 64 on CPU, 256 on GPU; fewer above 128 pixels]"
    ),
    click.option(
        "--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True,
        help="What the network computes in; output stays float32.",
    ),
    click.option("--image-size", type=int, help="Pixels a side.  [default: the model's own]"),
    click.option("--replicas", default="auto", show_default=True, metavar="N|auto", help="Copies of the model."),
    click.option("--gpus-per-replica", type=float, help="[default: 1 on a cluster with GPUs, else 0]"),
    click.option("--cpus-per-replica", type=int, help="Cores reserved, and threads for pictures."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of the draws."),
    click.option(
        "--unit-size", type=int,
        help="Images per unit and part, about.  [default: a 64th of all, 256 to 8,192]",
    ),
    click.option("--units", metavar="A:B", help="Only these units of the plan, now."),
    click.option("--address", help="Ray cluster.  [default: RAY_ADDRESS, else a private one]"),
    click.option(
        "--max-reject-rate", type=float, default=0.01, show_default=True,
        help="Above this share of rejects the job ends with exit code 3.",
    ),
]  # fmt: skip


def work_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every job whose units replicas make, but for the model and OUT."""
    for option in reversed(_WORK):
        function = option(function)
    return function


def replicas_of(values: dict[str, Any]) -> dict[str, Any]:
    """Make a number of what was given for --replicas, where it is one."""
    given = values.get("replicas")
    return {**values, "replicas": int(given)} if isinstance(given, str) and given.isdigit() else values


def images_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which images, their labels, and how they are cut."""
    for option in reversed(_IMAGES):
        function = option(function)
    return function
