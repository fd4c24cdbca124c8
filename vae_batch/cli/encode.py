"""`vae-batch encode`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vae_batch.cli.options import TRUST_MODEL_CODE, images_options

if TYPE_CHECKING:
    from vae_batch.specs import EncodeSpec


def options_of_encode(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that are keys of an encode spec, for `encode` and `plan`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return images_options(function)


_OPTIONS = [
    click.option(
        "--model", required=True,
        help="A folder that train or diffusers wrote, owner/name on the hub, module:callable?key=value, .pt2 or "
        "family:argument.",
    ),
    TRUST_MODEL_CODE,
    click.option("--batch-size", type=int, help="Images per forward pass.  [default: 64 on CPU, 256 on GPU]"),
    click.option(
        "--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True,
        help="What the network computes in; output stays float32.",
    ),
    click.option("--image-size", type=int, help="Pixels a side.  [default: the model's own]"),
    click.option("--replicas", default="auto", show_default=True, metavar="N|auto", help="Copies of the model."),
    click.option("--gpus-per-replica", type=float, help="[default: 1 on a cluster with GPUs, else 0]"),
    click.option("--cpus-per-replica", type=int, help="Cores reserved, and threads that decode."),
    click.option("--samples", type=int, default=1, show_default=True, help="Draws per image."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of the draws."),
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
    click.option(
        "--unit-size", type=int,
        help="Images per unit and part, about.  [default: a 64th of all, 256 to 8,192]",
    ),
    click.option("--units", metavar="A:B", help="Only these units of the plan, now."),
    click.option("--columns", metavar="NAME:TYPE,...", help="Label columns to keep.  [default: found by looking]"),
    click.option("--label-prefix", default="", help="Put before every label's name."),
    click.option("--address", help="Ray cluster.  [default: RAY_ADDRESS, else a private one]"),
    click.option(
        "--max-reject-rate", type=float, default=0.01, show_default=True,
        help="Above this share of rejects the job ends with exit code 3.",
    ),
    click.option(
        "--hang-seconds", type=float, default=120, show_default=True, help="An image that decodes for longer hangs."
    ),
]  # fmt: skip


def spec_from(values: dict[str, Any]) -> EncodeSpec:
    """Make the spec from the options."""
    from vae_batch.specs import EncodeSpec

    replicas = values.get("replicas")
    if isinstance(replicas, str) and replicas.isdigit():
        values["replicas"] = int(replicas)
    return EncodeSpec(**values)


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
