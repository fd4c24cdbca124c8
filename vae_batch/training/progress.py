"""What training tells while it runs, and what it has to show at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_batch.training.loss import Objective
from vae_batch.training.validation import Validation
from vae_batch.types import Reject


@dataclass(frozen=True, slots=True)
class Progress:
    """Means over the steps since the last report; a line of metrics.jsonl with `"split": "train"`."""

    step: int
    """Steps done."""
    epoch: float
    """Passes over the training images done."""
    images: int
    """Images seen, repeats counted."""
    distortion: float
    """Nats per image."""
    rate: float
    """Nats per image."""
    elbo: float
    """-(distortion + rate), nats per image."""
    distortion_bits: float
    """Bits per dimension; see `Objective.bits`."""
    rate_bits: float
    """Bits per dimension."""
    loss: float
    """What is minimised, nats per image."""
    sigma: float | None
    """Of the likelihood; None for a Bernoulli."""
    mse: float
    """Per pixel and channel, pixels in [0, 1]."""
    gradient_norm: float
    """Of the loss in nats per pixel, before clipping."""
    seconds: float
    """Since the first step; interruptions are not counted."""
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training."""

    out: Path | str
    """Folder of the model, or its URI."""
    images: int
    """In the collection, without the rejects."""
    held_out: int
    """Of them, not trained on."""
    rejected: int
    examples: tuple[Reject, ...]
    """Up to three of the rejects."""
    parameters: int
    device: str
    last: Progress
    validation: Validation | None
    """The last one; None where no image was held out."""


class Watch:
    """Who follows a training: this one looks away. Override what is wanted."""

    def reading(self, images: int) -> None:
        """Take the number of images read so far."""

    def progress(self, state: Progress, steps: int) -> None:
        """Take the state, and the number of steps in all; called every few steps."""

    def validated(self, step: int, found: Validation) -> None:
        """Take the figures of the images held out."""

    def say(self, line: str) -> None:
        """Take a line for the user."""

    def stopped_by(self) -> str | None:
        """Name what stops the training, such as a signal; None: go on. Asked before every step.

        With several workers the answer must be the same for all at a step.
        """
        return None


class Meter:
    """Gathers steps into `Progress`.

    Args:
        objective: of the training.
        images_per_epoch: what a pass is.
        state: of an earlier meter, to go on from.
    """

    KEYS = ("distortion", "rate", "mse", "loss", "gradient_norm")

    def __init__(self, objective: Objective, images_per_epoch: int, state: Mapping[str, Any] | None = None) -> None:
        self._objective, self._per_epoch = objective, images_per_epoch
        state = state or {"sums": dict.fromkeys(self.KEYS, 0.0), "steps": 0, "images": 0, "seconds": 0.0, "before": {}}
        self._sums: dict[str, float] = dict(state["sums"])
        self._steps, self._images, self._before = state["steps"], state["images"], dict(state["before"])
        self._start = time.perf_counter() - state["seconds"]

    def state(self) -> dict[str, Any]:
        """Give what another meter can go on from; JSON values."""
        seconds = time.perf_counter() - self._start
        return {"sums": self._sums, "steps": self._steps, "images": self._images, "seconds": seconds,
                "before": self._before}  # fmt: skip

    def add(self, images: int, **values: float) -> None:
        """Count a step."""
        for key in self.KEYS:
            self._sums[key] += values[key]
        self._steps += 1
        self._images += images

    def report(self) -> Progress:
        """Close the steps since the last report: give their means."""
        seconds = time.perf_counter() - self._start
        before = {"steps": 0, "images": 0, "seconds": 0.0} | self._before
        mean = {key: value / (self._steps - before["steps"]) for key, value in self._sums.items()}
        distortion, rate = self._objective.bits(mean["distortion"], mean["rate"])
        progress = Progress(
            **mean,
            step=self._steps,
            epoch=round(self._images / self._per_epoch, 4),
            images=self._images,
            elbo=-(mean["distortion"] + mean["rate"]),
            distortion_bits=distortion,
            rate_bits=rate,
            sigma=self._objective.spread(mean["mse"]),
            seconds=round(seconds, 3),
            images_per_second=round((self._images - before["images"]) / (seconds - before["seconds"]), 1),
        )
        self._before = {"steps": self._steps, "images": self._images, "seconds": seconds}
        self._sums = dict.fromkeys(self.KEYS, 0.0)
        return progress
