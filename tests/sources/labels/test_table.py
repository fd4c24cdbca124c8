"""The table of labels: every key is found with its own values, whatever the keys are and however they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vae_batch.sources.labels import table as label_table
from vae_batch.sources.labels.table import LabelTable, build_table, connect
from vae_batch.sources.labels.types import LabelField

FIELDS = [
    LabelField("whole", "int64"),
    LabelField("real", "float64"),
    LabelField("yes", "bool"),
    LabelField("text", "string"),
    LabelField("box", "json"),
]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
keys = st.one_of(texts, st.sampled_from(["a", "a/b.jpg", "ä.jpg", "ab", "\U0001f600", "\uffff"]))
values = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.booleans(),
    st.none() | texts,
    st.none() | st.lists(st.integers(), max_size=2),
)


def build(folder: Path, rows: list[tuple[str | None, tuple[Any, ...]]]) -> tuple[LabelTable, int]:
    columns: dict[str, pa.Array] = {"key": pa.array([key for key, _ in rows], pa.string())}
    for i, field in enumerate(FIELDS):
        column = [v[i] if field.type != "json" or v[i] is None else json.dumps(v[i]) for _, v in rows]
        column = [None if x is None else int(x) for x in column] if field.type == "bool" else column
        columns[f"c{i}"] = pa.array(column, label_table._STORED[field.type])
    db = connect(folder)
    db.register("rows", pa.table(columns))
    final = folder / "table.arrow"
    repeated = build_table(db, "select *, 0 as file from rows", FIELDS, {"name": "test"}, str(final), str(folder))
    return LabelTable(str(final)), repeated


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.none() | keys, values), max_size=30), st.lists(keys, max_size=5), st.randoms())
def test_every_key_is_found_with_its_first_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], others: list[str], random: Any
) -> None:
    first: dict[str, tuple[Any, ...]] = {}
    for key, row in rows:
        if key is not None:
            first.setdefault(key, row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_table, "BLOCK_ROWS", 4)
        table, repeated = build(tmp_path_factory.mktemp("table"), rows)
    assert table.rows == len(first) == len([key for key, _ in rows if key is not None]) - repeated
    asked = [*first, *sorted(first), *others]
    random.shuffle(asked)
    for key in [*asked, *sorted(first)]:
        place = table.find(key)
        assert (place is not None) == (key in first)
        if place is not None:
            assert tuple(table.values(place)) == first[key]


def test_a_key_that_is_no_text_is_not_found(tmp_path: Path) -> None:
    table, _ = build(tmp_path, [("a", (1, 1.0, True, "x", [1]))])
    assert table.find("\ud800") is None and table.find("") is None and table.find("b") is None


def anonymous_bytes() -> int:
    """Memory that is this process's own, and no page of a file."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) << 10


def test_a_table_of_a_million_rows_is_mapped_and_not_read(tmp_path: Path) -> None:
    db = connect(tmp_path)
    rows = "select i::varchar || '.jpg' as key, i % 7 as c0, 0 as file from range(1000000, 0, -1) t(i)"
    final = tmp_path / "table.arrow"
    assert build_table(db, rows, [LabelField("n", "int64")], {}, str(final), str(tmp_path)) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["table.arrow"]
    before = anonymous_bytes()
    table = LabelTable(str(final))
    for i in range(1, 1_000_000, 997):
        place = table.find(f"{i}.jpg")
        assert place is not None and table.values(place) == [i % 7]
    assert anonymous_bytes() - before < 2 << 20 < 16 << 20 < final.stat().st_size
