"""Adding gradients up over the workers of a training: through shared memory where all are on one node."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

SHARED = Path("/dev/shm")
"""Linux's memory as files."""


def add_up(tensor: Tensor) -> Tensor:
    """Add a tensor up over the workers, in place."""
    dist.all_reduce(tensor)
    return tensor


class Sums:
    """Adds tensors up over the workers; those that `vector` made, without sending them anywhere.

    gloo sends every gradient through a socket, which for workers that share a machine costs a third of a step. In
    shared memory each adds up its slice of all of them, in the order of the ranks, and writes it into all.

    Args:
        rank: of this worker.
        size: how many there are.
        one_node: whether all are on one node.
    """

    def __init__(self, rank: int, size: int, one_node: bool) -> None:
        self._rank, self._size, self._one_node = rank, size, one_node
        self._rows: Tensor | None = None

    def vector(self, numbers: int, device: torch.device) -> Tensor:
        """Make a vector of zeros, float32; in shared memory where that can be had."""
        if self._one_node and device.type == "cpu":
            self._rows = self._share(numbers)
        return torch.zeros(numbers, device=device) if self._rows is None else self._rows[self._rank]

    def reduce(self, tensor: Tensor) -> Tensor:
        """Add a tensor up, in place."""
        if self._rows is None or tensor.data_ptr() != self._rows[self._rank].data_ptr():
            return add_up(tensor)
        dist.barrier()  # every worker's is complete
        mine = self._rows.tensor_split(self._size, dim=1)[self._rank]
        mine.copy_(mine.sum(0).expand_as(mine))
        dist.barrier()  # every slice is
        return tensor

    def _share(self, numbers: int) -> Tensor | None:
        """Map the same memory in all workers, a row for each; None where there is not enough of it."""
        told: list[str | None] = [_allocate(4 * numbers * self._size) if self._rank == 0 else None]
        dist.broadcast_object_list(told)
        if told[0] is None:
            return None
        rows = torch.from_file(told[0], shared=True, size=self._size * numbers).view(self._size, numbers)
        dist.barrier()
        if self._rank == 0:
            Path(told[0]).unlink()  # it lives as long as it is mapped, and no longer
        return rows


def _allocate(size: int) -> str | None:
    """Make a file of zeros in shared memory, all of it there; None if there is no room."""
    if not SHARED.is_dir():
        return None
    file, name = tempfile.mkstemp(prefix="vae_batch_", dir=SHARED)
    try:
        os.posix_fallocate(file, 0, size)
        return name
    except OSError:
        Path(name).unlink()
        return None
    finally:
        os.close(file)
