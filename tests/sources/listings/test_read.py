"""Listings: paths in CSV, TSV, JSON Lines and Parquet, with ids and labels, cut anywhere, bad rows and gone files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vae_batch
from tests.conftest import image_bytes, spec
from tests.sources.making import JPEG
from tests.sources.tables.test_parquet import read
from vae_batch.errors import SourceError
from vae_batch.sources import SourceOptions, count_images, open_source, plan_units, sample_labels

KINDS = ["x.csv", "x.tsv", "x.jsonl", "x.ndjson", "x.parquet", "x.feather"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows in the format of the path's name, as pandas writes them."""
    frame = pd.DataFrame(rows)
    kind = path.suffix
    if kind == ".parquet":
        frame.to_parquet(path, row_group_size=7)
    elif kind == ".feather":
        frame.to_feather(path)
    elif kind in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == ".tsv" else ",")
    return path


def pictures(folder: Path, count: int) -> list[str]:
    (folder / "pics").mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / "pics" / f"{i}.jpg").write_bytes(JPEG + b"%d" % i)
    return [f"pics/{i}.jpg" for i in range(count)]


@pytest.mark.parametrize("name", KINDS)
def test_paths_and_labels(tmp_path: Path, name: str) -> None:
    paths = pictures(tmp_path, 5)[::-1]
    rows = [
        {"age": 30 + i, "file_name": p, "note": f'a, "b"\n{i}', "smiling": i % 2 == 0, "score": i / 4, "zip": f"00{i}"}
        for i, p in enumerate(paths)
    ]
    location = write(tmp_path / name, rows)
    records, rejects, tally = read(location)
    assert rejects == []
    assert [(r.id, r.shard, r.row) for r in records] == [(p, name, i) for i, p in enumerate(paths)]
    assert [r.data for r in records] == [(tmp_path / p).read_bytes() for p in paths]
    expected = [{k: v for k, v in row.items() if k != "file_name"} for row in rows]
    assert [r.labels for r in records] == expected
    assert list(sample_labels(open_source(str(location)))) == expected
    assert tally.seen == 5
    chosen = read(location, options=SourceOptions(columns={"zip": "string", "age": "float64", "gone": "bool"}))[0]
    assert [r.labels for r in chosen] == [{"zip": row["zip"], "age": row["age"]} for row in rows]
    assert [r.labels for r in read(location, options=SourceOptions(columns={}))[0]] == [None] * 5


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 40), cells), min_size=1, max_size=60), st.integers(1, 30), st.sampled_from(KINDS)
)
def test_cutting_changes_nothing(tmp_path: Path, rows: list[tuple[int, str]], size: int, name: str) -> None:
    paths = pictures(tmp_path, 41)
    listed = [{"path": paths[i], "text": "x" + text} for i, text in rows]
    location = write(tmp_path / name, listed)
    whole, cut = read(location, 10**6), read(location, size)
    assert whole == cut
    assert whole[2].seen == len(rows)
    records, rejects, _ = whole
    assert {r.id for r in records} == {row["path"] for row in listed}
    assert {r.error for r in rejects} <= {"DuplicateId"}
    assert [(r.labels or {}).get("text") for r in records] == [listed[r.row]["text"] for r in records]


def test_where_paths_lead(tmp_path: Path) -> None:
    pictures(tmp_path / "data", 1)
    (tmp_path / "lists").mkdir()
    lfs = tmp_path / "data" / "lfs.jpg"
    lfs.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    cases = {
        "../data/pics/0.jpg": None,
        str(tmp_path / "data/pics/0.jpg"): None,
        f"file://{tmp_path}/data/pics/0.jpg": None,
        "../data/pics/gone.jpg": "FileNotFoundError",
        "../data/pics": "IsADirectoryError",
        "../data/lfs.jpg": "GitLfsPointer",
        "https://example.org/a.jpg": "WebAddress",
        "nowhere://bucket/a.jpg": "UnknownScheme",
        "x" * 300 + ".jpg": "OSError",
    }
    location = write(tmp_path / "lists" / "x.csv", [{"path": path} for path in cases])
    records, rejects, _ = read(location)
    errors = {r.id: r.error for r in rejects} | {r.id: None for r in records}
    assert errors == cases
    messages = {r.error: r.message for r in rejects}
    assert messages["FileNotFoundError"].endswith("gone.jpg: there is no such file")
    assert "git lfs pull" in messages["GitLfsPointer"]
    assert "not fetched" in messages["WebAddress"]


