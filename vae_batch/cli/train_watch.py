"""A training on the terminal."""

from __future__ import annotations

from collections.abc import Callable

from vae_batch.cli.bar import Bar
from vae_batch.cluster.report import duration
from vae_batch.training import Progress, Validation, Watch


class TrainBar(Bar, Watch):
    """Shows steps, and what is said.

    Args:
        signal: names the signal that came.
    """

    def __init__(self, signal: Callable[[], str | None]) -> None:
        super().__init__()
        self._signal = signal
        self._found = ""

    def reading(self, images: int) -> None:
        """Show how many were read."""
        self.show(f"reading: {images:,} images")

    def progress(self, state: Progress, steps: int) -> None:
        """Show the state."""
        left = (steps - state.step) * state.images / state.step / max(1e-9, state.images_per_second)
        line = (
            f"step {state.step:,} of {steps:,}, distortion {state.distortion:,.1f}, rate {state.rate:,.1f} nats/image, "
            f"{self._found}{state.images_per_second:,.0f} images/s, {duration(left)} left"
        )
        self.show(line, state.step, steps)

    def validated(self, step: int, found: Validation) -> None:
        """Have it in the next lines."""
        self._found = f"held out {found.psnr:.1f} dB, "

    def stopped_by(self) -> str | None:
        """Name the signal."""
        return self._signal()
