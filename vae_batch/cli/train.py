"""`vae-batch train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vae_batch.cli.bar import Bar
from vae_batch.cli.options import images_options

if TYPE_CHECKING:
    from vae_batch.specs import TrainSpec
    from vae_batch.training import Progress, Trained


@click.command("train")
@click.argument("source")
@click.option("--out", required=True, help="Folder of the model; it must not hold one yet.")
@click.option("--image-size", type=int, default=64, show_default=True, help="Pixels a side: a multiple of 16.")
@click.option("--latent-dim", type=int, default=64, show_default=True, help="Dimensions of the posterior.")
@click.option("--epochs", type=int, help="Passes over the images.  [default: 20, without --steps]")
@click.option("--steps", type=int, help="Batches, instead of --epochs.")
@click.option("--batch-size", type=int, help="Images in a batch.")
@click.option("--learning-rate", type=float, help="Of AdamW, at its highest.")
@images_options
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same machine: same weights.")
def command(**options: Any) -> None:
    """Train a VAE on a collection of images, by maximising the ELBO.

    SOURCE is a folder of images, a tar, or a folder or glob of tars. Rate and distortion are shown in nats per
    image; OUT gets config.json, model.safetensors and metrics.jsonl.

    \b
    Example:
      vae-batch train faces/ --out model/ --epochs 20
    """
    from vae_batch.specs import TrainSpec

    run_train(TrainSpec(**{key: value for key, value in options.items() if value is not None}))


def run_train(spec: TrainSpec, hint: bool = True) -> None:
    """Train and show it; with `hint`, end with the command to run next."""
    from vae_batch.training import DEFAULT_EPOCHS, train

    if spec.epochs is None and spec.steps is None:
        click.echo(f"Neither --epochs nor --steps was given: {DEFAULT_EPOCHS} epochs.", err=True)
    with Bar() as bar:
        trained = train(
            spec,
            lambda state, steps: bar.show(_line(state, steps), state.step, steps),
            lambda images: bar.show(f"reading: {images:,} images"),
        )
    _report(trained)
    if hint:
        click.echo(f"Next: vae-batch encode {spec.source} --model {spec.out} --out latents/")


def _report(trained: Trained) -> None:
    if trained.rejected:
        images = "image" if trained.rejected == 1 else "images"
        click.echo(f"{trained.rejected:,} {images} could not be read:", err=True)
        for reject in trained.examples:
            click.echo(f"  {reject.id}: {reject.error}: {reject.message}", err=True)
    last = trained.last
    click.echo(
        f"{trained.out}: {trained.parameters:,} parameters, {trained.images:,} images, {last.step:,} steps in "
        f"{last.seconds:.0f} s on {trained.device}; distortion {last.distortion:.1f}, rate {last.rate:.1f} nats per "
        f"image, sigma {last.sigma:.4f}"
    )


def _line(state: Progress, steps: int) -> str:
    left = state.seconds / state.step * (steps - state.step)
    return (
        f"step {state.step:,} of {steps:,}, distortion {state.distortion:,.1f}, rate {state.rate:,.1f} nats/image, "
        f"{state.images_per_second:,.0f} images/s, {left:,.0f} s left"
    )