def test_a_file_that_vanishes_after_the_plan(tmp_path: Path) -> None:
    location = write(tmp_path / "x.csv", [{"path": p} for p in pictures(tmp_path, 3)])
    source = open_source(str(location))
    unit = next(iter(plan_units(source)))
    (tmp_path / "pics" / "1.jpg").unlink()
    from vae_batch.sources import read_unit
    from vae_batch.types import Reject, Tally

    found = list(read_unit(source.root, unit, Tally(), source.options))
    assert [isinstance(item, Reject) for item in found] == [False, True, False]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"path": "pics/0.jpg", "thumb": "pics/1.jpg"}, "path"),
        ({"Image_Path": "pics/0.jpg", "url": "https://x/y.jpg"}, "Image_Path"),
        ({"name": "Ann", "left": "pics/0.jpg"}, "left"),
        ({"file": "me", "left": "pics/0.jpg"}, "left"),
        ({"age": 3, "key": "pics/0.jpg"}, "key"),
    ],
)
@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_the_column_of_paths(tmp_path: Path, name: str, columns: dict[str, Any], found: str) -> None:
    pictures(tmp_path, 2)
    records, _, _ = read(write(tmp_path / name, [columns]))
    assert [r.id for r in records] == ["pics/0.jpg"]
    assert set(records[0].labels or {}) == set(columns) - {found}


def test_columns_that_cannot_be_found(tmp_path: Path) -> None:
    pictures(tmp_path, 2)
    location = write(tmp_path / "x.csv", [{"left": "pics/0.jpg", "right": "pics/1.jpg", "n": 1}])
    with pytest.raises(SourceError, match=r"x\.csv: no column is clearly one.*--image-column.*left, right, n"):
        read(location)
    assert [r.id for r in read(location, options=SourceOptions("right"))[0]] == ["pics/1.jpg"]
    with pytest.raises(SourceError, match="there is no column middle"):
        read(location, options=SourceOptions("middle"))
    with pytest.raises(SourceError, match="--id-column z is not there"):
        read(location, options=SourceOptions("left", "z"))
    (tmp_path / "x.csv").write_text("path\n")
    with pytest.raises(SourceError, match="has no rows"):
        read(location)
    with pytest.raises(SourceError, match="img2dataset"):
        read(write(tmp_path / "x.csv", [{"url": f"https://example.org/{i}.jpg"} for i in range(3)]))
    with pytest.raises(SourceError, match="is no listing, so there is no column left"):
        read(tmp_path / "pics", options=SourceOptions("left"))


@pytest.mark.parametrize("name", KINDS)
def test_ids_of_a_column(tmp_path: Path, name: str) -> None:
    paths = pictures(tmp_path, 5)
    rows = [{"path": p, "who": who} for p, who in zip(paths, ["007", "8", "007", None, "9"], strict=True)]
    location = write(tmp_path / name, rows)
    for size in (1, 100):
        records, rejects, _ = read(location, size, SourceOptions(id_column="who"))
        assert [(r.id, r.labels) for r in records] == [("007", None), ("8", None), ("9", None)]
        assert [(r.row, r.error) for r in rejects] == [(2, "DuplicateId"), (3, "NoId")]


