"""Label files that share columns: the rows of one table, split over files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.labels.making import NAMES, attributes_text, folder_of, joined, labels_of, write
from vae_batch.errors import SourceError
from vae_batch.sources.labels import table as label_table
from vae_batch.sources.labels.table import LabelTable, build_table, connect
from vae_batch.sources.labels.types import LabelField


def labelled(tmp_path: Path, *files: str, columns: dict[str, str] | None = None, **spec: Any) -> Any:
    """Read a folder with CSV files of the names one, two, ...."""
    paths = [write(tmp_path / f"{name}.csv", text) for name, text in zip(("one", "two", "three"), files, strict=False)]
    return joined(folder_of(tmp_path), tmp_path, columns, labels=[str(path) for path in paths], **spec)


def test_rows_of_one_table_split_over_files(tmp_path: Path) -> None:
    rows = [f"{name},{i},a{i}\n" for i, name in enumerate(NAMES)]
    one, two = "name,age,kind\n" + "".join(rows[:5]), "name,kind,age\n000006.jpg,a5,5\n000007.jpg,a6,6\n"
    found, tally, labelling, remarks = labelled(tmp_path, one, two)
    expected = {name: {"age": i, "kind": f"a{i}"} for i, name in enumerate(NAMES[:7])}
    assert labels_of(found) == {**expected, NAMES[7]: None}
    assert tally.unmatched == {"one.csv and two.csv": 1}
    assert labelling.fields == [LabelField("age", "int64"), LabelField("kind", "string")]
    assert "Labels one.csv and two.csv: taken as one table, since they share columns." in remarks
    again = labelled(tmp_path, one, two)
    assert again[3] == ["Labels one.csv and two.csv: 7 rows, joined by id as before."]
    assert labels_of(again[0]) == labels_of(found) and again[2].fingerprint == labelling.fingerprint


def test_files_that_share_nothing_are_tables_of_their_own(tmp_path: Path) -> None:
    _, tally, *_ = labelled(tmp_path, "name,x\n000001.jpg,1\n", "name,y\n000002.jpg,1\n", "n,x\n000003.jpg,4\n")
    assert tally.unmatched == {"one.csv and three.csv": 6, "two.csv": 7}
    assert len(list((tmp_path / "tables").iterdir())) == 2
    again = labelled(tmp_path, "name,x\n000001.jpg,1\n", "name,y\n000002.jpg,1\n", "n,x\n000003.jpg,4\n")
    assert again[1].unmatched == tally.unmatched and again[3][0].endswith("as before.")


def test_one_file_fills_in_what_the_other_lacks(tmp_path: Path) -> None:
    one = "name,age,x\n000001.jpg,1,7\n000002.jpg,,8\n"
    two = "name,age,y\n000001.jpg,1,9\n000002.jpg,2,\n000002.jpg,3,\n"
    found, _, _, remarks = labelled(tmp_path, one, two)
    assert labels_of(found)[NAMES[0]] == {"age": 1, "x": 7, "y": 9}
    assert labels_of(found)[NAMES[1]] == {"age": 2, "x": 8, "y": None}
    assert remarks[-1] == "Note: one.csv and two.csv: 1 rows have the key of an earlier row, which counts."


def test_files_that_disagree_about_an_image(tmp_path: Path) -> None:
    one, two = "name,age,x\n000001.jpg,1,1\n000003.jpg,5,5\n", "name,age,y\n000002.jpg,2,2\n000003.jpg,2,2\n"
    with pytest.raises(SourceError, match=r"the label age of 000003.jpg is 5 in one.csv and 2 in two.csv: .*--columns"):
        labelled(tmp_path, one, two)
    assert list((tmp_path / "tables").iterdir()) == []
    found, *_ = labelled(tmp_path, one, two, columns={"x": "int64", "y": "int64"})
    assert labels_of(found)[NAMES[2]] == {"x": 5, "y": None} | {"y": 2}


@pytest.mark.parametrize(
    ("one", "two", "type", "values"),
    [
        ("3", "2.5", "float64", (3.0, 2.5)),
        ("-1", "7", "int64", (-1, 7)),
        ("-1", "1", "bool", (False, True)),
        ("true", "-1", "bool", (True, False)),
        ("", "2.5", "float64", (None, 2.5)),
        ("a", "", "string", ("a", None)),
    ],
)
def test_the_wider_type_holds_the_values_of_all(
    tmp_path: Path, one: str, two: str, type: str, values: tuple[Any, ...]
) -> None:
    found, _, labelling, _ = labelled(tmp_path, f"name,v\n000001.jpg,{one}\n", f"name,v\n000002.jpg,{two}\n")
    assert labelling.fields == [LabelField("v", type)]
    assert tuple(labels_of(found)[name]["v"] for name in NAMES[:2]) == values


def test_types_that_do_not_go_together(tmp_path: Path) -> None:
    one, two = "name,v,w\n000001.jpg,1,x\n", "name,v,z\n000002.jpg,young,1\n"
    with pytest.raises(SourceError, match=r"v is int64 in one.csv and string in two.csv, .*--columns v:string"):
        labelled(tmp_path, one, two)
    found, *_ = labelled(tmp_path, one, two, columns={"v": "string"})
    assert [labels_of(found)[name]["v"] for name in NAMES[:2]] == ["1", "young"]


def test_attributes_of_which_one_file_has_ones_alone(tmp_path: Path) -> None:
    files = [write(tmp_path / f"list_attr_{i}.txt", attributes_text(NAMES[4 * i : 4 * i + 4])) for i in range(2)]
    _, _, labelling, _ = joined(folder_of(tmp_path), tmp_path, labels=[str(file) for file in files])
    assert {field.type for field in labelling.fields} == {"bool"}


def test_files_of_several_kinds(tmp_path: Path) -> None:
    csv = write(tmp_path / "one.csv", "name,age,ok\n000001.jpg,1,true\n")
    lines = write(tmp_path / "two.jsonl", json.dumps({"name": NAMES[1], "age": 2.5, "ok": False}) + "\n")
    table = tmp_path / "three.parquet"
    pq.write_table(pa.table({"name": [NAMES[2]], "age": pa.array([3], pa.int32()), "ok": [True]}), table)
    found, *_ = joined(folder_of(tmp_path), tmp_path, labels=[str(csv), str(lines), str(table)])
    expected = [{"age": 1.0, "ok": True}, {"age": 2.5, "ok": False}, {"age": 3.0, "ok": True}]
    assert [labels_of(found)[name] for name in NAMES[:3]] == expected


def test_keys_that_name_the_images_in_different_ways(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="file name without extension, those of the other its id: give both"):
        labelled(tmp_path, "name,v\n000001.jpg,1\n", "name,v\n000002,1\n")


def test_the_split_of_files_that_each_have_one(tmp_path: Path) -> None:
    one, two = "name,split\n000001.jpg,train\n000002.jpg,train\n", "name,split\n000003.jpg,val\n"
    found, tally, _, remarks = labelled(tmp_path, one, two, split="validation")
    assert list(labels_of(found)) == [NAMES[2]]
    assert tally.reasons == {"split": 2, "no split": 5}
    assert "Split validation: 1 rows of one.csv and two.csv, by its column split." in remarks


row = st.tuples(st.integers(0, 2), st.text("abc", max_size=2), *[st.none() | st.integers(0, 3)] * 2)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(row, max_size=40))
def test_the_merged_rows_are_those_of_a_dictionary(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    of_file: dict[tuple[str, int], tuple[Any, ...]] = {}
    for file, key, *values in rows:
        of_file.setdefault((key, file), tuple(values))
    expected: dict[str, list[Any]] = {}
    clash = False
    for (key, _), values in sorted(of_file.items()):
        merged = expected.setdefault(key, [None, None])
        for i, value in enumerate(values):
            clash |= None not in (value, merged[i]) and value != merged[i]
            merged[i] = value if merged[i] is None else merged[i]
    folder = tmp_path_factory.mktemp("table")
    db, final = connect(folder), folder / "table.arrow"
    types = {"file": pa.int32(), "key": pa.string(), "c0": pa.int64(), "c1": pa.float64()}
    db.register("rows", pa.table([pa.array([r[i] for r in rows], t) for i, t in enumerate(types.values())], [*types]))
    fields, facts = [LabelField("n", "int64"), LabelField("x", "float64")], {"files": ["a", "b", "c"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_table, "BLOCK_ROWS", 3)
        try:
            repeated = build_table(db, "select * from rows", fields, facts, str(final), str(folder))
        except SourceError as error:
            assert clash and "mend one of the files" in str(error)
            return
    assert not clash
    assert repeated == len(rows) - len(of_file)
    table = LabelTable(str(final))
    assert table.rows == len(expected)
    for key, values in expected.items():
        place = table.find(key)
        assert place is not None and table.values(place) == values
