"""What a running job tells whoever watches: lines, and progress now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class Progress:
    """The state of a job at a moment."""

    total: int
    """Images (and other files) that this run will meet; estimated where `exact` is False."""
    exact: bool
    done: int = 0
    rejects: int = 0
    replicas: int = 0
    """Asked for."""
    alive: int = 0
    """Ready to work."""
    started: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Images per second since the first replica was ready."""
        return self.done / max(1e-9, time.monotonic() - self.started)

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None as long as nothing is done."""
        return max(0, self.total - self.done) / self.rate if self.done else None

    def line(self) -> str:
        """Say it in one line."""
        left = self.seconds_left
        about = "" if self.exact else "~"
        parts = [
            f"{self.done:,} of {about}{self.total:,} images",
            f"{self.rate:,.0f} images/s",
            f"{self.rejects:,} rejects",
            f"{self.alive} of {self.replicas} replicas",
            "" if left is None else f"{duration(left)} left",
        ]
        return ", ".join(filter(None, parts))


class Report(Protocol):
    """Where a job's messages go."""

    def say(self, line: str) -> None:
        """Take a line for the user."""

    def progress(self, state: Progress) -> None:
        """Take the state; called a few times a second."""


class Silent:
    """Says nothing."""

    def say(self, line: str) -> None:
        """Drop the line."""

    def progress(self, state: Progress) -> None:
        """Drop the state."""


def duration(seconds: float) -> str:
    """Write seconds as a person would: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
