"""The table of rejects, its groups, and what is copied out: never under a name that the source chose."""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vae_batch
from tests.cluster.growing import write_tar
from tests.conftest import image_bytes, spec
from vae_batch.errors import OutputError
from vae_batch.latents.rejects import SCHEMA, group
from vae_batch.work.rejects import export_rejects, safe_name

EVIL = {
    "../../evil.jpg": b"evil",
    "/etc/passwd.jpg": b"passwd",
    "a/\x1b[31m;rm -rf.png": b"red",
    "b/.hidden.jpg": b"dot",
}


@pytest.fixture(scope="module")
def bad(ray_session: None, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `bad` with `source` and `out`: loose rejects in two units, rejects in a tar, one with no bytes."""
    folder = tmp_path_factory.mktemp("bad")
    source = folder / "source"
    (source / "deep").mkdir(parents=True)
    for i in range(6):
        (source / f"img{i}.jpg").write_bytes(image_bytes(i))
    (source / "deep" / "cut.jpg").write_bytes(image_bytes(1)[:300])
    (source / "empty.jpg").write_bytes(b"")
    (source / "gone.jpg").symlink_to("nowhere")
    write_tar(source / "evil.tar", {"good.jpg": image_bytes(), **EVIL})
    vae_batch.encode(spec(source, model, folder / "out", unit_size=4, max_reject_rate=1, replicas=1))
    return folder


def test_the_table_has_every_reject_in_the_order_of_the_units(bad: Path) -> None:
    table = vae_batch.rejects(bad / "out")
    assert table.schema.equals(SCHEMA)
    found = table.to_pylist()
    assert [r["unit"] for r in found] == sorted(r["unit"] for r in found)
    assert [r["id"] for r in found] == [
        *("empty.jpg", "gone.jpg", "deep/cut.jpg"),
        *(f"evil.tar/{name.lstrip('/')}" for name in EVIL),
    ]
    assert {r["id"]: r["stage"] for r in found}["gone.jpg"] == "read"
    assert found[0]["sha256"] == hashlib.sha256(b"").hexdigest()


def test_groups_are_counted_with_up_to_three_examples(bad: Path) -> None:
    groups = group(vae_batch.rejects(bad / "out"))
    assert sum(g.count for g in groups) == 7
    assert [g.count for g in groups] == sorted((g.count for g in groups), reverse=True)
    first = groups[0]
    assert (first.stage, first.error, first.count) == ("decode", "UnidentifiedImageError", 5)
    assert len(first.examples) == 3
    assert ("read", "FileNotFoundError", 1) in [(g.stage, g.error, g.count) for g in groups]


def test_a_half_finished_data_set_has_rejects_too(bad: Path, tmp_path: Path) -> None:
    """And only files that a part names count."""
    out = Path(shutil.copytree(bad / "out", tmp_path / "out"))
    (out / "data" / "part-000000.parquet").unlink()
    (out / ".vae_batch" / "summary.json").unlink()
    assert [r["unit"] for r in vae_batch.rejects(out).to_pylist()].count(0) == 0
    for file in (out / ".vae_batch" / "rejects").glob("000000-*"):
        file.write_bytes(b"half")
    assert 0 < len(vae_batch.rejects(out)) < 7
    for file in (out / "data").iterdir():
        file.unlink()
    assert vae_batch.rejects(out).equals(SCHEMA.empty_table())


def test_damage_is_named(bad: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is no output of vae_batch"):
        vae_batch.rejects(tmp_path)
    out = Path(shutil.copytree(bad / "out", tmp_path / "out"))
    next((out / ".vae_batch" / "rejects").iterdir()).write_bytes(b"half")
    with pytest.raises(
        OutputError, match=r"the rejects file .*arrow is missing or damaged: .*; see `vae-batch verify`"
    ):
        vae_batch.rejects(out)


def read_index(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "index.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_the_bytes_are_copied_under_safe_names_with_an_index(bad: Path, tmp_path: Path) -> None:
    done = export_rejects(bad / "out", tmp_path / "exported")
    assert (done.rejects, done.files) == (7, 6)
    index = read_index(tmp_path / "exported")
    assert {i: row["file"] for i, row in index.items()} == {
        "empty.jpg": "000001-empty.jpg",
        "gone.jpg": "",
        "deep/cut.jpg": "000002-cut.jpg",
        "evil.tar/../../evil.jpg": "000003-evil.jpg",
        "evil.tar/etc/passwd.jpg": "000004-passwd.jpg",
        "evil.tar/a/\x1b[31m;rm -rf.png": "000005-__31m_rm_-rf.png",
        "evil.tar/b/.hidden.jpg": "000006-hidden.jpg",
    }
    assert index["gone.jpg"]["note"] == "it could not be read: there are no bytes"
    files = {f.name: f.read_bytes() for f in (tmp_path / "exported").iterdir() if f.name != "index.csv"}
    assert len(files) == 6 and set(tmp_path.iterdir()) == {tmp_path / "exported"}
    table = {r["id"]: r for r in vae_batch.rejects(bad / "out").to_pylist()}
    for image_id, row in index.items():
        if row["file"]:
            assert hashlib.sha256(files[row["file"]]).hexdigest() == table[image_id]["sha256"]


def test_what_changed_since_is_said(bad: Path, tmp_path: Path) -> None:
    source, out = bad / "source", bad / "out"
    before = {name: (source / name).read_bytes() for name in ("empty.jpg", "evil.tar")}
    try:
        (source / "empty.jpg").write_bytes(b"mended")
        (source / "evil.tar").write_bytes(b"short")
        assert export_rejects(out, tmp_path / "exported").files == 2
    finally:
        for name, data in before.items():
            (source / name).write_bytes(data)
    index = read_index(tmp_path / "exported")
    assert index["empty.jpg"]["note"] == "changed since it was rejected"
    assert (tmp_path / "exported" / "000001-empty.jpg").read_bytes() == b"mended"
    assert "evil.tar has 5 bytes where the plan found" in index["evil.tar/../../evil.jpg"]["note"]


@pytest.mark.parametrize("where", ["source/new", "out/data", "full", "out/new"])
def test_a_folder_that_must_not_be_written_to_is_refused(bad: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    folder = tmp_path / "full" if where == "full" else bad / where
    with pytest.raises(OutputError, match=r"--export .* (is not empty|lies in)"):
        export_rejects(bad / "out", folder)
    assert not (bad / "source" / "new").exists()


@given(st.text() | st.from_regex(r"[\./\\ \x00\x1b-]*[a-z]?[\./\\]*"))
def test_a_safe_name_is_one_plain_name(image_id: str) -> None:
    name = safe_name(image_id)
    assert 1 <= len(name) <= 80 and Path(name).name == name and name not in (".", "..")
    assert name.isascii() and name.isprintable() and "/" not in name and "\\" not in name and " " not in name
