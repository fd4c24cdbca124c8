"""Tables and listings that grow or are repaired: ids that repeat across files stay rejects, once each."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vae_batch
from tests.cluster.growing import CUT, RETRY, assert_finished, contents, rows, run
from tests.cluster.inline import replicas_here
from tests.conftest import image_bytes
from vae_batch.errors import MismatchError
from vae_batch.work.rejects import export_rejects


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas_here(monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def write(path: Path, images: dict[str, bytes], again: str | None = None) -> None:
    """A table of images by id; one of the ids may come once more at the end."""
    ids = [*images, *([again] if again else [])]
    pq.write_table(pa.table({"key": ids, "image": [images[i] for i in ids]}), path)


def pictures(ids: str) -> dict[str, bytes]:
    return {i: image_bytes(ord(i)) for i in ids}


def errors(out: Path) -> dict[tuple[str, int], str]:
    return {(r["shard"], r["row"]): r["error"] for r in vae_batch.rejects(out).to_pylist()}


def test_an_id_that_an_old_table_has_is_a_repeat_in_a_new_one(source: Path, model: Path, tmp_path: Path) -> None:
    """Also where the new one comes first by its name: the old row stays."""
    out = tmp_path / "out"
    write(source / "m.parquet", pictures("abcdefgh"))
    run(source, model, out, id_column="key", unit_size=3)
    write(source / "a.parquet", pictures("hij"))
    write(source / "z.parquet", pictures("ixa"))
    summary = run(source, model, out, id_column="key", unit_size=3, extend=True)
    assert (summary.rows, summary.rejects) == (11, 3)
    assert errors(out) == dict.fromkeys([("a.parquet", 0), ("z.parquet", 0), ("z.parquet", 2)], "DuplicateId")
    assert_finished(out)


@pytest.mark.parametrize("unit_size", [3, 100])
def test_repeats_stay_rejects_when_a_table_is_repaired(
    source: Path, model: Path, tmp_path: Path, unit_size: int
) -> None:
    out, good = tmp_path / "out", pictures("abcdefgh")
    settings = {"id_column": "key", "unit_size": unit_size}
    write(source / "a.parquet", {**good, "c": good["c"][CUT]}, again="b")
    write(source / "b.parquet", pictures("gx"))
    assert run(source, model, out, **settings).rejects == 3
    write(source / "a.parquet", good, again="b")
    run(source, model, out, **settings, **RETRY)
    assert errors(out) == {("a.parquet", 8): "DuplicateId", ("b.parquet", 0): "DuplicateId"}
    assert_finished(out)
    write(source / "a.parquet", {**pictures("abcdef"), "y": good["g"], "h": good["h"]}, again="b")
    run(source, model, out, **settings, **RETRY)
    assert errors(out) == {("a.parquet", 8): "DuplicateId"}  # g is free for the other table
    assert [row["id"] for row in rows(out)] == sorted("abcdefghxy")
    assert_finished(out)


def write_listing(path: Path, names: list[str]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "key"], *([name, f"id/{i}"] for i, name in enumerate(names))])


def test_files_that_a_listing_names_are_repaired_and_exported(source: Path, model: Path, tmp_path: Path) -> None:
    out, listing = tmp_path / "out", source / "faces.csv"
    for i in range(9):
        (source / f"{i}.jpg").write_bytes(image_bytes(i))
    (source / "2.jpg").write_bytes(image_bytes(2)[CUT])
    (source / "7.jpg").unlink()
    names = [f"{i}.jpg" for i in range(9)]
    write_listing(listing, names)
    settings = {"id_column": "key", "unit_size": 4}
    assert run(listing, model, out, **settings).rejects == 2
    assert export_rejects(out, tmp_path / "bad").files == 1
    assert (tmp_path / "bad" / "000001-2").read_bytes() == image_bytes(2)[CUT]
    for i in (2, 7):
        (source / f"{i}.jpg").write_bytes(image_bytes(i))
    assert run(listing, model, out, **settings, **RETRY).rejects == 0
    assert_finished(out)
    before = contents(out)
    write_listing(listing, names[::-1])
    with pytest.raises(MismatchError, match="a listing's content, or the order or the number of its files differs"):
        run(listing, model, out, **settings, **RETRY)
    assert contents(out) == before
