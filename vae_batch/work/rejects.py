"""Copying the bytes of rejects out of the source, to look at them: only when asked for, and under names of ours."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from vae_batch import storage
from vae_batch.errors import OutputError, SourceError
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import open_plan
from vae_batch.latents.rejects import rejects
from vae_batch.sources import Reading
from vae_batch.sources.labels.exclusion import exclusion_table
from vae_batch.sources.labels.join import Join
from vae_batch.specs import EncodeSpec
from vae_batch.types import ImageRecord, Tally, Unit
from vae_batch.work.job import options_of

INDEX = "index.csv"
COLUMNS = ("number", "file", "id", "shard", "row", "stage", "error", "message", "note")
NAME_CHARACTERS = 80

Row = dict[str, Any]


@dataclass(slots=True)
class Exported:
    """What came of an export."""

    folder: str
    rejects: int
    files: int
    """Those of which there were bytes."""


def export_rejects(out: str | Path, folder: str | Path) -> Exported:
    """Copy the offending bytes of a data set's rejects from the source into a folder, with an index.

    A file is named by its number and what is harmless of its own name; no name from the source is ever a path.
    `index.csv` leads back: number, file (empty where there are no bytes), id, shard, row, stage, error, message, and a
    note: why there are no bytes, or that they are not those that were rejected.

    Args:
        out: the data set.
        folder: new or empty, and neither in the source nor in OUT.

    Raises:
        OutputError: the folder cannot be used, or OUT is damaged.
        OSError: the storage fails.
    """
    layout, folder = Layout.of(out), Path(folder).absolute()
    job, table = JobFile.load(layout), rejects(out)
    if job.kind != "encode":
        raise OutputError(f"{layout.out} has generated images: its rejects were never files")
    _check(folder, layout, job)
    folder.mkdir(parents=True, exist_ok=True)
    plan, reading = open_plan(layout, job.plan), _reading(layout, job)
    done = Exported(str(folder), len(table), 0)
    with (folder / INDEX).open("x", newline="", encoding="utf-8") as file:
        index = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        index.writeheader()
        for number in pc.unique(table["unit"]).to_pylist():
            rows = table.filter(pc.equal(table["unit"], number)).to_pylist()
            for row in _export_unit(reading, plan[number], rows, folder, done.files):
                done.files += bool(row["file"])
                index.writerow(row)
    return done


def _reading(layout: Layout, job: JobFile) -> Reading:
    """As the job reads its source: what is excluded stays out, whatever became of it meanwhile."""
    digest = job.fields["exclude"]
    join = Join(exclude=exclusion_table(layout.labels, digest)) if digest else None
    return Reading(job.source["root"], options_of(EncodeSpec(**job.spec)), join)


def _export_unit(reading: Reading, unit: Unit, rows: list[Row], folder: Path, number: int) -> Iterator[Row]:
    """Write the bytes of a unit's rejects as they are met; then name those that were not."""
    wanted = {(row["shard"], row["row"]): row for row in rows}
    note = "it could not be read: there are no bytes"
    try:
        for record in reading.read(_narrowed(unit, wanted), Tally()):
            row = wanted.get((record.shard, record.row))
            if row is None or not isinstance(record, ImageRecord):
                continue
            del wanted[record.shard, record.row]
            number += 1
            yield {**row, "number": number, "file": _write(folder, number, record), "note": _note(row, record)}
            if not wanted:
                return
    except SourceError as error:
        note = str(error)
    for row in wanted.values():
        yield {**row, "number": "", "file": "", "note": note}


def _narrowed(unit: Unit, wanted: dict[tuple[str, int], Row]) -> Unit:
    """Of loose files only the rejects: an archive is read through, a folder need not be."""
    if unit.pieces[0].format != "folder":
        return unit
    piece = unit.pieces[0]
    pieces = (replace(piece, first_row=row, files=(r["id"],), repeats=()) for (_, row), r in wanted.items())
    return replace(unit, pieces=tuple(pieces), seen=len(wanted))


def _write(folder: Path, number: int, record: ImageRecord) -> str:
    name = f"{number:06d}-{safe_name(record.id)}"
    with (folder / name).open("xb") as file:
        file.write(record.data)
    return name


def safe_name(image_id: str) -> str:
    """The last part of an id with nothing left in it that a file system, a shell or a terminal could take amiss."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", image_id.rpartition("/")[2]).lstrip(".-")
    return name[-NAME_CHARACTERS:] or "image"


def _note(row: Row, record: ImageRecord) -> str:
    same = row["sha256"] in (None, hashlib.sha256(record.data).hexdigest())
    return "" if same else "changed since it was rejected"


def _check(folder: Path, layout: Layout, job: JobFile) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"--export {folder} is not empty; give a new or empty folder")
    homes = [home for home in (layout.out, job.source["root"]) if not storage.is_remote(home)]
    for home in homes:
        if folder.resolve().is_relative_to(Path(home).resolve()):
            raise OutputError(f"--export {folder} lies in {home}, which it would change; give a folder outside it")
