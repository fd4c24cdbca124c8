"""`vae-batch resample`."""

from __future__ import annotations

from functools import partial

import click

from vae_batch.cli.options import DATA_SET


@click.command()
@click.argument("latents", type=DATA_SET)
@click.option("--samples", type=click.IntRange(1), required=True, metavar="K", help="Draws per image.")
@click.option("--out", required=True, help="The new data set's folder; the same one goes on where it stopped.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Of the draws.  [default: that of LATENTS]")
def command(latents: str, samples: int, out: str, seed: int | None) -> None:
    """Draw anew from the posteriors stored in LATENTS, an encoded data set: no model, no images.

    OUT has all columns of LATENTS and, in `sample`, K draws per image: to the byte what `encode --samples K` with
    this seed would have written. Stopped at any moment, the same command goes on.

    \b
    Example:
      vae-batch resample latents/ --samples 8 --out latents8/
    """
    from vae_batch.work.resample import resample

    resample(latents, out, samples, seed, partial(click.echo, err=True))
