"""`vae-batch train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vae_batch.cli.options import images_options
from vae_batch.cli.train_options import options_of_train

if TYPE_CHECKING:
    from vae_batch.specs import TrainSpec
    from vae_batch.training import Trained


@click.command("train")
@click.argument("source")
@click.option("--out", required=True, help="Folder of the model; the same one goes on where it stopped.")
@options_of_train
@images_options
def command(**options: Any) -> None:
    """Train a VAE on a collection of images, by maximising the ELBO.

    SOURCE is a folder of images, a shard (tar, zip, Parquet, Arrow), a quoted pattern of shards, or a listing. Rate
    and distortion are shown in nats per image; OUT gets config.json, model.safetensors and metrics.jsonl. Killed at
    any moment, the same command goes on from the last checkpoint. Part of the images, chosen by id, is held out:
    --validation.

    \b
    Example:
      vae-batch train faces/ --out model/ --epochs 20
      vae-batch train faces/ --out beta/ --likelihood bernoulli --beta 4 --latent-dim 10

    Exit codes: 0 done, 1 failed, 2 usage, 75 interrupted: run again to go on.
    """
    from vae_batch.specs import TrainSpec

    run_train(TrainSpec(**{key: value for key, value in options.items() if value is not None}))


def run_train(spec: TrainSpec, hint: bool = True) -> None:
    """Train and show it; with `hint`, end with the command to run next."""
    from vae_batch.cli.train_watch import TrainBar
    from vae_batch.cluster.signals import noticed
    from vae_batch.cluster.train import train
    from vae_batch.training import DEFAULT_EPOCHS

    if spec.epochs is None and spec.steps is None:
        click.echo(f"Neither --epochs nor --steps was given: {DEFAULT_EPOCHS} epochs.", err=True)
    with noticed() as signal, TrainBar(signal) as bar:
        trained = train(spec, bar)
    _report(trained)
    if hint:
        click.echo(f"Next: vae-batch encode {spec.source} --model {spec.out} --out latents/")


def _report(trained: Trained) -> None:
    if trained.examples:
        images = "image" if trained.rejected == 1 else "images"
        click.echo(f"{trained.rejected:,} {images} could not be read (OUT/rejects.jsonl):", err=True)
        for reject in trained.examples:
            click.echo(f"  {reject.id}: {reject.error}: {reject.message}", err=True)
    last, found = trained.last, trained.validation
    sigma = "" if last.sigma is None else f", sigma {last.sigma:.4f}"
    click.echo(
        f"{trained.out}: {trained.parameters:,} parameters, {trained.images - trained.held_out:,} images, "
        f"{last.step:,} steps in {last.seconds:.0f} s on {trained.device}; distortion {last.distortion:.1f}, rate "
        f"{last.rate:.1f} nats per image{sigma}"
    )
    if found is not None:
        click.echo(
            f"On {found.images:,} images held out: distortion {found.distortion:.1f}, rate {found.rate:.1f} nats per "
            f"image ({found.distortion_bits + found.rate_bits:.3f} bits per dimension), PSNR {found.psnr:.1f} dB, SSIM "
            f"{found.ssim:.3f}, {found.active_units} of {len(found.kl)} dimensions active"
        )
