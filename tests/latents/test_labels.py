from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch.errors import SpecError
from vae_batch.latents.labels import TYPES, LabelColumn, LabelNotes, LabelRows, check_names, infer, parse

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
sidecars = st.lists(st.none() | st.dictionaries(st.sampled_from("abcdef"), json_values, max_size=6), max_size=8)


def to_arrays(columns: Any, rows: Any, notes: LabelNotes) -> list[pa.Array]:
    """In two goes, since labels are gathered."""
    gathered = LabelRows(columns, notes)
    gathered.add(rows[:1])
    gathered.add(rows[1:])
    arrays = gathered.arrays()
    assert gathered.text == 0 and not any(map(len, gathered.arrays()))
    return arrays


def test_the_types_are_found_from_the_values() -> None:
    samples = [
        {"smile": 1, "name": "A", "ok": True, "box": [1, 2], "mixed": 1, "empty": None},
        {"smile": 0.5, "mixed": "x"},
    ]
    found = {c.name: c.type for c in infer(samples)}
    assert found == {
        "smile": "float64", "name": "string", "ok": "bool", "box": "json", "mixed": "json", "empty": "json",
    }  # fmt: skip
    assert next(c.name for c in infer(samples, "label_")) == "label_smile"


def test_what_does_not_fit_is_null_and_counted() -> None:
    columns = parse("age:int64,name:string,score:float64,ok:bool,box:json")
    rows = [
        {"age": 3, "name": "A", "score": 1, "ok": True, "box": [1]},
        {"age": 3.5, "name": 7, "score": True, "ok": 1, "box": "x"},
        {"age": 2**63, "name": "\ud800", "score": 10**400, "ok": None, "more": 1},
        None,
    ]
    notes = LabelNotes()
    arrays = to_arrays(columns, rows, notes)
    assert [a.to_pylist() for a in arrays] == [
        [3, None, None, None],
        ["A", None, None, None],
        [1.0, None, None, None],
        [True, None, None, None],
        ["[1]", '"x"', None, None],
    ]
    assert notes.nulls == {"age": 2, "name": 2, "score": 2, "ok": 1}
    assert notes.unforeseen == {"more": 1}


@given(sidecars, sidecars)
def test_any_sidecar_fits_any_schema(
    seen: list[dict[str, object] | None], rows: list[dict[str, object] | None]
) -> None:
    """Whatever comes, the arrays have the schema's types and lengths, and what fits is kept."""
    columns = infer([s for s in seen if s is not None])
    notes = LabelNotes()
    arrays = to_arrays(columns, rows, notes)
    for column, array in zip(columns, arrays, strict=True):
        assert array.type == TYPES[column.type]
        given_values = [r.get(column.key) if r else None for r in rows]
        assert array.null_count == given_values.count(None) + notes.nulls[column.key]
        if column.type == "json":
            kept = [json.loads(x) if x is not None else None for x in array.to_pylist()]
            assert [repr(k) for k in kept] == [repr(g) for g in given_values]
    foreseen = {c.key for c in columns}
    assert sum(notes.unforeseen.values()) == sum(k not in foreseen for r in rows if r for k in r)


def test_what_was_sampled_always_fits_the_schema_found() -> None:
    samples = [{"a": 1, "b": "x"}, {"a": 2.5, "c": {"d": 1}}, {"b": None}]
    notes = LabelNotes()
    to_arrays(infer(samples), samples, notes)
    assert not notes.nulls and not notes.unforeseen


@pytest.mark.parametrize("columns", ["age:integer", ":string", "a:b:c"])
def test_a_wrong_column_is_refused(columns: str) -> None:
    with pytest.raises(SpecError, match="want name:type with a type of string, float64, int64, bool, json"):
        parse(columns)


def test_clashes_are_named_whatever_the_case() -> None:
    with pytest.raises(SpecError, match=r"label ID would clash .* --label-prefix"):
        check_names([LabelColumn("ID", "ID", "string")], ["id", "mean"])
    with pytest.raises(SpecError, match="differ only by case: smile"):
        check_names([LabelColumn("Smile", "Smile", "string"), LabelColumn("smile", "smile", "string")], ["id"])


def test_too_many_keys_are_refused() -> None:
    with pytest.raises(SpecError, match="more than 1000 different keys, such as 0, 1, 2: name those"):
        infer([{str(i): 1 for i in range(1001)}])


def test_of_the_sidecars_looked_at_nothing_is_kept_but_keys_and_types() -> None:
    """A thousand of a megabyte each; and the look ends where there are too many keys."""
    alive, most = 0, 0

    class Sample(dict[str, Any]):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def samples(same: bool) -> Iterator[Sample]:
        nonlocal alive, most
        for i in range(100):
            alive += 1
            most = max(most, alive)
            yield Sample({f"{0 if same else i}-{k}": "x" for k in range(50)})

    assert len(infer(samples(same=True))) == 50
    assert most <= 2
    with pytest.raises(SpecError, match="more than 1000"):
        infer(samples(same=False))
    assert most <= 2


def test_a_key_too_long_for_a_column_is_counted_as_unforeseen() -> None:
    sample = {"k" * 257: 1, "a": 1}
    columns, notes = infer([sample]), LabelNotes()
    to_arrays(columns, [sample], notes)
    assert [c.key for c in columns] == ["a"] and notes.unforeseen == {"k" * 256: 1}


def test_many_unforeseen_keys_do_not_pile_up() -> None:
    notes = LabelNotes()
    to_arrays([], [{str(i): 1} for i in range(500)], notes)
    assert len(notes.unforeseen) == 101 and notes.unforeseen["(others)"] == 400
    assert pa.array([]).null_count == 0
