"""Where a shard may be cut, and which rows repeat an id: what the plan keeps of a table or a listing."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_batch.sources.shard import Shard, Stretch
from vae_batch.types import Piece

_MAX_BORDERS = 1 << 16


@dataclass(frozen=True, slots=True)
class Cuts:
    """A shard of known rows that can be read from any of its borders on."""

    rows: int
    border_offsets: npt.NDArray[np.int64]
    """Where it may be cut, in what `Piece.start` counts for its format; ascending, the first is the beginning."""
    border_rows: npt.NDArray[np.int64]
    """Row behind each border; the first is 0."""
    repeats: npt.NDArray[np.int64]
    """Rows whose id an earlier row has, ascending."""

    def split(self, shard: Shard, size: int) -> Iterator[Stretch]:
        """Cut into about equal pieces at borders; the last one goes to the end. See `Index`."""
        count = max(1, round(self.rows / size))
        wanted = [self.rows * i // count for i in range(1, count)]
        cuts = np.unique(np.searchsorted(self.border_rows, wanted))
        cuts = cuts[(cuts > 0) & (cuts < len(self.border_rows))]
        starts = [0, *self.border_offsets[cuts].tolist(), None]
        rows = [0, *self.border_rows[cuts].tolist(), self.rows]
        for i in range(len(rows) - 1):
            first, behind = rows[i], rows[i + 1]
            inside = self.repeats[(self.repeats >= first) & (self.repeats < behind)]
            repeats = tuple(inside.tolist()) if len(cuts) else ()
            piece = Piece(
                shard.path, shard.format, first, starts[i], starts[i + 1], repeats=repeats, shard_bytes=shard.bytes
            )
            share = shard.bytes * behind // self.rows - shard.bytes * first // self.rows
            yield Stretch(piece, behind - first, share)


class Borders:
    """Gathers borders; beyond a number every other one is dropped, so that memory is bounded."""

    def __init__(self) -> None:
        self._offsets, self._rows = array("q"), array("q")
        self._step, self._count = 1, 0

    def add(self, offset: int, row: int) -> None:
        """The shard may be cut at this offset, before this row."""
        if self._count % self._step == 0:
            self._offsets.append(offset)
            self._rows.append(row)
        self._count += 1
        if len(self._offsets) >= _MAX_BORDERS:
            self._offsets, self._rows = self._offsets[::2], self._rows[::2]
            self._step *= 2

    def cuts(self, rows: int, repeats: npt.NDArray[np.int64]) -> Cuts:
        """All that the plan wants to know."""
        return Cuts(rows, np.array(self._offsets, np.int64), np.array(self._rows, np.int64), repeats)


class Hashes:
    """64-bit hashes of the ids of a shard, by row: 8 bytes each, for what repeats among millions."""

    def __init__(self) -> None:
        self._hashes, self._missing = array("q"), array("q")

    def add(self, image_id: str | None) -> None:
        """The id of the next row; None where it has none."""
        if image_id is None:
            self._missing.append(len(self._hashes))
        self._hashes.append(hash(image_id))

    def repeats(self) -> npt.NDArray[np.int64]:
        """Rows whose id an earlier row has, ascending."""
        hashes = np.frombuffer(self._hashes, np.int64) if self._hashes else np.zeros(0, np.int64)
        ordered = np.sort(hashes)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        rows = np.flatnonzero(np.isin(hashes, twice))
        rows = rows[~np.isin(rows, np.array(self._missing, np.int64))]
        _, first = np.unique(hashes[rows], return_index=True)
        return np.delete(rows, first)


class Repeats:
    """Knows the rows whose id an earlier one has: by the plan for a piece, by what it met for a whole shard."""

    def __init__(self, piece: Piece) -> None:
        self._whole = piece.start == 0 and piece.end is None
        self._known: set[int] = set() if self._whole else set(piece.repeats)

    def has(self, row: int, image_id: str) -> bool:
        """Whether this row repeats an id; to be asked of every row in order."""
        if not self._whole:
            return row in self._known
        before = len(self._known)
        self._known.add(hash(image_id))
        return len(self._known) == before
