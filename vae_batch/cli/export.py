"""`vae-batch export`."""

from __future__ import annotations

from functools import partial

import click

from vae_batch.cli.options import DATA_SET


@click.command()
@click.argument("data_set", metavar="OUT", type=DATA_SET)
@click.option(
    "--to", type=click.Choice(["hf", "npy", "webdataset"]), required=True,
    help="hf: Parquet and a card for the Hugging Face hub. npy: numpy arrays, to be mapped. webdataset: tars.",
)  # fmt: skip
@click.option(
    "--out", "folder", required=True, metavar="DIR", help="New, or the same to go on: a folder here, or a URI."
)
@click.option(
    "--shard-rows", type=click.IntRange(1), metavar="N", help="hf, webdataset: rows of a file.  [default: as OUT's]"
)
@click.option("--partial", "unfinished", is_flag=True, help="Export what there is of a data set that is not finished.")
def command(data_set: str, to: str, folder: str, shard_rows: int | None, unfinished: bool) -> None:
    """Write OUT, an encoded or a generated data set, in another format.

    Stopped at any moment, the same command goes on; equal data sets give equal files.

    \b
    hf:         data/train-*.parquet and README.md; datasets.load_dataset(DIR) shows pictures and latents
    npy:        mean, variance, sample or latent, images and ids, each a .npy; rows.parquet has all else
    webdataset: for each row KEY.json, KEY.mean.npy and so on, and KEY.png of generated images

    \b
    Example:
      vae-batch export synthetic/ --to hf --out for_the_hub/
      vae-batch export latents/ --to npy --out arrays/
    """
    from vae_batch.work.export import export

    export(data_set, to, folder, shard_rows, unfinished, partial(click.echo, err=True))  # type: ignore[arg-type]
