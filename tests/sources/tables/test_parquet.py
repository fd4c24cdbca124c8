"""Tables of images: Parquet and Arrow, found columns, ids, labels, cuts, and damage that stays where it is."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vae_batch
from tests.conftest import image_bytes, picture, spec
from tests.sources.making import JPEG, PNG
from vae_batch.errors import SourceError
from vae_batch.sources import SourceOptions, count_images, open_source, plan_units, read_unit, sample_labels
from vae_batch.types import ImageRecord, Reject, Tally


def read(
    location: Path, size: int | None = None, options: SourceOptions | None = None
) -> tuple[list[ImageRecord], list[Reject], Tally]:
    """Read a source, and check every unit's accounts."""
    source = open_source(str(location), options or SourceOptions())
    records, rejects, total = [], [], Tally()
    for unit in plan_units(source, size):
        tally = Tally()
        found = list(read_unit(source.root, unit, tally, source.options))
        assert len(found) + tally.skipped == tally.seen == unit.seen
        records += [item for item in found if isinstance(item, ImageRecord)]
        rejects += [item for item in found if isinstance(item, Reject)]
        total.seen, total.skipped = total.seen + tally.seen, total.skipped + tally.skipped
    return records, rejects, total


def images(count: int) -> list[bytes]:
    return [JPEG + b"%d" % i for i in range(count)]


