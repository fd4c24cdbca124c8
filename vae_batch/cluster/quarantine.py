"""Who dies of what: units whose replicas die or hang are examined before they run again, or fail the job at last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from vae_batch.errors import UnitError
from vae_batch.latents.quarantine import Poison
from vae_batch.types import Unit

SUSPECT_DEATHS = 2
"""A unit is examined each time that its replica died so often with it in hand; at once where it hung."""

MAX_DEATHS = 10
"""A unit that was in hand this often when its replica died, and in which no poison was found, fails the job."""

_NODE_LOST = "its node has died"
"""Ray's own words."""


class Quarantine:
    """The deaths of a pool's replicas by unit, and the suspects.

    To be suspected costs a unit no more than time: an image of which no process dies is a row.

    Args:
        hang_seconds: an image that takes longer to decode hangs; None: units are neither watched nor examined.
        say: takes lines for the user.
    """

    def __init__(self, hang_seconds: float | None = None, say: Callable[[str], None] = lambda line: None) -> None:
        self.hang_seconds, self._say = hang_seconds, say
        self._deaths: Counter[int] = Counter()
        self._suspects: set[int] = set()
        self._cleared: set[int] = set()

    def suspects(self, unit: int) -> bool:
        """Whether a unit is to be examined before it runs again."""
        return unit in self._suspects

    def alone(self, unit: int) -> bool:
        """Whether a unit must have a replica to itself: of two that are in hand when it dies, which one was it?"""
        return unit in self._suspects or self._deaths[unit] > 0

    def died(self, unit: int, reason: str) -> None:
        """A replica died with this unit in hand; a lost node is not held against it. Raises UnitError at last."""
        if _NODE_LOST in reason:
            return
        self._count(unit, reason)
        if self._deaths[unit] % SUSPECT_DEATHS == 0:
            self._suspect(unit, f"{self._deaths[unit]} replicas died with it in hand")

    def starved(self, unit: int, reason: str) -> None:
        """A replica with this unit in hand was killed for lack of main memory. Raises UnitError at last."""
        self._count(unit, reason)

    def hung(self, unit: int) -> None:
        """A replica hung with this unit in hand, and was killed. Raises UnitError at last."""
        self._count(unit, "it hung")
        self._suspect(unit, "a replica hung with it in hand")

    def examine(self, replica: Any, unit: Unit) -> Any:
        """Start the examination of a unit on a replica; give the reference of what it will find."""
        return replica.quarantine.remote(unit, self.hang_seconds)

    def examined(self, unit: int, found: Sequence[Poison]) -> None:
        """Take what was found; the unit is no suspect any more."""
        self._suspects.discard(unit)
        if not found:
            self._cleared.add(unit)
            self._say(f"Unit {unit} leaves quarantine: none of its images does any harm. It is done again.")
            return
        del self._deaths[unit]
        names = ", ".join(f"{image.id} ({image.happened})" for image in found[:5])
        more = f" and {len(found) - 5:,} more" if len(found) > 5 else ""
        self._say(f"Unit {unit} leaves quarantine without its poison, which is rejected: {names}{more}.")

    def _count(self, unit: int, reason: str) -> None:
        self._deaths[unit] += 1
        if self._deaths[unit] >= MAX_DEATHS:
            examined = " None of its images does any harm when decoded alone." if unit in self._cleared else ""
            raise UnitError(
                f"unit {unit} was in hand each of the {MAX_DEATHS} times its replica died; what was published stays."
                f"{examined} The last time: {reason}"
            )

    def _suspect(self, unit: int, why: str) -> None:
        if self.hang_seconds is not None and unit not in self._suspects:
            self._suspects.add(unit)
            self._say(f"Unit {unit} goes into quarantine, where a process of its own decodes its images: {why}.")
