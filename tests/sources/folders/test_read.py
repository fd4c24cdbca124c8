"""Folders: order, links, odd files, and where a source is mounted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.sources.making import JPEG, PNG, ids, read_all, read_one
from tests.sources.tar.making import END, member, pairs
from vae_batch.errors import SourceError, StorageError
from vae_batch.sources import open_source, plan_units, read_unit
from vae_batch.types import Tally


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG + name.encode())
    return folder


def test_order_and_what_is_seen(tmp_path: Path) -> None:
    fill(tmp_path, "b.jpg", "Z.PNG", "a/2.jpg", "a/10.jpg", "a.jpg", "é.jpg", "deep/er/and/deeper/x.webp")
    (tmp_path / "readme.txt").write_text("words")
    (tmp_path / "strange").write_bytes(PNG)
    (tmp_path / "empty.jpg").touch()
    for unit_size in (None, 1, 3):
        records, rejects, tally = read_all(tmp_path, unit_size)
        assert ids(records) == [
            "Z.PNG",
            "a.jpg",
            "b.jpg",
            "empty.jpg",
            "strange",
            "é.jpg",
            "a/10.jpg",
            "a/2.jpg",
            "deep/er/and/deeper/x.webp",
        ]
        assert [r.row for r in records] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        assert {r.shard for r in records} == {"."}
        assert (rejects, tally.seen, tally.skipped) == ([], 10, 1)


def test_links_are_followed_and_loops_cut(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "x.jpg")
    folder = fill(tmp_path / "s", "a/b/c.jpg")
    (folder / "a" / "b" / "up").symlink_to(folder / "a")
    (folder / "l.jpg").symlink_to(tmp_path / "elsewhere" / "x.jpg")
    (folder / "m").symlink_to(tmp_path / "elsewhere")
    (folder / "n").symlink_to(tmp_path / "elsewhere")
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (folder / "self.jpg").symlink_to(folder / "self.jpg")
    records, rejects, _ = read_all(folder)
    assert ids(records) == ["l.jpg", "a/b/c.jpg", "m/x.jpg", "n/x.jpg"]
    assert [(r.id, r.error) for r in rejects] == [("gone.jpg", "FileNotFoundError"), ("self.jpg", "OSError")]


@pytest.mark.parametrize("name", ["pipe.jpg", "pipe", "pipe.tar"])
def test_a_pipe_is_skipped_and_never_opened(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / name)
    records, _, tally = read_all(tmp_path)
    assert (len(records), tally.skipped) == (1, 1)


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    for name in (b"a\xff.jpg", b"a%FF.jpg", b"b%\xfe.jpg", b"c%20.jpg", b"d\xff/e.jpg"):
        path = root + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        Path(os.fsdecode(path)).write_bytes(JPEG + name)
    Path(os.fsdecode(root + b"/t\xfe.tar")).write_bytes(member(b"x.jpg") + END)
    for unit_size in (None, 1):
        records, rejects, _ = read_all(tmp_path, unit_size)
        assert {r.id: r.data for r in records} == {
            "a%FF.jpg": JPEG + b"a%FF.jpg",
            "b%25%FE.jpg": JPEG + b"b%\xfe.jpg",
            "c%20.jpg": JPEG + b"c%20.jpg",
            "d%FF/e.jpg": JPEG + b"d\xff/e.jpg",
            "t%FE.tar/x.jpg": JPEG,
        }
        assert [(r.id, r.error) for r in rejects] == [("a%FF.jpg", "DuplicateId")]


def test_vanished_forbidden_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d", "e.txt")
    (tmp_path / "c.jpg").write_bytes(bytes(1001))
    (tmp_path / "d").write_bytes(PNG + bytes(1001))
    monkeypatch.setattr("vae_batch.sources.folders.read.MAX_FILE_BYTES", 1000)
    source = open_source(str(tmp_path))
    (unit,) = plan_units(source)
    (tmp_path / "a.jpg").unlink()
    found, tally = read_one(source.root, unit)
    assert [(item.id, getattr(item, "error", None)) for item in found] == [
        ("a.jpg", "FileNotFoundError"),
        ("b.jpg", None),
        ("c.jpg", "TooLarge"),
        ("d", "TooLarge"),
        ("e.txt", None),
    ]
    assert tally.seen == 5


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE])
def test_a_failing_storage_is_no_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    fill(tmp_path, "a.jpg")
    (tmp_path / "b.tar").write_bytes(pairs(1) + END)
    source = open_source(str(tmp_path))
    units = list(plan_units(source))

    def fail(*_: object) -> bytes:
        raise OSError(code, "the storage fails")

    monkeypatch.setattr(os, "read", fail)
    monkeypatch.setattr(os, "pread", fail)
    for unit in units:
        with pytest.raises(OSError, match="the storage fails"):
            list(read_unit(source.root, unit, Tally()))


def test_ids_and_digest_do_not_depend_on_the_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = fill(tmp_path / "here", "a.jpg", "b/c.png")
    (here / "t.tar").write_bytes(pairs(2) + END)
    source = open_source(str(here))
    units = list(plan_units(source))
    there = tmp_path / "far" / "there"
    there.parent.mkdir()
    here.rename(there)
    monkeypatch.chdir(there)
    for location in (".", str(there), "../there/"):
        again = open_source(location)
        assert again.digest() == source.digest()
        assert list(plan_units(again)) == units
    fill(there, "new.jpg")
    assert open_source(".").digest() != source.digest()


def test_one_tar_and_a_pattern_of_tars(tmp_path: Path) -> None:
    for name in ("v/train-1/b.tar", "v/train-1/a.tar", "v/train-2/c.tgz", "v/test/d.tar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(pairs(1) + END)
    source = open_source(str(tmp_path / "v/train-*/*.t*"))
    assert source.root == str(tmp_path / "v")
    assert [s.path for s in source.shards] == ["train-1/a.tar", "train-1/b.tar", "train-2/c.tgz"]
    assert ids(read_all(tmp_path / "v/train-1/a.tar")[0]) == ["a.tar/000000.jpg"]
    assert len(open_source(str(tmp_path / "**/*.t*")).shards) == 4


def test_what_cannot_be_a_source(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "empty").mkdir()
    for location, message in [
        ("nowhere", "no such file or folder; a source is a folder"),
        ("empty", "there are no files in this folder"),
        ("*.tar", "the pattern matches nothing"),
        ("*.jpg", "a.jpg, which is no shard; a source is"),
        ("a.jpg", "names a.jpg, which is no shard; a source is"),
    ]:
        with pytest.raises(SourceError, match=message.replace("*", r"\*")):
            open_source(str(tmp_path / location))
    with pytest.raises(StorageError, match="nosuch"):
        open_source("nosuch://bucket/x")
    assert open_source(f"file://{tmp_path}").files.seen == 1
