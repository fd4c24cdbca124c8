"""What training tells while it runs, and what it has to show at the end."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from vae_batch.types import Reject


@dataclass(frozen=True, slots=True)
class Progress:
    """Means over the steps since the last report; a line of metrics.jsonl."""

    step: int
    """Steps done."""
    epoch: float
    """Passes over the collection done."""
    images: int
    """Images seen, repeats counted."""
    distortion: float
    """Nats per image."""
    rate: float
    """Nats per image."""
    elbo: float
    """-(distortion + rate), nats per image."""
    sigma: float
    """Of the likelihood: the root of `mse`."""
    mse: float
    """Per pixel and channel, pixels in [0, 1]."""
    seconds: float
    """Since the first step."""
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training."""

    out: Path | str
    """Folder of the model, or its URI."""
    images: int
    """In the collection, without the rejects."""
    rejected: int
    examples: tuple[Reject, ...]
    """Up to three of the rejects."""
    parameters: int
    device: str
    last: Progress


class Meter:
    """Gathers steps into `Progress` and writes metrics.jsonl."""

    def __init__(self, path: Path, images_per_epoch: int) -> None:
        self._path, self._per_epoch = path, images_per_epoch
        self._path.write_text("")
        self._start = self._since = time.perf_counter()
        self._sums = [0.0, 0.0, 0.0]
        self._steps = self._images = self._all_steps = self._all_images = 0

    def add(self, distortion: float, rate: float, mse: float, images: int) -> None:
        """Count a step."""
        self._sums = [a + b for a, b in zip(self._sums, (distortion, rate, mse), strict=True)]
        self._steps += 1
        self._images += images

    def report(self) -> Progress:
        """Close the steps since the last report: give their means, and write them down."""
        now = time.perf_counter()
        self._all_steps += self._steps
        self._all_images += self._images
        distortion, rate, mse = (value / self._steps for value in self._sums)
        progress = Progress(
            step=self._all_steps,
            epoch=round(self._all_images / self._per_epoch, 4),
            images=self._all_images,
            distortion=distortion,
            rate=rate,
            elbo=-(distortion + rate),
            sigma=math.sqrt(mse),
            mse=mse,
            seconds=round(now - self._start, 3),
            images_per_second=round(self._images / (now - self._since), 1),
        )
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress)) + "\n")
        self._since, self._sums, self._steps, self._images = now, [0.0, 0.0, 0.0], 0, 0
        return progress
