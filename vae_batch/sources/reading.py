"""How a job reads its source: plain data that travels to the replicas, and reads any unit there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vae_batch.sources.labels.join import Join
from vae_batch.sources.read import read_unit
from vae_batch.sources.shard import NO_OPTIONS, SourceOptions
from vae_batch.types import ImageRecord, Reject, Tally, Unit


@dataclass(frozen=True, slots=True)
class Reading:
    """A source's root, and all that decides what a reader hands on."""

    root: str
    """Absolute folder, or URI of one."""
    options: SourceOptions = NO_OPTIONS
    join: Join | None = None
    """Labels from files, split and exclusion."""

    def read(self, unit: Unit, tally: Tally) -> Iterator[ImageRecord | Reject]:
        """Stream a unit's images in order; see `read_unit`."""
        found = read_unit(self.root, unit, tally, self.options)
        return found if self.join is None else self.join(found, tally)
