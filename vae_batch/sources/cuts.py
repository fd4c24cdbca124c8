"""Where a shard may be cut, and which rows repeat an id: what the plan keeps of a table or a listing."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from vae_batch.sources.shard import Index, Shard, Stretch
from vae_batch.types import Piece

_MAX_BORDERS = 1 << 16
WHOLE = 256
"""Images: whole batches of any usual size."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """A shard of known rows that can be read from any of its borders on."""

    rows: int
    border_offsets: npt.NDArray[np.int64]
    """Where it may be cut, in what `Piece.start` counts for its format; ascending, the first is the beginning."""
    border_rows: npt.NDArray[np.int64]
    """Row behind each border; the first is 0."""
    ids: Hashes | None = None
    """Of ids that are not unique by themselves; `with_repeats` makes `repeats` of them."""
    repeats: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows whose id an earlier row of the source has, ascending."""

    def split(self, shard: Shard, size: int) -> Iterator[Stretch]:
        """Cut into about equal pieces, of whole batches where it can be; the last goes to the end. See `Index`."""
        count, whole = max(1, round(self.rows / size)), min(WHOLE, size)
        wanted = [round(self.rows * i / count / whole) * whole for i in range(1, count)]
        cuts = np.unique(np.searchsorted(self.border_rows, wanted))
        cuts = cuts[(cuts > 0) & (cuts < len(self.border_rows))]
        starts = [0, *self.border_offsets[cuts].tolist(), None]
        rows = [0, *self.border_rows[cuts].tolist(), self.rows]
        for i in range(len(rows) - 1):
            first, behind = rows[i], rows[i + 1]
            inside = self.repeats[(self.repeats >= first) & (self.repeats < behind)]
            repeats = tuple(inside.tolist())
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

    def cuts(self, rows: int, ids: Hashes | None) -> Cuts:
        """All that the plan wants to know."""
        return Cuts(rows, *self.arrays(), ids)

    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Offsets, and the row behind each."""
        return np.array(self._offsets, np.int64), np.array(self._rows, np.int64)


class Hashes:
    """64-bit hashes of the ids of a shard, by row: 8 bytes each, for what repeats among millions."""

    def __init__(self) -> None:
        self._hashes, self._missing = array("q"), array("q")

    def add(self, image_id: str | None) -> None:
        """The id of the next row; None where it has none."""
        if image_id is None:
            self._missing.append(len(self._hashes))
        self._hashes.append(hash(image_id))

    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The hashes, and whether each row has an id."""
        hashes = np.array(self._hashes, np.int64)
        present = np.ones(len(hashes), bool)
        present[np.array(self._missing, np.int64)] = False
        return hashes, present


def with_repeats(indexes: Sequence[Index | None]) -> list[Index | None]:
    """The indexes of a source's shards, each with its rows whose id an earlier row of the source has."""
    own = [i for i, index in enumerate(indexes) if isinstance(index, Cuts) and index.ids is not None]
    found: list[Index | None] = list(indexes)
    if not own:
        return found
    arrays = [index.ids.arrays() for index in indexes if isinstance(index, Cuts) and index.ids is not None]
    repeats = _repeats(*(np.concatenate(parts) for parts in zip(*arrays, strict=True)))
    first = 0
    for i, (hashes, _) in zip(own, arrays, strict=True):
        low, high = np.searchsorted(repeats, [first, first + len(hashes)])
        index = indexes[i]
        assert isinstance(index, Cuts)
        found[i] = replace(index, repeats=repeats[low:high] - first, ids=None)
        first += len(hashes)
    return found


def _repeats(hashes: npt.NDArray[np.int64], present: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Positions of the hashes that an earlier one equals, ascending."""
    ordered = np.sort(hashes)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    rows = np.flatnonzero(np.isin(hashes, twice) & present)
    _, first = np.unique(hashes[rows], return_index=True)
    return np.delete(rows, first)
