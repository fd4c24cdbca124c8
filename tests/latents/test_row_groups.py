"""Row groups are a function of the rows, whatever the batches."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch.latents import row_groups
from vae_batch.latents.moments import Moments
from vae_batch.latents.part import PartWriter
from vae_batch.latents.row_groups import RowGroups

SCHEMA = pa.schema([("id", pa.string()), ("row", pa.int64()), ("caption", pa.string())])
TEXT = 1000


def batch_of(texts: list[int | None], first: int = 0) -> pa.RecordBatch:
    rows = [{"id": "i", "row": first + i, "caption": None if n is None else "x" * n} for i, n in enumerate(texts)]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def groups_of(texts: list[int | None], cuts: list[int], most: int) -> list[int]:
    """Rows of each row group, when the rows come in batches that end at the cuts."""
    groups, sizes, first = RowGroups(SCHEMA, most), [0], 0
    for end in [*sorted(c for c in cuts if c < len(texts)), len(texts)]:
        seen = []
        for piece, begins in groups.split(batch_of(texts[first:end], first)):
            sizes += [0] if begins and sizes[-1] else []
            sizes[-1] += len(piece)
            seen += piece["row"].to_pylist()
        assert seen == list(range(first, end))
        first = end
    return sizes


@given(
    st.lists(st.none() | st.sampled_from([0, 1, 98, 499, 500, 999, 5000]), max_size=40),
    st.lists(st.integers(0, 40), max_size=6),
    st.integers(1, 12),
)
def test_row_groups_do_not_depend_on_batches_and_their_texts_are_bounded(
    texts: list[int | None], cuts: list[int], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "TEXT_BYTES", TEXT)
        sizes = groups_of(texts, cuts, most)
        assert sizes == groups_of(texts, [], most) and sum(sizes) == len(texts)
    at = 0
    for size, following in zip(sizes, [*sizes[1:], 0], strict=True):
        text = sum((n or 0) + 1 for n in texts[at : at + size])
        assert size <= most and (text <= TEXT or size == 1)
        at += size
        assert not following or size == most or text + (texts[at] or 0) + 1 > TEXT  # none is smaller than need be


def test_without_long_texts_only_the_rows_count() -> None:
    assert groups_of([50] * 10_000, [1024, 2000], 4096) == [4096, 4096, 1808]


def test_a_part_has_these_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "TEXT_BYTES", TEXT)
    monkeypatch.setattr(Moments, "update", lambda self, batch: None)
    texts: list[int | None] = [300, 300, 5000, 300, 300, 300, 300, None, 1]
    with PartWriter(tmp_path / "part", SCHEMA, 4, Moments((1,))) as part:
        part.write(batch_of(texts[:4]))
        part.write(batch_of(texts[4:], 4))
        part.finish({})
    metadata = pq.read_metadata(tmp_path / "part")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [2, 1, 3, 3]
    assert pq.read_table(tmp_path / "part")["row"].to_pylist() == list(range(9))
