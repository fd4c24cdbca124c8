"""The processes that train one model together."""

from __future__ import annotations

import torch
from torch import Tensor


class Team:
    """One process, alone; `cluster.team` has the workers of a cluster.

    Each process takes its slice of every batch. What a step changes lies in vectors of one number a parameter; where
    the processes share memory, each brings its slice of them up to date, for all.
    """

    rank = 0
    size = 1

    def share(self, tensor: Tensor) -> Tensor:
        """Give this process's slice of what is the whole batch's."""
        return tensor.tensor_split(self.size)[self.rank]

    def reduce(self, tensor: Tensor) -> Tensor:
        """Add a small tensor up over the team, in place, and give it; all call it in the same order."""
        return tensor

    def vectors(self, common: int, numbers: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Make what a training changes, zeros, float32; called once, by all.

        Returns:
            (common, numbers), of which each process keeps its slice up to date, and (numbers,), its own gradient.
        """
        return torch.zeros(common, numbers, device=device), torch.zeros(numbers, device=device)

    def slice(self, numbers: int) -> slice:
        """Say which part of the vectors is this process's."""
        return slice(0, numbers)

    def add_up(self, gradient: Tensor) -> None:
        """Add the gradients up over the team; afterwards this process's slice is that of the sum."""

    def sum_of_slices(self, value: Tensor) -> Tensor:
        """Give the sum of a number that each has of its slice."""
        return value

    def meet(self) -> None:
        """Wait until each has brought its slice up to date."""
