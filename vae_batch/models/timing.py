"""How fast a model encodes and decodes on one device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_batch.errors import DeviceMemoryError, ModelError
from vae_batch.models.base import VAE
from vae_batch.models.memory import memory_watched

SECONDS = 1.0
"""Of measuring, for each direction; at least `BATCHES`."""
BATCHES = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians over a few batches after a first that does not count; from pixels on the device to values there."""

    device: str
    """The device's name, or `cpu`, where one thread computes, as in a replica."""
    batch_size: int
    image_size: int
    """Pixels a side."""
    precision: str
    encode_ms: float
    """Milliseconds a batch."""
    encode_images_per_second: float
    decode_ms: float | None
    """None for an encoder without a decoder."""
    decode_images_per_second: float | None


def time_model(model: VAE, device: str, batch_size: int, image_size: int) -> Timing:
    """Time a model in float32.

    Args:
        model: as loaded; it is prepared for `device`.
        device: "cpu" or "cuda".
        batch_size: images in a batch.
        image_size: pixels a side.

    Raises:
        ModelError: the device has not the memory for such a batch.
    """
    model = model.prepare(device, "fp32")
    try:
        with memory_watched(device, batch_size), _one_thread(), torch.inference_mode():
            x = torch.rand(batch_size, model.card.in_channels, image_size, image_size).to(device)
            encode = _median_seconds(lambda: model.encode(x).mean)
            z = model.encode(x).mean
            decode = _median_seconds(lambda: model.decode(z)) if model.card.decodes else None
    except DeviceMemoryError:
        size = f"{batch_size} images of {image_size}×{image_size}"
        raise ModelError(f"{size} are too many for the memory of {device}: give a smaller --batch-size") from None
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return Timing(
        name, batch_size, image_size, "fp32",
        1000 * encode, batch_size / encode, decode and 1000 * decode, decode and batch_size / decode,
    )  # fmt: skip


def _median_seconds(run: Callable[[], Tensor]) -> float:
    _wait(run())
    seconds: list[float] = []
    while len(seconds) < BATCHES or sum(seconds) < SECONDS:
        start = time.perf_counter()
        _wait(run())
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _wait(result: Tensor) -> None:
    if result.is_cuda:
        torch.cuda.synchronize()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on the CPU as a replica does; leave the process as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
