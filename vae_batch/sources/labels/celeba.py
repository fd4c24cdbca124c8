"""Label files in columns of spaces, as CelebA has them: a count and a header (or not), then names and values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from vae_batch.errors import SourceError
from vae_batch.types import BOX_COLUMNS, LANDMARK_COLUMNS

ALIGNED, IN_THE_WILD = "list_landmarks_align_celeba", "list_landmarks_celeba"
"""Two files of one folder with the same columns, for two versions of the images."""

_UNNAMED = {"partition": ("partition",), "identity": ("identity",), "landmarks": LANDMARK_COLUMNS, "bbox": BOX_COLUMNS}
"""Columns of a file without a header, by what is in its name."""


def output_names(keys: Collection[str]) -> dict[str, str]:
    """What labels are called in the output: themselves, but for a box's width and height, which the image has too."""
    box = set(BOX_COLUMNS) <= set(keys)
    return {key: f"bbox_{key}" if box and key in ("width", "height") else key for key in keys}


Row = tuple[int, list[str]]
"""Line number from 1, and the words of a line."""


def to_tsv(path: Path, name: str, tsv: Path) -> tuple[str, list[str]]:
    """Rewrite a file of words between spaces as tabs, with one header line whose first column is `image_id`.

    Args:
        path: the file.
        name: what it is called, which tells the columns of CelebA's files without a header.
        tsv: written.

    Returns:
        The header, and what the user should know: rows that were left out, a count line that is not right.

    Raises:
        SourceError: the columns have no names, or most rows have another number of values.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as source, tsv.open("w", encoding="utf-8") as out:
        rows = _rows(source)
        first = next(rows, None)
        count = int(first[1][0]) if first and len(first[1]) == 1 and first[1][0].isdecimal() else None
        if count is not None:
            first = next(rows, None)
        second = next(rows, None)
        if first is None:
            raise SourceError(f"{name} holds no rows")
        columns, waiting = _columns(name, first, second)
        header = "\t".join(("image_id", *columns))
        out.write(f"{header}\n")
        good, bad, where = 0, 0, 0
        for number, words in _chain(waiting, rows):
            if len(words) == len(columns) + 1:
                good += 1
                out.write("\t".join(words) + "\n")
            else:
                bad, where = bad + 1, where or number
    if bad > good:
        raise SourceError(
            f"{name}: {bad:,} of {good + bad:,} rows have not {len(columns)} values, such as line {where}"
        )
    return header, _remarks(name, count, good, bad, where, len(columns))


def _remarks(name: str, count: int | None, good: int, bad: int, where: int, columns: int) -> list[str]:
    remarks = []
    if bad:
        remarks.append(
            f"Note: {name}: {bad:,} rows are left out, which have not {columns} values, such as line {where}."
        )
    if count is not None and count != good:
        remarks.append(
            f"Note: {name} says in its first line that it has {count:,} rows, but has {good:,}: it may be incomplete."
        )
    return remarks


def _rows(lines: Iterator[str]) -> Iterator[Row]:
    return ((number, words) for number, line in enumerate(lines, 1) if (words := line.split()))


def _chain(first: list[Row], rest: Iterator[Row]) -> Iterator[Row]:
    yield from first
    yield from rest


def _columns(name: str, first: Row, second: Row | None) -> tuple[list[str], list[Row]]:
    """The names of the columns, and those of the first two rows that are data."""
    behind = [] if second is None else [second]
    words = first[1]
    if not all(map(is_number, words[1:])) or (second and len(second[1]) == len(words) + 1):
        named = second is None or len(second[1]) == len(words)
        return words[1:] if named else words, behind
    values = len(words) - 1
    for part, columns in _UNNAMED.items():
        if part in name.lower() and len(columns) == values:
            return list(columns), [first, *behind]
    raise SourceError(
        f"{name} has no header, so its {values} columns have no names: put a line before the first, with a name for "
        "the images and one for each column"
    )


def is_number(word: str) -> bool:
    """Whether a word is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True
