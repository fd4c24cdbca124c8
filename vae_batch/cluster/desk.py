"""What passes between workers that train and the one who looks on."""

from __future__ import annotations

from typing import Any

import ray
import torch

from vae_batch.errors import VaeBatchError
from vae_batch.training import Progress, Validation, Watch


class Desk:
    """An actor between those who train and the one who looks on: news one way, the wish to stop the other."""

    def __init__(self) -> None:
        self._news: list[tuple[str, tuple[Any, ...]]] = []
        self._failures: dict[int, VaeBatchError] = {}
        self._cause: str | None = None

    def tell(self, what: str, *values: Any) -> None:
        """Take a call of a `Watch`."""
        self._news.append((what, values))

    def fail(self, error: VaeBatchError, rank: int) -> None:
        """Take what ended the training at a worker."""
        self._failures.setdefault(rank, error)

    def failure(self) -> VaeBatchError | None:
        """Give it in the words of the first worker that met it: only worker 0 knows what was written."""
        return self._failures[min(self._failures)] if self._failures else None

    def visit(self, cause: str | None) -> list[tuple[str, tuple[Any, ...]]]:
        """Say what stops the training, and take the news."""
        self._cause = cause
        news, self._news = self._news, []
        return news

    def cause(self) -> str | None:
        """Name what stops the training."""
        return self._cause


def pass_on(desk: Any, watch: Watch) -> None:
    """Tell the one who looks on what is new, and the workers whether to stop."""
    for what, values in ray.get(desk.visit.remote(watch.stopped_by())):
        getattr(watch, what)(*values)


class Told(Watch):
    """A worker's: the first one tells the desk, and asks it whether to stop; all stop at the same step."""

    def __init__(self, desk: Any, rank: int, device: str) -> None:
        self._desk, self._rank, self._device = desk, rank, device
        self._asked: Any = None
        self._cause: str | None = None

    def _tell(self, what: str, *values: Any) -> None:
        if self._rank == 0:
            self._desk.tell.remote(what, *values)

    def progress(self, state: Progress, steps: int) -> None:
        """Pass it on."""
        self._tell("progress", state, steps)

    def validated(self, step: int, found: Validation) -> None:
        """Pass it on."""
        self._tell("validated", step, found)

    def say(self, line: str) -> None:
        """Pass it on."""
        self._tell("say", line)

    def stopped_by(self) -> str | None:
        """Ask in passing; an answer counts at the step at which all know it."""
        if self._rank == 0 and self._cause is None:
            self._asked = self._asked or self._desk.cause.remote()
            if ray.wait([self._asked], timeout=0)[0]:
                self._cause, self._asked = ray.get(self._asked), None
        told = torch.tensor(float(self._cause is not None), device=self._device)
        torch.distributed.all_reduce(told)
        if not told.item():
            return None
        self._cause = self._cause or ray.get(self._desk.cause.remote())
        return self._cause
