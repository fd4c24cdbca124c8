"""A data set of drawn faces on disk: tar shards in the WebDataset convention, or folders; on all cores.

Everything is drawn into a folder beside OUT that takes its name at the end, so that OUT is either empty or whole: a
run that was stopped leaves nothing to be taken for a data set, and the same command starts afresh.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vae_batch.errors import OutputError, SpecError
from vae_batch.faces.draw import SIZE
from vae_batch.faces.shard import Shard
from vae_batch.faces.workers import draw_all

Format = Literal["tar", "folder"]
SMALLEST, LARGEST = 32, 2048


@dataclass(frozen=True, slots=True)
class DrawnFaces:
    """What was written."""

    faces: int
    shards: int
    """Tars, or subfolders."""
    bytes: int
    """Of all files together."""
    seconds: float


def write_faces(
    out: str | Path,
    count: int,
    *,
    format: Format = "tar",
    shard_size: int = 1000,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    still: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> DrawnFaces:
    """Draw the faces 0 to count-1 of a seed: `000000012.jpg` beside `000000012.json`, its attributes.

    The bytes depend on neither `workers` nor the order of drawing; a face does not depend on `count`.

    Args:
        out: a folder that is empty or yet to be made; gets `faces-000000.tar` … or subfolders `000` ….
        count: faces, at least 1.
        format: "tar" or "folder".
        shard_size: faces in a tar or subfolder.
        size: width and height in pixels, each from 32 to 2048, neither more than twice the other.
        seed: 0 or more.
        still: one setting for all, so that the six attributes are all that varies.
        workers: processes; None takes one for each core that this process may use.
        on_progress: told a few times a second how many faces are drawn.

    Raises:
        SpecError: a value is out of its range.
        OutputError: `out` holds other things, or cannot be written.
    """
    start = time.perf_counter()
    _check(count, format, shard_size, size, seed, workers)
    shards = _shards(count, format, shard_size, size, seed, still)
    workshop = _prepare(Path(out))
    try:
        total = draw_all(workshop, shards, workers or _cores(), on_progress)
        workshop.rename(Path(out).absolute())
    except OSError as error:
        raise OutputError(f"cannot write faces to {out}: {error}") from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return DrawnFaces(count, len(shards), total, time.perf_counter() - start)


def _check(count: int, format: str, shard_size: int, size: tuple[int, int], seed: int, workers: int | None) -> None:
    for name, value, least in (("count", count, 1), ("shard_size", shard_size, 1), ("seed", seed, 0)):
        if value < least:
            raise SpecError(f"{name} is {value}: it must be at least {least}")
    if workers is not None and workers < 1:
        raise SpecError(f"workers is {workers}: it must be at least 1")
    if format not in get_args(Format):
        raise SpecError(f"format is {format!r}: it must be one of {', '.join(get_args(Format))}")
    if min(size) < SMALLEST or max(size) > min(LARGEST, 2 * min(size)):
        limits = f"each side must be from {SMALLEST} to {LARGEST}, neither more than twice the other"
        raise SpecError(f"size is {size[0]}x{size[1]}: {limits}")


def _shards(count: int, format: Format, shard_size: int, size: tuple[int, int], seed: int, still: bool) -> list[Shard]:
    starts = range(0, count, shard_size)
    digits = max(3, len(str(len(starts) - 1)))
    return [
        Shard(
            name=f"faces-{number:06d}.tar" if format == "tar" else f"{number:0{digits}d}",
            first=first,
            stop=min(first + shard_size, count),
            seed=seed,
            size=size,
            still=still,
        )
        for number, first in enumerate(starts)
    ]


def _prepare(out: Path) -> Path:
    """Make `out` and, beside it, an empty folder to draw into."""
    out = out.absolute()
    workshop = out.with_name(f".{out.name}.unfinished")
    try:
        out.mkdir(parents=True, exist_ok=True)
        others = sorted(entry.name for entry in out.iterdir())
        if others:
            found = ", ".join(others[:3]) + (" …" if len(others) > 3 else "")
            raise OutputError(f"{out} is not empty (it holds {found}): name a new folder, or empty this one")
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir()
    except OSError as error:
        raise OutputError(f"cannot use {out} as the output folder: {error}") from error
    return workshop


def _cores() -> int:
    """Cores that this process may run on: under Slurm, say, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