def write(path: Path, table: pa.Table, rows: int, **more: Any) -> None:
    """The table as the path's name says; `stream.arrow` is a stream."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows, **more)
        return
    with pa.OSFile(str(path), "wb") as sink:
        new = pa.ipc.new_stream if path.stem == "stream" else pa.ipc.new_file
        with new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)


KINDS = ["x.parquet", "x.arrow", "stream.arrow"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_ids_and_labels(tmp_path: Path, name: str, kind: pa.DataType) -> None:
    if name.endswith("parquet") and kind == pa.binary_view():
        pytest.skip("not every pyarrow writes it")
    data = images(7)
    write(tmp_path / name, pa.table({"n": range(7), "photo": pa.array(data, kind)}), 3)
    records, rejects, tally = read(tmp_path / name)
    assert [(r.id, r.shard, r.row, r.data, r.labels) for r in records] == [
        (f"{name}#{i}", name, i, data[i], {"n": i}) for i in range(7)
    ]
    assert (rejects, tally.seen) == ([], 7)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 80), st.sampled_from(KINDS), st.booleans())
def test_cutting_changes_nothing(tmp_path: Path, count: int, group: int, size: int, name: str, named: bool) -> None:
    ids = [f"{i % 97}" for i in range(count)]
    write(
        tmp_path / name, pa.table({"i": pa.array(ids, pa.string()), "b": pa.array(images(count), pa.binary())}), group
    )
    options = SourceOptions(id_column="i" if named else None)
    whole, cut = read(tmp_path / name, 10**6, options), read(tmp_path / name, size, options)
    assert whole == cut
    assert whole[2].seen == count
    assert len(whole[1]) == (max(0, count - 97) if named else 0)


def test_units_are_row_groups_and_big_ones_are_cut(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pa.table({"b": images(1000)}), 100)
    write(tmp_path / "b.parquet", pa.table({"b": images(1000)}), 1000)
    sizes = [u.seen for u in plan_units(open_source(str(tmp_path / "a.parquet")), 100)]
    assert sizes == [100] * 10
    source = open_source(str(tmp_path / "b.parquet"))
    units = list(plan_units(source, 100))
    assert sum(u.seen or 0 for u in units) == 1000
    assert max(u.seen or 0 for u in units) <= 128
    assert sum(u.bytes for u in units) == source.bytes


def test_hugging_face(tmp_path: Path) -> None:
    pictures = [picture(i) for i in range(6)]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"]), "raw": datasets.Value("binary")}
    )
    data = datasets.Dataset.from_dict({"image": pictures, "label": [0, 1] * 3, "raw": [b"?"] * 6}, features=features)
    data.to_parquet(tmp_path / "hf.parquet")
    data.save_to_disk(tmp_path / "disk", max_shard_size="1GB")
    for location, title in [(tmp_path / "hf.parquet", "hf.parquet"), (tmp_path / "disk", "data-00000-of-00001.arrow")]:
        records, rejects, tally = read(location)
        assert [(r.id, r.labels) for r in records] == [(f"{title}#{i}", {"label": i % 2}) for i in range(6)]
        assert all(r.data.startswith(b"\x89PNG") for r in records)
        assert not rejects
        assert tally.skipped == (2 if location.is_dir() else 0)


def test_null_bytes_are_read_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.jpg").write_bytes(JPEG)
    rows = [
        {"bytes": None, "path": "../pics/a.jpg"},
        {"bytes": PNG, "path": "elsewhere.png"},
        {"bytes": None, "path": str(tmp_path / "pics" / "a.jpg")},
        {"bytes": None, "path": "gone.jpg"},
        {"bytes": None, "path": "../pics"},
        {"bytes": None, "path": None},
        None,
    ]
    (tmp_path / "t").mkdir()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    write(tmp_path / "t" / "x.parquet", pa.table({"image": pa.array(rows, kind)}), 3)
    records, rejects, _ = read(tmp_path / "t")
    assert [(r.row, r.data) for r in records] == [(0, JPEG), (1, PNG), (2, JPEG)]
    assert [(r.row, r.error) for r in rejects] == [
        (3, "FileNotFoundError"),
        (4, "IsADirectoryError"),
        (5, "NoImage"),
        (6, "NoImage"),
    ]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([7, 8, 9]), ["7", "8", "9"]),
        (pa.array(["a", "ü/ö.jpg", "c"]).dictionary_encode(), ["a", "ü/ö.jpg", "c"]),
        (pa.array([b"a", b"\xff", b"c"]), ["a", "%FF", "c"]),
        (pa.array([datetime.date(2020, 1, d) for d in (1, 2, 3)]), ["2020-01-01", "2020-01-02", "2020-01-03"]),
        (pa.array([1.5, 2.5, 3.0]), ["1.5", "2.5", "3.0"]),
    ],
)
def test_ids_of_any_type(tmp_path: Path, ids: pa.Array, expected: list[str]) -> None:
    write(tmp_path / "x.parquet", pa.table({"key": ids, "image": images(3)}), 2)
    options = SourceOptions(image_column="image", id_column="key")
    records, _, _ = read(tmp_path / "x.parquet", options=options)
    assert [r.id for r in records] == expected
    assert records[0].labels is None or "key" not in records[0].labels


def test_null_and_repeated_ids(tmp_path: Path) -> None:
    table = pa.table({"key": ["a", None, "b", "a", None, "", "b", "c"], "image": images(8)})
    write(tmp_path / "x.parquet", table, 2)
    for size in (1, 100):
        records, rejects, _ = read(tmp_path / "x.parquet", size, SourceOptions(id_column="key"))
        assert [r.id for r in records] == ["a", "b", "c"]
        assert [(r.row, r.error) for r in rejects] == [
            (1, "NoId"),
            (3, "DuplicateId"),
            (4, "NoId"),
            (5, "NoId"),
            (6, "DuplicateId"),
        ]


def test_ids_repeated_in_another_file(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pa.table({"key": ["a", "b"], "image": images(2)}), 2)
    write(tmp_path / "b.arrow", pa.table({"key": ["c", "a", None], "image": images(3)}), 2)
    for size in (1, 100):
        records, rejects, _ = read(tmp_path, size, SourceOptions(id_column="key"))
        assert [r.id for r in records] == ["a", "b", "c"]
        assert [(r.id, r.shard, r.error) for r in rejects] == [
            ("a", "b.arrow", "DuplicateId"),
            ("b.arrow#2", "b.arrow", "NoId"),
        ]


@pytest.mark.parametrize("name", KINDS)
def test_labels_of_every_type(tmp_path: Path, name: str) -> None:
    moment = datetime.datetime(2020, 1, 2, 3, 4, 5)
    bad = pa.StringArray.from_buffers(2, *pa.array([b"ok", b"\xff"]).buffers()[1:])
    columns = {
        "image": pa.array(images(2)),
        "whole": pa.array([1, None]),
        "half": pa.array([0.5, float("inf")]),
        "yes": pa.array([True, False]),
        "name": bad,
        "kind": pa.array(["x", None]).dictionary_encode(),
        "day": pa.array([moment.date(), None]),
        "when": pa.array([moment, None], pa.timestamp("ns")),
        "cost": pa.array([Decimal("1.50"), None]),
        "box": pa.array([[1, 2], None]),
        "who": pa.array([{"first": "A", "born": moment.date()}, None]),
        "wide": pa.array([[0.123456789] * 9000, [1.0]]),
        "thumb": pa.array([{"bytes2": b"x"}, None]),
        "digest": pa.array([b"1234", None], pa.binary(4)),
        "nothing": pa.nulls(2),
        "__index_level_0__": pa.array([5, 6]),
    }
    write(tmp_path / name, pa.table(columns), 2)
    records, rejects, _ = read(tmp_path / name)
    assert rejects == []
    labels = dict(records[0].labels or {})
    assert labels.pop("when").startswith("2020-01-02 03:04:05")
    assert labels == {
        "whole": 1, "half": 0.5, "yes": True, "name": "ok", "kind": "x", "day": "2020-01-02", "cost": 1.5,
        "box": [1, 2], "who": {"first": "A", "born": "2020-01-02"}, "wide": None, "nothing": None,
    }  # fmt: skip
    second = records[1].labels or {}
    assert (second["name"], second["half"], second["wide"], second["who"]) == ("%FF", float("inf"), [1.0], None)
    json.dumps([dict(r.labels or {}) for r in records])
    chosen = read(tmp_path / name, options=SourceOptions(columns={"day": "string", "thumb": "json", "gone": "bool"}))[0]
    assert chosen[0].labels == {"day": "2020-01-02"}
    assert read(tmp_path / name, options=SourceOptions(columns={}))[0][0].labels is None
    assert next(sample_labels(open_source(str(tmp_path)))) == records[0].labels


def test_columns_that_cannot_be_found(tmp_path: Path) -> None:
    write(tmp_path / "two.parquet", pa.table({"a": images(1), "b": images(1), "c": [1]}), 1)
    with pytest.raises(SourceError, match=r"any of the columns a, b; say which with --image-column.*c \(int64\)"):
        read(tmp_path / "two.parquet")
    assert len(read(tmp_path / "two.parquet", options=SourceOptions("b"))[0]) == 1
    with pytest.raises(SourceError, match=r"--image-column c: no single column of that name holds bytes"):
        read(tmp_path / "two.parquet", options=SourceOptions("c"))
    with pytest.raises(SourceError, match="--id-column z is not there; its columns are a, b, c"):
        read(tmp_path / "two.parquet", options=SourceOptions("a", "z"))


def test_a_table_without_images_is_skipped_beside_images(tmp_path: Path) -> None:
    write(tmp_path / "metadata.parquet", pa.table({"file_name": ["a.jpg"], "age": [3]}), 1)
    with pytest.raises(SourceError, match=r"metadata.parquet has no column of images.*age \(int64\); --image-column"):
        read(tmp_path)
    (tmp_path / "a.jpg").write_bytes(JPEG)
    records, rejects, tally = read(tmp_path)
    assert ([r.id for r in records], rejects, tally.seen, tally.skipped) == (["a.jpg"], [], 2, 1)


def flipped(data: bytes, at: int, count: int = 40) -> bytes:
    return data[:at] + bytes(b ^ 0x5A for b in data[at : at + count]) + data[at + count :]


@pytest.mark.parametrize("column", ["image", "n"])
def test_a_damaged_row_group_costs_no_other(tmp_path: Path, column: str) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"n": range(30), "image": images(30)})
    write(path, table, 10, use_dictionary=False, write_page_checksum=True)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(table.schema.get_field_index(column))
    path.write_bytes(flipped(path.read_bytes(), chunk.data_page_offset + chunk.total_compressed_size - 20, 15))
    for size in (5, 100):
        records, rejects, tally = read(path, size)
        assert [r.row for r in records] == [*range(10), *range(20, 30)]
        assert [(r.id, r.error) for r in rejects] == [(f"x.parquet#{i}", "TableDamaged") for i in range(10, 20)]
        assert "row group 1 is damaged" in rejects[0].message
        assert tally.seen == 30


def test_rows_before_the_damage_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    data = [bytes([i]) * 50_000 for i in range(40)]
    write(path, pa.table({"image": data}), 40, use_dictionary=False, compression="none", data_page_size=100_000,
          write_batch_size=1, write_page_checksum=True)  # fmt: skip
    raw = path.read_bytes()
    path.write_bytes(flipped(raw, raw.index(bytes([21]) * 100)))
    records, rejects, _ = read(path)
    assert [r.data for r in records] == data[: len(records)]
    assert 18 <= len(records) <= 21
    assert len(rejects) == 40 - len(records)


@pytest.mark.parametrize("name", ["x.arrow", "stream.arrow"])
def test_a_damaged_record_batch_costs_no_other(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path, pa.table({"image": images(30)}), 10)
    raw = path.read_bytes()
    offsets = raw.index(bytes(4) + (len(JPEG) + 2).to_bytes(4, "little"))
    path.write_bytes(flipped(raw, offsets, 8))
    records, rejects, _ = read(path, 5)
    assert [(r.row, r.error) for r in rejects] == [(i, "TableDamaged") for i in range(10, 20)]
    assert [r.row for r in records] == [*range(10), *range(20, 30)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"PAR1" + b"x" * 50 + b"PAR1", "footer"),
        (b"<html>quota</html>", "footer"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"ARROW1\0\0" + b"x" * 50, "it has been cut"),
        (b"\xff\xff\xff\xff\x10\0\0\0" + b"x" * 50, "damaged"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=rf"x\.parquet .*{reason}"):
        read(tmp_path / "x.parquet")


@pytest.mark.parametrize("name", KINDS)
def test_a_table_cut_short(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, pa.table({"image": images(30)}), 10)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[: len(raw) - len(raw) // 3])
    with pytest.raises(SourceError, match=r"cut|footer"):
        read(tmp_path / name)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.integers(1, 60), st.integers(1, 255))
def test_any_damage_is_an_error_or_rejects(tmp_path: Path, name: str, where: float, count: int, mask: int) -> None:
    path = tmp_path / name
    if not (tmp_path / "good").exists() or not (tmp_path / "good" / name).exists():
        (tmp_path / "good").mkdir(exist_ok=True)
        columns = {"image": images(30), "n": range(30), "s": [f"{i}" for i in range(30)]}
        write(tmp_path / "good" / name, pa.table(columns), 10)
    raw = (tmp_path / "good" / name).read_bytes()
    at = int(where * len(raw))
    path.write_bytes(raw[:at] + bytes(b ^ mask for b in raw[at : at + count]) + raw[at + count :])
    try:
        read(path, 7)
    except SourceError as error:
        assert name in str(error)


def test_pandas(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": images(5), "age": [1, 2, 3, 4, 5]}, index=list("abcde"))
    frame.to_parquet(tmp_path / "p.parquet")
    frame.reset_index().to_feather(tmp_path / "f.feather")
    assert [r.labels for r in read(tmp_path / "p.parquet")[0]] == [{"age": i} for i in range(1, 6)]
    assert read(tmp_path / "f.feather")[0][0].labels == {"index": "a", "age": 1}


def test_transport_errors_are_no_rejects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x.parquet", pa.table({"image": images(30)}), 10)
    source = open_source(str(tmp_path / "x.parquet"))
    unit = next(iter(plan_units(source)))
    reading = read_unit(source.root, unit, Tally())
    next(reading)

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("vae_batch.sources.files._LocalFile.pread", fail)
    with pytest.raises(OSError, match="Input/output error"):
        list(reading)


def test_counts_and_a_uri(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    write(tmp_path / "x.parquet", pa.table({"image": images(30)}), 10)
    memory.pipe("/tables-test/x.parquet", (tmp_path / "x.parquet").read_bytes())
    assert count_images(open_source("memory://tables-test")).files == 30
    records, _, _ = read("memory://tables-test", 10)  # type: ignore[arg-type]
    assert [r.data for r in records] == images(30)


def test_encode(tmp_path: Path, ray_session: None, model: Path) -> None:
    data = [image_bytes(i) for i in range(40)]
    data[7] = b"no image"
    write(tmp_path / "x.parquet", pa.table({"key": [f"k{i}" for i in range(40)], "age": range(40), "im": data}), 20)
    out = tmp_path / "out"
    summary = vae_batch.encode(spec(tmp_path / "x.parquet", model, out, id_column="key", max_reject_rate=0.5))
    rows = pq.read_table(out / "data").select(["id", "age"]).to_pylist()
    assert rows == [{"id": f"k{i}", "age": float(i)} for i in range(40) if i != 7]
    assert (summary.rows, summary.rejects) == (39, 1)
