"""Label files as found in the wild, and a source of a few images to join them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.sources.making import JPEG
from vae_batch.sources import Labelling, Reading, open_source, plan_units
from vae_batch.specs import ImagesSpec
from vae_batch.types import ImageRecord, Reject, Tally

NAMES = [f"{i:06}.jpg" for i in range(1, 9)]
ATTRIBUTES = ("5_o_Clock_Shadow", "Bald", "Smiling", "Young")


def folder_of(tmp_path: Path, names: list[str] | None = None) -> Path:
    """Small files that say that they are images."""
    folder = tmp_path / "images"
    for name in NAMES if names is None else names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG + name.encode())
    return folder


def write(path: Path, text: str, newline: str = "\n", last_newline: bool = True) -> Path:
    """A text file with chosen line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = text if last_newline else text.rstrip("\n")
    path.write_bytes(text.replace("\n", newline).encode())
    return path


def attributes_text(names: list[str] | None = None, count: int | None = None) -> str:
    """list_attr_celeba.txt: a count, a header with a space at its end, and values between one or two spaces."""
    names = NAMES if names is None else names
    lines = [str(len(names) if count is None else count), " ".join(ATTRIBUTES) + " "]
    lines += [name + " " + " ".join(f"{value(i, j):2d}" for j in range(4)) for i, name in enumerate(names)]
    return "\n".join(lines) + "\n"


def value(row: int, column: int) -> int:
    """1 or -1; the last column has no -1."""
    return 1 if column == 3 or (row * 7 + column * 3) % 5 < 2 else -1


def partition_text() -> str:
    """list_eval_partition.txt: six for training, one for validation, one for the test."""
    return "".join(f"{name} {max(0, i - 5)}\n" for i, name in enumerate(NAMES))


def joined(
    source: Path, tmp_path: Path, columns: dict[str, str] | None = None, sidecar_keys: tuple[str, ...] = (), **spec: Any
) -> tuple[list[ImageRecord | Reject], Tally, Labelling, list[str]]:
    """Read a whole source with labels; check the counts of every unit."""
    opened = open_source(str(source))
    tables = tmp_path / "tables"
    tables.mkdir(exist_ok=True)
    labelling = Labelling(ImagesSpec(source=str(source), **spec), opened, str(tables), columns, sidecar_keys)
    join, remarks = labelling.build(str(tables), str(tables))
    reading = Reading(opened.root, opened.options, join)
    found: list[ImageRecord | Reject] = []
    total = Tally()
    for unit in plan_units(opened):
        tally = Tally()
        items = list(reading.read(unit, tally))
        assert len(items) + tally.skipped + tally.excluded == tally.seen
        assert tally.excluded == sum(tally.reasons.values())
        assert tally.bytes == sum(len(item.data) for item in items if isinstance(item, ImageRecord))
        found += items
        total.excluded += tally.excluded
        total.unmatched += tally.unmatched
        total.reasons += tally.reasons
    return found, total, labelling, [*labelling.remarks, *remarks]


def labels_of(found: list[ImageRecord | Reject]) -> dict[str, Any]:
    """Labels by id."""
    return {item.id: item.labels for item in found if isinstance(item, ImageRecord)}
