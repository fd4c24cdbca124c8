"""`vae-batch draw-faces`: a data set of faces whose attributes are known."""

from __future__ import annotations

import re
import shlex
from typing import Literal

import click

from vae_batch.cli.bar import Bar


def _width_height(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT in pixels, such as 178x218")
    return int(match[1]), int(match[2])


@click.command("draw-faces")
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--count", type=click.IntRange(min=1), required=True, help="How many faces.")
@click.option(
    "--format",
    type=click.Choice(["tar", "folder"]),
    default="tar",
    show_default=True,
    help="Tar shards (WebDataset convention) or subfolders.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Faces in a tar or subfolder.",
)
@click.option(
    "--size",
    metavar="WxH",
    callback=_width_height,
    default="178x218",
    show_default=True,
    help="Width and height in pixels.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other faces.")
@click.option("--still", is_flag=True, help="One setting for all: nothing but the attributes varies.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one a core]")
def command(
    out: str,
    count: int,
    format: Literal["tar", "folder"],
    shard_size: int,
    size: tuple[int, int],
    seed: int,
    still: bool,
    workers: int | None,
) -> None:
    """Draw a data set of faces whose attributes are known.

    Each picture has a JSON sidecar with smile, skin_tone, glasses, beard, hair_colour and hair_length, from
    0 to 1; position, scale, background and light vary besides. A face depends on the seed and its number
    alone.

    \b
    Example:
      vae-batch draw-faces faces --count 4000
    """
    from vae_batch.errors import InterruptedJobError
    from vae_batch.faces import write_faces

    try:
        with Bar() as bar:
            drawn = write_faces(
                out,
                count,
                format=format,
                shard_size=shard_size,
                size=size,
                seed=seed,
                still=still,
                workers=workers,
                on_progress=lambda done: bar.show(f"drew {done:,} of {count:,} faces", done, count),
            )
    except KeyboardInterrupt:
        raise InterruptedJobError(f"stopped; {out} is left empty: run the same command to draw again") from None
    kind = "tars" if format == "tar" else "folders"
    rate = drawn.faces / drawn.seconds
    click.echo(
        f"{drawn.faces:,} faces in {drawn.shards:,} {kind}, {drawn.bytes / 1e6:,.1f} MB, "
        f"{drawn.seconds:.1f} s ({rate:,.0f} faces/s). Next: vae-batch train {shlex.quote(out)} --out MODEL"
    )
