"""`vae-batch generate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vae_batch.cli.options import MODEL, replicas_of, work_options
from vae_batch.cli.sampling import sampling_options

if TYPE_CHECKING:
    from vae_batch.specs import GenerateSpec


def run_generate(spec: GenerateSpec, verbose: bool) -> None:
    """Generate, with messages on the terminal."""
    from vae_batch.cli.console import ConsoleReport
    from vae_batch.cluster.generate import generate

    with ConsoleReport() as report:
        generate(spec, report, verbose)


@click.command()
@MODEL
@click.option("--out", required=True, help="The output data set's folder; the same one goes on where it stopped.")
@click.option(
    "--count",
    type=int,
    help="Images; a larger count into the same OUT adds to it.  [default: all that --latents gives]",
)
@click.option("--indices", metavar="I,J-K,...", help="Only the images of these numbers, from 0; instead of --count.")
@sampling_options
@click.option(
    "--format",
    type=click.Choice(["parquet", "webdataset", "folder"]),
    default="parquet",
    show_default=True,
    help="Where pictures go: into the parts, into tars, or into folders with a metadata.csv.",
)
@click.option(
    "--codec", type=click.Choice(["png", "jpeg", "webp"]), default="png", show_default=True, help="Of the pictures."
)
@click.option("--quality", type=int, help="Of jpeg and webp, 1 to 100.  [default: 95]")
@click.option(
    "--label-with",
    metavar="ENCODED",
    help="Predict the labels of this encoded data set of the same model for each image, by linear probes.",
)
@click.option("--attributes", metavar="A,B,...", help="Only these labels.  [default: numbers, and those of two values]")
@work_options
@click.option("-v", "--verbose", is_flag=True, help="Let Ray's own log through.")
def command(verbose: bool, **values: Any) -> None:
    """Generate a synthetic data set: latents drawn, decoded, and written to Parquet as pictures.

    Each unit of numbers becomes one part, exactly once: killed at any moment, the same command goes on. An image is a
    function of seed and number alone: with a larger --count the first ones stay what they are, and --indices makes
    any of them again. `datasets.load_dataset` shows the pictures.

    \b
    Example:
      vae-batch generate --model model/ --out synthetic/ --count 10000
      vae-batch generate --model model/ --out two/ --indices 17,4093
      vae-batch generate --model model/ --out smiling/ --count 10000 --sampler fitted --latents latents/ \\
        --components 10 --where 'Smiling AND NOT "5_o_Clock_Shadow"'
      vae-batch generate --model model/ --out more/ --sampler posterior --latents latents/ --draws 4
      vae-batch generate --model model/ --out labelled/ --count 10000 --label-with latents/ --attributes smile,glasses
      vae-batch generate --model model/ --out ways/ --sampler interpolate --latents latents/ --count 80 --steps 8
      vae-batch generate --model model/ --out axes/ --sampler traverse --latents latents/
      vae-batch generate --model model/ --out glasses/ --sampler edit --latents latents/ --attribute Eyeglasses \
        --balance Male,Young --strength=-1,0,1 --where 'NOT Eyeglasses'

    Exit codes: 0 done, 1 failed, 2 usage, 3 finished with too many rejects, 75 interrupted: run again to go on.
    """
    from vae_batch.specs import GenerateSpec

    run_generate(GenerateSpec(**replicas_of(values)), verbose)
