"""`vae-batch encode`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vae_batch.cli.options import MODEL, images_options, replicas_of, work_options

if TYPE_CHECKING:
    from vae_batch.specs import EncodeSpec


def options_of_encode(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that are keys of an encode spec, for `encode` and `plan`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return MODEL(images_options(work_options(function)))


_OPTIONS = [
    click.option("--samples", type=int, default=1, show_default=True, help="Draws per image."),
    click.option("--diagnostics", is_flag=True, help="Add mse and psnr of the reconstruction from the mean."),
    click.option("--sha256", is_flag=True, help="Add the digest of each image's bytes."),
    click.option(
        "--store", type=click.Choice(["float32", "float16"]), default="float32", show_default=True,
        help="Type of mean and sample; the variance stays float32.",
    ),
    click.option(
        "--scaled", is_flag=True,
        help="Apply the model's scaling_factor and shift_factor, or latents_mean/std, to mean, variance and sample.",
    ),
    click.option("--columns", metavar="NAME:TYPE,...", help="Label columns to keep.  [default: found by looking]"),
    click.option("--label-prefix", default="", help="Put before every label's name."),
    click.option(
        "--hang-seconds", type=float, default=120, show_default=True, help="An image that decodes for longer hangs."
    ),
]  # fmt: skip


def spec_from(values: dict[str, Any]) -> EncodeSpec:
    """Make the spec from the options."""
    from vae_batch.specs import EncodeSpec

    return EncodeSpec(**replicas_of(values))


def run_encode(spec: EncodeSpec, verbose: bool) -> None:
    """Encode, with messages on the terminal."""
    from vae_batch.cli.console import ConsoleReport
    from vae_batch.cluster.encode import encode

    with ConsoleReport() as report:
        encode(spec, report, verbose)


@click.command()
@click.argument("source")
@options_of_encode
@click.option("--out", required=True, help="The output data set's folder; the same one goes on where it stopped.")
@click.option("--retry-rejects", is_flag=True, help="Make the units that have rejects anew.")
@click.option("--extend", is_flag=True, help="Encode the files that are new in SOURCE, as further units.")
@click.option("-v", "--verbose", is_flag=True, help="Let Ray's own log through.")
def command(verbose: bool, **values: Any) -> None:
    """Encode SOURCE: for every image the posterior's mean and variance and a sample, in Parquet.

    SOURCE is a folder, a shard (tar, zip, Parquet, Arrow), a quoted pattern of shards, or a listing of paths (CSV,
    TSV, JSON Lines, Parquet); a path or a URI, as for --model and --out. Each unit of the plan becomes one part,
    exactly once: killed at any moment, the same command goes on. An image that cannot be encoded is a reject with
    its reason; `vae-batch rejects OUT` lists them. Once they are repaired, --retry-rejects makes their units anew. A
    SOURCE that has changed since OUT was begun is refused, with what is new, gone or changed; --extend encodes what
    is new, as further units.

    \b
    Example:
      vae-batch encode faces/ --model model/ --out latents/ --precision bf16
      duckdb -c "select id, kl from 'latents/data/*.parquet' order by kl limit 5"

    Exit codes: 0 done, 1 failed, 2 usage, 3 finished with too many rejects, 75 interrupted: run again to go on.
    """
    run_encode(spec_from(values), verbose)
