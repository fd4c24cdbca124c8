"""Where things are in an output data set."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vae_batch import storage

_PART = re.compile(r"part-(\d{6,})\.parquet")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths in OUT; nothing outside `data` ends in .parquet, so that every reader takes `OUT` as it is."""

    out: str
    """A folder here, absolute, or a URI."""

    @classmethod
    def of(cls, out: str | Path) -> Layout:
        """The layout of what a user names."""
        return cls(storage.absolute(out))

    @property
    def data(self) -> str:
        """The parts."""
        return storage.join(self.out, "data")

    @property
    def state(self) -> str:
        """Everything that is not a part."""
        return storage.join(self.out, ".vae_batch")

    @property
    def job(self) -> str:
        """Spec, fingerprint, model card, label schema, plan digest."""
        return storage.join(self.state, "job.json")

    def plan(self, digest: str) -> str:
        """The units; the job file says which digest counts."""
        return storage.join(self.state, f"plan-{digest[:16]}.arrow")

    def collection(self, digest: str) -> str:
        """Paths and sizes of the source's files; the job file says which digest counts."""
        return storage.join(self.state, f"source-{digest[:16]}.arrow")

    @property
    def retry(self) -> str:
        """The units that are to be made anew; there only while they are."""
        return storage.join(self.state, "retry.json")

    @property
    def rejects(self) -> str:
        """Rejects files, one per unit that has any, named by unit and content."""
        return storage.join(self.state, "rejects")

    @property
    def labels(self) -> str:
        """Folder of the tables of labels and of excluded images, named by their content; replicas map them."""
        return storage.join(self.state, "labels")

    @property
    def quarantine(self) -> str:
        """Images that kill or hang the process that decodes them: a file for each unit that has any."""
        return storage.join(self.state, "quarantine")

    @property
    def batch_size(self) -> str:
        """The batch size that fits the replicas' memory; there only where the one asked for did not."""
        return storage.join(self.state, "batch_size.json")

    @property
    def progress(self) -> str:
        """What `status` reads while the job runs."""
        return storage.join(self.state, "progress.json")

    @property
    def summary(self) -> str:
        """Written last."""
        return storage.join(self.state, "summary.json")

    @property
    def tmp(self) -> str:
        """Unfinished files."""
        return storage.join(self.state, "tmp")

    def part_name(self, unit: int) -> str:
        """The name of a unit's part, made from its number alone."""
        return f"part-{unit:06d}.parquet"

    def part(self, unit: int) -> str:
        """The part of a unit."""
        return storage.join(self.data, self.part_name(unit))

    def rejects_file(self, unit: int, digest: str) -> str:
        """The rejects of a unit, named by their content."""
        return storage.join(self.rejects, f"{unit:06d}-{digest[:16]}.arrow")

    def quarantine_file(self, unit: int) -> str:
        """What quarantine found in a unit."""
        return storage.join(self.quarantine, f"{unit:06d}.json")

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.data, self.rejects, self.tmp):
            storage.make_folder(folder)

    def parts(self) -> tuple[set[int], list[str]]:
        """List `data` once: the units that have a part, and names that are no part."""
        sizes, strangers = self.part_sizes()
        return set(sizes), strangers

    def part_sizes(self) -> tuple[dict[int, int], list[str]]:
        """List `data` once: bytes of the part of each unit that has one, and names that are no part."""
        sizes: dict[int, int] = {}
        strangers: list[str] = []
        for name, size in storage.list_files(self.data).items():
            match = _PART.fullmatch(name)
            if match and self.part_name(int(match[1])) == name:
                sizes[int(match[1])] = size
            else:
                strangers.append(name)
        return sizes, sorted(strangers)
