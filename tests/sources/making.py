"""What tests of sources share: bytes that say they are images, and reading that checks the accounts."""

from __future__ import annotations

from pathlib import Path

from vae_batch.sources import open_source, plan_units, read_unit
from vae_batch.types import ImageRecord, Reject, Tally, Unit

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 2 + b"\xff\xd9"
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


def read_all(location: Path, unit_size: int | None = None) -> tuple[list[ImageRecord], list[Reject], Tally]:
    """Read a whole source, and check unit by unit that nothing is unaccounted for."""
    source = open_source(str(location))
    total = Tally()
    records: list[ImageRecord] = []
    rejects: list[Reject] = []
    for unit in plan_units(source, unit_size):
        found, tally = read_one(source.root, unit)
        records += [item for item in found if isinstance(item, ImageRecord)]
        rejects += [item for item in found if isinstance(item, Reject)]
        total.seen += tally.seen
        total.skipped += tally.skipped
        total.bytes += tally.bytes
        total.sidecars += tally.sidecars
    rows = [(item.shard, item.row) for item in [*records, *rejects]]
    assert len(rows) == len(set(rows))
    return records, rejects, total


def read_one(root: str, unit: Unit) -> tuple[list[ImageRecord | Reject], Tally]:
    """Read a unit and check its accounts."""
    tally = Tally()
    found = list(read_unit(root, unit, tally))
    assert len(found) + tally.skipped == tally.seen
    assert unit.seen is None or tally.seen == unit.seen
    return found, tally


def ids(items: list[ImageRecord] | list[Reject]) -> list[str]:
    return [item.id for item in items]
