"""The images of a batch shared out to several threads.

torch's own threads meet at every operator and wait there for whichever the machine has put aside; on a machine that
does anything else besides, a training slows down many times. These meet twice a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

MIN_IMAGES = 8
"""A smaller part is not worth a thread."""

T = TypeVar("T")


class Threads(AbstractContextManager["Threads"]):
    """Threads that each take a part of a batch: on CPUs one a core, on an accelerator one in all.

    Args:
        device: where the batch is.
        batch_size: of all batches.
        single: one part in all; torch's own threads then share it.
    """

    def __init__(self, device: torch.device, batch_size: int, single: bool = False) -> None:
        self._cores = torch.get_num_threads()
        alone = single or device.type != "cpu"
        self.parts = 1 if alone else max(1, min(self._cores, batch_size // MIN_IMAGES))
        self._pool = ThreadPoolExecutor(self.parts, "part", torch.set_num_threads, (self._cores // self.parts,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()
        torch.set_num_threads(self._cores)

    def split(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Cut tensors along their first axis, in step, into a part a thread."""
        return zip(*(tensor.tensor_split(self.parts) for tensor in tensors), strict=True)

    def deal(self, tuples: Iterable[tuple[Tensor, ...]]) -> list[tuple[list[tuple[Tensor, ...]]]]:
        """Deal tuples of equally large tensors out to the threads, so that each has about as many numbers."""
        hands: list[list[tuple[Tensor, ...]]] = [[] for _ in range(self.parts)]
        sizes = [0] * self.parts
        for found in sorted(tuples, key=lambda found: -found[0].numel()):
            least = sizes.index(min(sizes))
            hands[least].append(found)
            sizes[least] += found[0].numel()
        return [(hand,) for hand in hands]

    def map(self, function: Callable[..., T], parts: Iterable[tuple[Any, ...]]) -> list[T]:
        """Call the function for each part, all at once; results are in the parts' order."""
        return list(self._pool.map(lambda part: function(*part), parts))
