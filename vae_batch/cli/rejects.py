"""`vae-batch rejects`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from vae_batch.cli.options import DATA_SET

if TYPE_CHECKING:
    from vae_batch.latents.rejects import Group


@click.command()
@click.argument("out", type=DATA_SET)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the groups with their examples.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every reject as a line of CSV.")
@click.option(
    "--export", metavar="DIR",
    help="Copy the offending bytes from the source into DIR, new or empty; DIR/index.csv says what is what.",
)  # fmt: skip
def command(out: str, as_json: bool, as_csv: bool, export: str | None) -> None:
    """List the images in OUT that could not be encoded, by stage and class of error; OUT may be half done.

    \b
    Example:
      vae-batch rejects latents/ --export bad/
      vae-batch rejects latents/ --csv > rejects.csv
    """
    import json
    import sys
    from dataclasses import asdict

    from vae_batch.latents.rejects import group, rejects

    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both")
    table = rejects(out)
    if as_csv:
        import pyarrow.csv

        pyarrow.csv.write_csv(table, sys.stdout.buffer)
    elif as_json:
        click.echo(json.dumps({"rejects": len(table), "groups": [asdict(g) for g in group(table)]}))
    else:
        click.echo("\n".join(describe(len(table), group(table))))
    if export:
        from vae_batch.work.rejects import export_rejects

        done = export_rejects(out, export)
        click.echo(f"{done.files:,} of {done.rejects:,} copied to {done.folder}; see index.csv there", err=True)


def describe(total: int, groups: list[Group]) -> Iterator[str]:
    """Write groups for a person; what comes from files is printed without its control characters."""
    yield f"{total:,} reject{'s' * (total != 1)}"
    for one in groups:
        yield f"{one.count:8,}  {one.stage}: {printable(one.error)}"
        yield from (f"          {printable(e['id'])}: {printable(e['message'])}" for e in one.examples)


def printable(text: str) -> str:
    """Spell out what would act on the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
