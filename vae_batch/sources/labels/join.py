"""What is done to images between reader and decoder: labels joined by key, other splits and excluded ones left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from vae_batch.sources.labels.match import key_of
from vae_batch.sources.labels.table import LabelTable, open_table
from vae_batch.types import ImageRecord, Reject, Tally

SplitName = Literal["train", "validation", "test"]

_SPLITS: dict[Any, SplitName] = {
    **dict.fromkeys((0, "0", "train", "training"), "train"),
    **dict.fromkeys((1, "1", "valid", "validation", "val"), "validation"),
    **dict.fromkeys((2, "2", "test", "testing"), "test"),
}
"""CelebA's numbers, and the usual words."""


def split_name(value: object) -> SplitName | None:
    """The split that a label names, in CelebA's numbers or in words; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return _SPLITS.get(value.strip().lower() if isinstance(value, str) else value)


@dataclass(frozen=True, slots=True)
class Joined:
    """A label file, as a table."""

    name: str
    """What messages call the file."""
    table: str
    """Path of the table."""
    match: str
    """What its keys are; see `key_of`."""
    keys: tuple[str | None, ...]
    """The label of each field of the table; None for those that do not come along."""


@dataclass(frozen=True, slots=True)
class Join:
    """Plain data that travels to the replicas; the tables are opened there."""

    files: tuple[Joined, ...] = ()
    split: tuple[str, SplitName] | None = None
    """The label that says an image's split, and the split that is wanted."""
    exclude: str | None = None
    """Path of the table of excluded ids and digests."""

    def __call__(self, found: Iterator[ImageRecord | Reject], tally: Tally) -> Iterator[ImageRecord | Reject]:
        """Pass on what a reader found, with labels; what is left out is counted."""
        labels = _Labels(self.files)
        excluded = open_table(self.exclude) if self.exclude else None
        for item in found:
            values, missing = labels.of(item)
            why = _listed(excluded, item) or self._of_another_split(item, values)
            if why:
                tally.excluded += 1
                tally.reasons[why] += 1
                tally.bytes -= len(item.data) if isinstance(item, ImageRecord) else 0
                continue
            if isinstance(item, ImageRecord):
                tally.unmatched.update(missing)
                item = replace(item, labels=values)
            yield item

    def _of_another_split(self, item: ImageRecord | Reject, values: Mapping[str, Any] | None) -> str:
        """Why an image is not of the split; of what could not be read and has no label nobody can say it is."""
        if self.split is None:
            return ""
        label, wanted = self.split
        split = split_name((values or {}).get(label))
        if split == wanted or (split is None and isinstance(item, Reject)):
            return ""
        return "split" if split else "no split"

    def remarks(self, notes: Mapping[str, Mapping[str, int]], complete: bool) -> Iterator[str]:
        """What to say at the end.

        Args:
            notes: those of a summary.
            complete: whether every unit is in it.
        """
        for name, count in notes.get("unmatched", {}).items():
            yield f"  images without a row in {name}: {count:,}"
        reasons = notes.get("excluded", {})
        digests = [n for reason, n in reasons.items() if reason.startswith(_BY_DIGEST)]
        counts = {
            "by --exclude": reasons.get("id", 0) + sum(digests),
            "as of another split": reasons.get("split", 0),
            "as of no known split": reasons.get("no split", 0),
        }
        yield from (f"  excluded {what}: {count:,}" for what, count in counts.items() if count)
        if self.exclude and complete:
            nobody = open_table(self.exclude).rows - reasons.get("id", 0) - len(digests)
            if nobody:
                yield f"  entries of --exclude that left no image out: {nobody:,}"


_BY_DIGEST = "sha256 "


def _listed(excluded: LabelTable | None, item: ImageRecord | Reject) -> str:
    """Why an image is excluded; by its digest the reason has the place in the list, so that these can be counted."""
    if excluded is None:
        return ""
    if excluded.find(item.id):
        return "id"
    if not excluded.facts["by_digest"]:
        return ""
    digest = hashlib.sha256(item.data).hexdigest() if isinstance(item, ImageRecord) else item.sha256
    place = excluded.find(digest) if digest else None
    return f"{_BY_DIGEST}{place[0]}:{place[1]}" if place else ""


class _Labels:
    """The labels of images from tables, over those of their sidecars."""

    def __init__(self, files: tuple[Joined, ...]) -> None:
        self._tables = [(file, open_table(file.table)) for file in files]
        self._ours = {key for file in files for key in file.keys if key is not None}

    def of(self, item: ImageRecord | Reject) -> tuple[dict[str, Any] | None, list[str]]:
        """An image's labels, and the files that have no row for it.

        A label that a file has is never taken from a sidecar, not even for images that the file lacks.
        """
        own = item.labels if isinstance(item, ImageRecord) else None
        labels = {key: value for key, value in (own or {}).items() if key not in self._ours}
        missing = []
        for file, table in self._tables:
            place = table.find(key_of(file.match, item.id, item.shard))
            if place is None:
                missing.append(file.name)
            else:
                labels |= {k: v for k, v in zip(file.keys, table.values(place), strict=True) if k is not None}
        return labels or None, missing
