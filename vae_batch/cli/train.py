"""`vae-batch train`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vae_batch.specs import TrainSpec
    from vae_batch.training import Progress, Trained

PLAIN_SECONDS = 5.0


@click.command("train")
@click.argument("source")
@click.option("--out", required=True, help="Folder of the model; it must not hold one yet.")
@click.option("--image-size", type=int, default=64, show_default=True, help="Pixels a side: a multiple of 16.")
@click.option("--latent-dim", type=int, default=64, show_default=True, help="Dimensions of the posterior.")
@click.option("--epochs", type=int, help="Passes over the images.  [default: 20, without --steps]")
@click.option("--steps", type=int, help="Batches, instead of --epochs.")
@click.option("--batch-size", type=int, help="Images in a batch.")
@click.option("--learning-rate", type=float, help="Of AdamW, at its highest.")
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
    with _Display() as display:
        trained = train(spec, display.training, display.reading)
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


class _Display:
    """A live bar on a terminal, a plain line every few seconds elsewhere; on stderr."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._last = time.monotonic()

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def reading(self, images: int) -> None:
        """Show how many images are read."""
        self._show(f"reading: {images:,} images", None, None)

    def training(self, state: Progress, steps: int) -> None:
        """Show the state of the training."""
        self._show(_line(state, steps), state.step, steps)

    def _show(self, line: str, done: int | None, total: int | None) -> None:
        if self._live:
            self._draw(line, done, total)
        elif time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            click.echo(line, err=True)

    def _draw(self, line: str, done: int | None, total: int | None) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(line, total=total)
        self._bar.update(self._task, description=line, completed=done, total=total)


def _line(state: Progress, steps: int) -> str:
    left = state.seconds / state.step * (steps - state.step)
    return (
        f"step {state.step:,} of {steps:,}, distortion {state.distortion:,.1f}, rate {state.rate:,.1f} nats/image, "
        f"{state.images_per_second:,.0f} images/s, {left:,.0f} s left"
    )
