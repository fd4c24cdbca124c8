"""`vae-batch plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vae_batch.cli.encode import options_of_encode, spec_from

if TYPE_CHECKING:
    from vae_batch.cluster.plan import Estimate


@click.command()
@click.argument("source")
@options_of_encode
@click.option("--out", default=None, help="The folder that `encode` would write to, if it is to be checked too.")
@click.option("--timing/--no-timing", default=True, help="Encode 256 images on one replica to estimate the time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(out: str | None, timing: bool, as_json: bool, **values: Any) -> None:
    """Say what `encode` would do with SOURCE: shards, units, images, the output's size, the hours.

    Takes the options of `encode` and writes nothing.

    \b
    Example:
      vae-batch plan faces/ --model model/
    """
    import json
    import tempfile
    from dataclasses import asdict

    from vae_batch.cli.console import ConsoleReport
    from vae_batch.cluster.plan import plan

    with ConsoleReport() as report, tempfile.TemporaryDirectory() as nowhere:
        estimate = plan(spec_from({**values, "out": out or nowhere}), report, timing)
    click.echo(json.dumps(asdict(estimate)) if as_json else describe(estimate))


def describe(estimate: Estimate) -> str:
    """Write an estimate for a person."""
    from vae_batch.cli.console import size
    from vae_batch.cluster.report import duration

    about = "" if estimate.exact else "~"
    total = sum(estimate.column_bytes.values())
    lines = [
        f"shards  {estimate.shards:,}",
        f"units   {estimate.units:,} of about {estimate.unit_size:,} images, one part each",
        f"images  {about}{estimate.files:,} ({size(estimate.bytes_in)})",
        f"output  {about}{size(total)} before compression:",
    ]
    lines += [f"          {name:12} {about}{size(count)}" for name, count in estimate.column_bytes.items()]
    if estimate.hours is not None and estimate.images_per_second is not None:
        lines.append(
            f"time    ~{duration(estimate.hours * 3600)} ({estimate.hours:.3g} h): "
            f"{estimate.images_per_second:,.0f} images/s a replica, {estimate.replicas} replicas"
        )
    if estimate.no_timing:
        lines.append(f"time    not known: {estimate.no_timing}")
    return "\n".join(lines)