def test_the_same_image_twice_under_two_ids(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    location = write(tmp_path / "x.csv", [{"path": "pics/0.jpg", "id": i} for i in (1, 2)])
    assert [r.id for r in read(location, options=SourceOptions(id_column="id"))[0]] == ["1", "2"]


def test_csv_as_found_in_the_wild(tmp_path: Path) -> None:
    pictures(tmp_path, 4)
    (tmp_path / "pics" / "ü,\xe9.jpg").write_bytes(JPEG)
    path = tmp_path / "x.csv"
    path.write_bytes(
        b"\xef\xbb\xbfpath;age;city\r\n\r\npics/0.jpg;3;\r\n"
        b'"pics/1.jpg";4,5;"Z\xfcrich"\r\n'
        b"pics/2.jpg\r\n"
        b"pics/3.jpg;5;Bern;more\r\n"
        b";6;Basel\r\n" + 'pics/ü,é.jpg;7;"two\r\nlines"'.encode()
    )
    for size in (1, 2, 100):
        records, rejects, tally = read(path, size)
        assert [(r.id, r.labels) for r in records] == [
            ("pics/0.jpg", {"age": "3", "city": None}),
            ("pics/1.jpg", {"age": "4,5", "city": "Z%FCrich"}),
            ("pics/2.jpg", None),
            ("pics/ü,é.jpg", {"age": "7", "city": "two\r\nlines"}),
        ]
        assert [(r.row, r.error) for r in rejects] == [(3, "BadRow"), (4, "NoPath")]
        assert "4 cells where the header has 3" in rejects[0].message
        assert tally.seen == 6


def test_a_csv_without_a_header(tmp_path: Path) -> None:
    paths = pictures(tmp_path, 3)
    (tmp_path / "x.csv").write_text("".join(f"{p},{i}\n" for i, p in enumerate(paths)))
    records, _, _ = read(tmp_path / "x.csv", 1)
    assert [(r.id, r.labels) for r in records] == [(p, {"column2": i}) for i, p in enumerate(paths)]


def test_broken_quotes_and_lines(tmp_path: Path) -> None:
    pictures(tmp_path, 3)
    (tmp_path / "x.csv").write_text('path,note\npics/0.jpg,"a"b\npics/1.jpg,ok\n')
    records, rejects, _ = read(tmp_path / "x.csv", 1)
    assert ([r.id for r in records], [r.error for r in rejects]) == (["pics/1.jpg"], ["BadRow"])
    (tmp_path / "x.csv").write_text('path,note\npics/0.jpg,a\npics/1.jpg,"open\npics/2.jpg,c\n')
    with pytest.raises(SourceError, match="row at byte 23 has a quote that is not closed"):
        read(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes("path\npics/0.jpg\n".encode("utf-16"))
    with pytest.raises(SourceError, match="is UTF-16; a listing is UTF-8"):
        read(tmp_path / "x.csv")
    lines = [
        '{"path": "pics/0.jpg", "n": {"x": 1}}',
        "",
        "{broken",
        "[1]",
        '{"path": 7}',
        '{"n": 1}',
        '{"path": "\\ud800"}',
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    for size in (1, 100):
        records, rejects, _ = read(tmp_path / "x.jsonl", size)
        assert [(r.id, r.labels) for r in records] == [("pics/0.jpg", {"n": {"x": 1}})]
        assert [r.error for r in rejects] == ["BadRow", "BadRow", "FileNotFoundError", "NoPath", "FileNotFoundError"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([b"a.jpg", b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"x", b"{", b"}"]), max_size=60),
    st.integers(1, 5),
    st.sampled_from(["x.csv", "x.tsv", "x.jsonl"]),
)
def test_any_text_is_rows_rejects_or_an_error(tmp_path: Path, parts: list[bytes], size: int, name: str) -> None:
    head = b'{"path": "a.jpg"}\n' if name == "x.jsonl" else b"path,b\n" if name == "x.csv" else b"path\tb\n"
    (tmp_path / name).write_bytes(head + b"".join(parts))
    try:
        whole, cut = read(tmp_path / name, 10**6), read(tmp_path / name, size)
    except SourceError as error:
        assert name in str(error)
    else:
        assert whole == cut


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    pictures(tmp_path, 2)
    location = write(tmp_path / "x.csv", [{"path": "pics/0.jpg"}])
    before = open_source(str(location)).digest()
    write(location, [{"path": "pics/1.jpg"}])
    assert open_source(str(location)).digest() != before


def test_a_pattern_of_listings(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pictures(tmp_path / name, 3)
        write(tmp_path / name / "x.parquet", [{"path": f"pics/{i}.jpg", "key": f"{name}{i}"} for i in range(3)])
    records, rejects, _ = read(tmp_path / "*" / "x.parquet", 2, SourceOptions(id_column="key"))
    assert [(r.shard, r.data) for r in records] == [
        (f"{n}/x.parquet", JPEG + b"%d" % i) for n in "ab" for i in range(3)
    ]
    assert rejects == []
    records, rejects, _ = read(tmp_path / "*" / "x.parquet", 2)
    assert [r.id for r in records] == [f"pics/{i}.jpg" for i in range(3)]
    assert [(r.shard, r.error) for r in rejects] == [("b/x.parquet", "DuplicateId")] * 3


def test_a_csv_in_a_folder_is_no_image(tmp_path: Path) -> None:
    pictures(tmp_path, 2)
    write(tmp_path / "x.csv", [{"path": "pics/0.jpg"}])
    assert read(tmp_path)[2].skipped == 1


def test_a_uri(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/listing-test/pics/0.jpg", JPEG)
    table = io.StringIO()
    csv.writer(table).writerows(
        [["path"], ["../pics/0.jpg"], ["memory://listing-test/pics/0.jpg"], ["../pics/1.jpg"], ["../pics"]]
    )
    memory.pipe("/listing-test/lists/x.csv", table.getvalue().encode())
    records, rejects, _ = read("memory://listing-test/lists/x.csv", 1)  # type: ignore[arg-type]
    assert [r.data for r in records] == [JPEG, JPEG]
    assert [r.error for r in rejects] == ["FileNotFoundError"] * 2


def test_a_large_listing_is_planned_in_little_memory(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": [f"{i:09}.jpg" for i in range(200_000)]}), tmp_path / "x.parquet")
    source = open_source(str(tmp_path / "x.parquet"))
    assert count_images(source).files == 200_000
    units = list(plan_units(source))
    assert sum(u.seen or 0 for u in units) == 200_000
    assert not any(p.files for u in units for p in u.pieces)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_encode(tmp_path: Path, ray_session: None, model: Path, name: str) -> None:
    (tmp_path / "pics").mkdir()
    for i in range(30):
        (tmp_path / "pics" / f"{i}.jpg").write_bytes(image_bytes(i))
    rows = [{"path": f"pics/{i}.jpg", "age": i, "name": f"n{i}"} for i in range(32)]
    out = tmp_path / "out"
    summary = vae_batch.encode(spec(write(tmp_path / name, rows), model, out, max_reject_rate=0.5))
    found = pq.read_table(out / "data").select(["id", "shard", "row", "age", "name"]).to_pylist()
    assert found == [
        {"id": f"pics/{i}.jpg", "shard": name, "row": i, "age": float(i), "name": f"n{i}"} for i in range(30)
    ]
    assert (summary.rows, summary.rejects) == (30, 2)
