"""Where things are in an output data set."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(r"part-(\d{6,})\.parquet")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths in OUT; nothing outside `data` ends in .parquet, so that every reader takes `OUT` as it is."""

    out: Path

    @property
    def data(self) -> Path:
        """The parts."""
        return self.out / "data"

    @property
    def state(self) -> Path:
        """Everything that is not a part."""
        return self.out / ".vae_batch"

    @property
    def job(self) -> Path:
        """Spec, fingerprint, model card, label schema, plan digest."""
        return self.state / "job.json"

    def plan(self, digest: str) -> Path:
        """The units; the job file says which digest counts."""
        return self.state / f"plan-{digest[:16]}.arrow"

    def collection(self, digest: str) -> Path:
        """Paths and sizes of the source's files; the job file says which digest counts."""
        return self.state / f"source-{digest[:16]}.arrow"

    @property
    def retry(self) -> Path:
        """The units that are to be made anew; there only while they are."""
        return self.state / "retry.json"

    @property
    def rejects(self) -> Path:
        """Rejects files, one per unit that has any, named by unit and content."""
        return self.state / "rejects"

    @property
    def progress(self) -> Path:
        """What `status` reads while the job runs."""
        return self.state / "progress.json"

    @property
    def summary(self) -> Path:
        """Written last."""
        return self.state / "summary.json"

    @property
    def tmp(self) -> Path:
        """Unfinished files."""
        return self.state / "tmp"

    def part(self, unit: int) -> Path:
        """The part of a unit, named from its number alone."""
        return self.data / f"part-{unit:06d}.parquet"

    def rejects_file(self, unit: int, digest: str) -> Path:
        """The rejects of a unit, named by their content."""
        return self.rejects / f"{unit:06d}-{digest[:16]}.arrow"

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.data, self.rejects, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)

    def parts(self) -> tuple[set[int], list[str]]:
        """List `data` once: the units that have a part, and names that are no part."""
        units: set[int] = set()
        strangers: list[str] = []
        with os.scandir(self.data) as entries:
            for entry in entries:
                match = _PART.fullmatch(entry.name)
                if match and self.part(int(match[1])).name == entry.name:
                    units.add(int(match[1]))
                else:
                    strangers.append(entry.name)
        return units, sorted(strangers)
