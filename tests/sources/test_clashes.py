"""Ids are unique over a whole source: what two files would share is told before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.making import JPEG, ids, read_all
from tests.sources.tar.making import END, member
from tests.sources.zip.making import with_zipfile
from vae_batch.errors import SourceError
from vae_batch.sources import SourceOptions, count_images, open_source
from vae_batch.sources.clashes import check_shards
from vae_batch.sources.folders.loose import loose_files
from vae_batch.sources.names import shard_format
from vae_batch.sources.shard import Shard


def look(*names: str) -> None:
    """Check what an object store may list: a file, and files "under" it."""
    kinds = [(name, shard_format(name)) for name in names]
    loose = loose_files((name, 1) for name, kind in kinds if kind is None)
    check_shards("s3://bucket/faces", loose, [Shard(name, 1, kind) for name, kind in kinds if kind])


@pytest.mark.parametrize(
    ("shard", "other"),
    [
        ("a.tar", "a.tar/x.jpg"),
        ("d/a.ZIP", "d/a.ZIP/deep/er.png"),
        ("a.tar.gz", "a.tar.gz/b.tar"),
        ("a.parquet", "a.parquet#7"),
    ],
)
def test_a_shard_and_files_under_its_name(shard: str, other: str) -> None:
    with pytest.raises(SourceError) as raised:
        look(shard, other, "b.tar")
    assert f"the id {other} may mean the file {other} or an image in the shard {shard}: rename one" in str(raised.value)


def test_names_that_only_look_like_it(tmp_path: Path) -> None:
    for name in ["old.tar/x.jpg", "b.zip/c.zip/y.jpg", "c.tar#1.jpg"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    (tmp_path / "a.tar").write_bytes(member(b"x.jpg") + END)
    assert ids(read_all(tmp_path)[0]) == ["c.tar#1.jpg", "b.zip/c.zip/y.jpg", "old.tar/x.jpg", "a.tar/x.jpg"]
    look("a.tar", "a.tarx/x.jpg", "b/a.tar/x.jpg", "c.parquet", "c.parquet.jpg")


def test_a_folder_whose_name_reads_like_a_shard(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    Path(os.fsdecode(root + b"/t\xfe.tar")).write_bytes(member(b"x.jpg") + END)
    folder = tmp_path / "t%FE.tar"
    folder.mkdir()
    (folder / "x.jpg").write_bytes(JPEG)
    with pytest.raises(SourceError, match=r"the id t%FE\.tar/x\.jpg may mean"):
        open_source(str(tmp_path))


def test_two_shards_whose_names_read_the_same(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    for name in (b"t\xfe.tar", b"t%FE.tar"):
        Path(os.fsdecode(root + b"/" + name)).write_bytes(member(b"x.jpg") + END)
    for location in (tmp_path, tmp_path / "*.tar"):
        with pytest.raises(SourceError, match=r"two shards have names that both read t%FE\.tar"):
            open_source(str(location))


def test_a_shard_and_a_file_beside_it_share_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "a.tar").write_bytes(member(b"a.jpg") + END)
    with_zipfile(tmp_path / "a.zip", [("a.jpg", JPEG), ("a.tar/a.jpg", JPEG)])
    records, rejects, _ = read_all(tmp_path)
    assert sorted(ids(records)) == ["a.jpg", "a.tar/a.jpg", "a.zip/a.jpg", "a.zip/a.tar/a.jpg"]
    assert rejects == []


def table(path: Path, ids: list[str | None]) -> None:
    pq.write_table(pa.table({"name": ids, "image": [JPEG + bytes([i]) for i in range(len(ids))]}), path)


@pytest.mark.parametrize("here", [["a.jpg", "b.jpg"], ["deep/c.jpg", "a.json"], ["x.tar"]])
def test_an_id_of_a_column_that_is_also_that_of_a_file(tmp_path: Path, here: list[str]) -> None:
    for name in here:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(member(b"1.jpg") + END if name.endswith(".tar") else JPEG)
    options = SourceOptions(id_column="name")
    table(tmp_path / "y.parquet", ["1", None, "deep/b.jpg", "y.tar/1.jpg", "a.json", "2"])
    assert count_images(open_source(str(tmp_path), options)).files == 6 + len(here)
    clash = {"a.jpg": "a.jpg", "deep/c.jpg": "deep/c.jpg", "x.tar": "x.tar/7.jpg"}[here[0]]
    table(tmp_path / "z.parquet", ["3", clash])
    with pytest.raises(
        SourceError, match=rf"the id {clash} of the column name may mean a row of a table or .*{here[0]}"
    ):
        count_images(open_source(str(tmp_path), options))
