"""`vae-batch verify`."""

from __future__ import annotations

import sys

import click

from vae_batch.cli.options import DATA_SET


@click.command()
@click.argument("out", type=DATA_SET)
@click.option(
    "--fraction", type=click.FloatRange(0, 1), default=1.0, show_default=True,
    help="Share of the parts whose values are read; footers and ids are always checked.",
)  # fmt: skip
@click.option(
    "--recompute", type=click.IntRange(0), default=0, metavar="K",
    help="Encode K random units again from the source and compare.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the parts and units.")
@click.option("--address", help="Ray cluster for --recompute.  [default: the job's]")
@click.option("--trust-model-code", is_flag=True, help="For --recompute: allow a model whose file can run code.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    out: str, fraction: float, recompute: int, seed: int, address: str | None, trust_model_code: bool, as_json: bool
) -> None:
    """Check the data set in OUT: footers, digests, counts, unique ids, finite values, samples.

    Prints every finding and ends with exit code 1 if there is one.

    \b
    Example:
      vae-batch verify latents/ --recompute 2
    """
    import json
    from dataclasses import asdict

    if recompute:
        from vae_batch.cli.console import ConsoleReport
        from vae_batch.cluster.verify import verify_by_recomputing

        with ConsoleReport() as report:
            verdict = verify_by_recomputing(out, recompute, fraction, seed, address, trust_model_code, report)
    else:
        from vae_batch.latents.verify import verify

        verdict = verify(out, fraction, seed)
    if as_json:
        click.echo(json.dumps({**asdict(verdict), "ok": verdict.ok}))
    else:
        for finding in verdict.findings:
            click.echo(f"WRONG  {finding}")
        for note in verdict.notes:
            click.echo(f"note   {note}")
        checked = f"{verdict.units:,} units planned, {verdict.rows:,} rows, values of {verdict.parts:,} parts read"
        click.echo(f"{'OK' if verdict.ok else f'{len(verdict.findings)} findings'}: {checked}")
    sys.exit(0 if verdict.ok else 1)
