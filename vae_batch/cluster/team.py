"""The workers of a training: through shared memory where all are on one node."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from vae_batch.training import Team

SHARED = Path("/dev/shm")
"""Linux's memory as files."""


class Workers(Team):
    """The processes of a torch.distributed group.

    gloo sends every gradient through a socket, and each worker then repeats the same step: for workers that share a
    machine together half a step's time. In shared memory each adds up its slice of the gradients, and brings its slice
    of the weights up to date, which all compute with. Where memory cannot be shared, all have all.

    Args:
        rank: of this worker.
        size: how many there are.
        one_node: whether all are on one node.
    """

    def __init__(self, rank: int, size: int, one_node: bool) -> None:
        self.rank, self.size, self._one_node = rank, size, one_node
        self._gradients: Tensor | None = None
        """(size, numbers), of all workers; None: they do not share memory."""

    def reduce(self, tensor: Tensor) -> Tensor:
        """See `Team`."""
        dist.all_reduce(tensor)
        return tensor

    def vectors(self, common: int, numbers: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """See `Team`."""
        shared = self._share(common + self.size, numbers) if self._one_node and device.type == "cpu" else None
        if shared is None:
            return super().vectors(common, numbers, device)
        self._gradients = shared[common:]
        return shared[:common], self._gradients[self.rank]

    def slice(self, numbers: int) -> slice:
        """See `Team`."""
        if self._gradients is None:
            return super().slice(numbers)
        return slice(*(numbers * rank // self.size for rank in (self.rank, self.rank + 1)))

    def add_up(self, gradient: Tensor) -> None:
        """See `Team`; a slice's order of summands is always the same."""
        if self._gradients is None:
            dist.all_reduce(gradient)
            return
        dist.barrier()  # every worker's is complete
        mine = self.slice(len(gradient))
        for step in range(1, self.size):
            gradient[mine] += self._gradients[(self.rank + step) % self.size][mine]

    def sum_of_slices(self, value: Tensor) -> Tensor:
        """See `Team`."""
        return value if self._gradients is None else self.reduce(value)

    def meet(self) -> None:
        """See `Team`."""
        if self._gradients is not None:
            dist.barrier()

    def _share(self, rows: int, numbers: int) -> Tensor | None:
        """Map the same memory in all workers, (rows, numbers) of zeros; None where there is not enough of it."""
        told: list[str | None] = [_allocate(4 * rows * numbers) if self.rank == 0 else None]
        dist.broadcast_object_list(told)
        if told[0] is None:
            return None
        shared = torch.from_file(told[0], shared=True, size=rows * numbers).view(rows, numbers)
        dist.barrier()
        if self.rank == 0:
            Path(told[0]).unlink()  # it lives as long as it is mapped, and no longer
        return shared


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
