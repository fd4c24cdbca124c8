"""`vae-batch status`."""

from __future__ import annotations

import click

from vae_batch.cli.options import DATA_SET


@click.command()
@click.argument("out", type=DATA_SET)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(out: str, as_json: bool) -> None:
    """Say how far the job in OUT is, from its files alone.

    \b
    Example:
      vae-batch status latents/
    """
    import json
    from dataclasses import asdict

    from vae_batch.cli.console import size
    from vae_batch.latents.status import status

    now = status(out)
    if as_json:
        click.echo(json.dumps(asdict(now)))
        return
    of = f" of {now.images:,}" if now.images is not None else ""
    click.echo(f"{now.state}: {now.units_done:,} of {now.units:,} units, {now.seen:,}{of} files seen")
    if now.units_to_redo:
        click.echo(f"{now.units_to_redo:,} of these units are to be made anew by the retry under way")
    excluded = f", {now.excluded:,} excluded" if now.excluded else ""
    click.echo(f"{now.rows:,} rows, {now.rejects:,} rejects, {now.skipped:,} skipped{excluded}, {size(now.bytes)}")
    if now.images_per_second:
        left = f", about {now.seconds_left:,.0f} s left" if now.seconds_left is not None else ""
        at = f" on {now.replicas} replicas" if now.replicas else ""
        click.echo(f"{now.images_per_second:,.0f} images/s{at}{left}")
    if now.state == "stopped":
        click.echo("Run the same command again to go on.")
