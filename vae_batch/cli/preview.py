"""`vae-batch preview`."""

from __future__ import annotations

import click

from vae_batch.cli.options import DATA_SET


@click.command()
@click.argument("out", type=DATA_SET)
@click.option("--rows", type=click.IntRange(1), help="Of the sheet.  [default: 8, and all of a grid]")
@click.option("--columns", type=click.IntRange(1), help="Of the sheet.  [default: 8, or what belongs together]")
@click.option("--out", "file", default="preview.png", show_default=True, metavar="FILE.png", help="The contact sheet.")
def command(out: str, rows: int | None, columns: int | None, file: str) -> None:
    """Show the first images of OUT, a generated data set, on a contact sheet with captions.

    Under each is its number, and where the data set says so what it was made from. OUT may be half done.

    \b
    Example:
      vae-batch preview synthetic/ --out sheet.png
    """
    from vae_batch.analysis.preview import preview

    count = preview(out, file, rows, columns)
    click.echo(f"{count:,} images: {file}", err=True)
