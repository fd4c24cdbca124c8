from __future__ import annotations

import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from vae_batch.latents.digest import Digests

VECTOR = pa.list_(pa.field("element", pa.float32()), 2)
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string())),
        pa.field("row", pa.int64()),
        pa.field("mean", VECTOR),
        pa.field("variance", VECTOR),
        pa.field("sample", pa.list_(pa.field("element", VECTOR), 2)),
        pa.field("kl", pa.float32()),
        pa.field("ok", pa.bool_()),
    ]
)
f32 = st.floats(width=32)
row = st.fixed_dictionaries(
    {
        "id": st.text(max_size=4),
        "shard": st.sampled_from(["a", "b"]),
        "row": st.integers(0, 9),
        "mean": st.lists(f32, min_size=2, max_size=2),
        "variance": st.none() | st.lists(f32, min_size=2, max_size=2),
        "sample": st.lists(st.lists(f32, min_size=2, max_size=2), min_size=2, max_size=2),
        "kl": st.none() | f32,
        "ok": st.none() | st.booleans(),
    }
)


def digests(rows: list[dict[str, object]], cuts: list[int] | None = None) -> tuple[str, str]:
    result = Digests(SCHEMA)
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    edges = [0, *sorted(min(c, len(rows)) for c in cuts or []), len(rows)]
    for start, end in itertools.pairwise(edges):
        result.update(batch.slice(start, end - start))
    return result.values_sha256(), result.ids_sha256()


@given(st.lists(row, max_size=8), st.lists(st.integers(0, 8), max_size=3))
def test_batches_do_not_show(rows: list[dict[str, object]], cuts: list[int]) -> None:
    assert digests(rows) == digests(rows, cuts)


@given(st.lists(row, min_size=1, max_size=5), st.data())
def test_every_value_shows(rows: list[dict[str, object]], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(SCHEMA.names))
    other = data.draw(row)
    changed = [*rows[:at], {**rows[at], name: other[name]}, *rows[at + 1 :]]
    before, after = (pa.RecordBatch.from_pylist(r, schema=SCHEMA) for r in (rows, changed))
    same = repr(before.to_pylist()) == repr(after.to_pylist())
    assert (digests(rows)[0] == digests(changed)[0]) == same


def test_null_is_not_zero_and_lengths_count() -> None:
    base = {"id": "ab", "shard": "a", "row": 0, "mean": [0, 0], "variance": None, "sample": [[0, 0], [0, 0]], "kl": 0.0}
    assert digests([base]) != digests([{**base, "kl": None}])
    one, other = [{**base, "id": "ab"}, {**base, "id": "c"}], [{**base, "id": "a"}, {**base, "id": "bc"}]
    assert digests(one)[0] != digests(other)[0]
    assert digests(one)[1] != digests(other)[1]
