"""What is left out: other splits and excluded images; each is counted, and nothing of it is handed on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.sources.labels.making import NAMES, folder_of, joined, labels_of, partition_text, write
from tests.sources.making import JPEG
from vae_batch.errors import SourceError, SpecError
from vae_batch.sources.labels.join import split_name
from vae_batch.types import Reject


def digest(name: str) -> str:
    return hashlib.sha256(JPEG + name.encode()).hexdigest()


@pytest.mark.parametrize(("split", "expected"), [("train", NAMES[:6]), ("valid", NAMES[6:7]), ("test", NAMES[7:])])
def test_the_split_by_celebas_partition(tmp_path: Path, split: str, expected: list[str]) -> None:
    file = write(tmp_path / "list_eval_partition.txt", partition_text())
    found, tally, labelling, remarks = joined(folder_of(tmp_path), tmp_path, labels=str(file), split=split)
    assert list(labels_of(found)) == expected
    assert tally.reasons == {"split": 8 - len(expected)}
    name = "validation" if split == "valid" else split
    assert labelling.fingerprint["split"] == f"partition={name}"
    assert f"Split {name}: {len(expected)} rows of list_eval_partition.txt, by its column partition." in remarks


def test_the_split_in_words_comes_along_even_when_not_among_the_columns(tmp_path: Path) -> None:
    words = ["train", "Training", "val", "validation", "valid", "test", "other", ""]
    rows = "".join(f"{n},{w},1\n" for n, w in zip(NAMES, words, strict=True))
    file = write(tmp_path / "l.csv", f"name,Split,x\n{rows}")
    found, tally, *_ = joined(folder_of(tmp_path), tmp_path, {"x": "int64"}, labels=str(file), split="validation")
    assert list(labels_of(found)) == NAMES[2:5]
    assert tally.reasons == {"split": 3, "no split": 2}


def test_the_split_by_sidecars(tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    for i, name in enumerate(NAMES[:4]):
        (source / name).with_suffix(".json").write_text('{"split": "%s"}' % ("train" if i % 2 else "test"))
    found, tally, *_ = joined(source, tmp_path, split="train", sidecar_keys=("smile", "split"))
    assert list(labels_of(found)) == [NAMES[1], NAMES[3]]
    assert tally.reasons == {"split": 2, "no split": 4}


def test_a_split_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--split test: no label says which split"):
        joined(folder_of(tmp_path), tmp_path, split="test")
    file = write(tmp_path / "l.csv", "name,split\n" + "".join(f"{n},train\n" for n in NAMES))
    with pytest.raises(SourceError, match=r"--split test: l.csv has no such images; its split is train \(8 rows\)"):
        joined(folder_of(tmp_path), tmp_path, labels=str(file), split="test")


@pytest.mark.parametrize(
    ("value", "name"),
    [(0, "train"), (1.0, "validation"), ("2", "test"), (" Val ", "validation"), (True, None), (3, None), ([0], None)],
)
def test_the_names_of_splits(value: object, name: str | None) -> None:
    assert split_name(value) == name


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_excluded_by_id_and_by_digest(tmp_path: Path, newline: str) -> None:
    lines = ["\ufeff# taken down on request", "", f"  {NAMES[1]} ", digest(NAMES[2]).upper(), "nobody.jpg", "0" * 64]
    file = write(tmp_path / "gone.txt", "\n".join(lines), newline)
    found, tally, labelling, _ = joined(folder_of(tmp_path), tmp_path, exclude=str(file))
    assert list(labels_of(found)) == [NAMES[0], *NAMES[3:]]
    assert tally.excluded == 2 and tally.reasons["id"] == 1
    join, _ = labelling.build(str(tmp_path / "tables"), str(tmp_path / "tables"))
    assert join is not None
    said = list(join.remarks({"excluded": dict(tally.reasons)}, True))
    assert said == ["  excluded by --exclude: 2", "  entries of --exclude that left no image out: 2"]
    assert len(list(join.remarks({"excluded": dict(tally.reasons)}, False))) == 1


def test_what_cannot_be_read_is_excluded_too(tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    for name in NAMES[:2]:
        (source / name).unlink()
        (source / name).symlink_to("nowhere.jpg")
    found, *_ = joined(source, tmp_path)
    assert [item.id for item in found if isinstance(item, Reject)] == NAMES[:2]
    file = write(tmp_path / "gone.txt", NAMES[0])
    found, tally, *_ = joined(source, tmp_path, exclude=str(file))
    assert [item.id for item in found if isinstance(item, Reject)] == NAMES[1:2]
    assert tally.excluded == 1
    labels = write(tmp_path / "list_eval_partition.txt", partition_text())
    found, tally, *_ = joined(source, tmp_path, labels=str(labels), split="test")
    assert [item.id for item in found] == NAMES[-1:]


def test_an_exclude_file_that_cannot_be_used(tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    with pytest.raises(SourceError, match=r"--exclude .*: no such file or folder"):
        joined(source, tmp_path, exclude=str(tmp_path / "none"))
    with pytest.raises(SourceError, match="is a folder: give a file of ids or sha256"):
        joined(source, tmp_path, exclude=str(tmp_path))
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"x\.bin is not UTF-8 text"):
        joined(source, tmp_path, exclude=str(tmp_path / "x.bin"))
