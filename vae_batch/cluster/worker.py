"""A replica as the pool sees it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from vae_batch.cluster.replica import ReplicaInfo


@dataclass(slots=True, eq=False)
class Worker:
    """A replica, what it has in hand, and how it has done."""

    handle: Any
    retries: int | None = None
    """The batch size that was too much for another one's memory, and that it tries again; until its first success."""
    placed: bool = False
    info: ReplicaInfo | None = None
    units: deque[int] = field(default_factory=deque)
    """In hand: the first is running, or being published while the second runs already."""
    progress: tuple[int, int, int, float] = (-1, 0, 0, 0.0)
    asked: float | None = None
    """Since when a progress call is under way."""
    failures: int = 0
    """Since its last success."""
    rests_until: float = 0.0

    def obituary(self, died: str = "died") -> str:
        """Tell the user of its end."""
        where = f"on {self.info.host} (pid {self.info.pid}) {died}" if self.info else f"{died} while starting"
        units = ", ".join(map(str, self.units))
        return f"A replica {where}; another takes its place" + (f" and redoes unit {units}." if units else ".")
