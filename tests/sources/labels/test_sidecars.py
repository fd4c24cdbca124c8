"""Which JSON belongs to which image, in tars and in folders."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.sources.making import JPEG, read_all
from tests.sources.tar.making import END, member, pairs
from vae_batch.sources import open_source, plan_units, sample_labels
from vae_batch.sources.labels.sidecars import MAX_SIDECAR_BYTES, MAX_VALUES, parse_labels


def labelled(**labels: Any) -> bytes:
    return json.dumps(labels).encode()


def both(tmp_path: Path, files: list[tuple[str, bytes]]) -> list[Path]:
    """The same files as a tar and as a folder."""
    (tmp_path / "x.tar").write_bytes(b"".join(member(n.encode(), d) for n, d in files) + END)
    for name, data in files:
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return [tmp_path / "x.tar", tmp_path / "folder"]


def test_labels_before_and_behind(tmp_path: Path) -> None:
    files = [
        ("a.jpg", JPEG),
        ("a.json", labelled(x=1)),
        ("b.json", labelled(x=2)),
        ("b.jpg", JPEG),
        ("d/c.jpg", JPEG),
        ("lonely.json", labelled(x=3)),
    ]
    for location in both(tmp_path, files):
        records, rejects, tally = read_all(location)
        labels = {r.id.removeprefix("x.tar/"): r.labels for r in records}
        assert labels == {"a.jpg": {"x": 1}, "b.jpg": {"x": 2}, "d/c.jpg": None}
        assert (rejects, tally.seen, tally.skipped) == ([], 4, 1)
        assert sum(tally.sidecars.values()) == (location.suffix == ".tar")  # in a tar a sidecar stands by its image


def test_an_image_prefers_the_sidecar_of_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(
        member(b"1.left.jpg")
        + member(b"1.right.jpg")
        + member(b"1.right.json", labelled(own=True))
        + member(b"1.json", labelled(own=False))
        + member(b"1.cls", b"7")
        + END
    )
    records, _, tally = read_all(path)
    assert [r.labels for r in records] == [{"own": False}, {"own": True}]
    assert (tally.seen, tally.skipped) == (3, 1)


def test_keys_that_are_not_adjacent_are_never_merged(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(member(b"a.jpg") + member(b"b.jpg") + member(b"a.json", labelled(x=1)) + END)
    for unit_size in (None, 1):
        records, _, tally = read_all(path, unit_size)
        assert [r.labels for r in records] == [None, None]
        assert (tally.skipped, tally.sidecars["alone"]) == (1, 1)


@pytest.mark.parametrize("unit_size", [None, 7])
def test_a_tar_of_all_images_and_then_all_sidecars_is_told(tmp_path: Path, unit_size: int | None) -> None:
    path = tmp_path / "x.tar"
    images = b"".join(member(b"%03d.jpg" % i) for i in range(40))
    path.write_bytes(images + b"".join(member(b"%03d.json" % i, labelled(i=i)) for i in range(40)) + END)
    records, _, tally = read_all(path, unit_size)
    assert {r.labels for r in records} == {None}
    assert (len(records), tally.skipped, tally.sidecars["alone"]) == (40, 40, 40)


@pytest.mark.parametrize("unit_size", [None, 1, 2])
def test_the_parts_of_a_key_stay_together(tmp_path: Path, unit_size: int | None) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(
        member(b"1.left.jpg")
        + member(b"1.cls", b"7")
        + member(b"1.meta.json", labelled(meta=True))
        + member(b"1.right.jpg")
        + member(b"1.json", labelled(x=1))
        + member(b"1/2.seg.png")
        + member(b"1/2.jpg")
        + member(b"1/2.json", labelled(x=2))
        + member(b"1.left.jpg")  # the key once more, further on: another sample, and a name that was there
        + member(b"1.json", labelled(x=3))
        + END
    )
    records, rejects, tally = read_all(path, unit_size)
    assert [(r.id, r.labels) for r in records] == [
        ("x.tar/1.left.jpg", {"x": 1}),
        ("x.tar/1.right.jpg", {"x": 1}),
        ("x.tar/1/2.seg.png", {"x": 2}),
        ("x.tar/1/2.jpg", {"x": 2}),
    ]
    assert [(r.id, r.error) for r in rejects] == [("x.tar/1.left.jpg", "DuplicateId")]
    assert (tally.skipped, tally.sidecars["alone"]) == (2, 0)


def test_dots_in_names_do_not_part_image_and_sidecar(tmp_path: Path) -> None:
    files: list[tuple[str, bytes]] = []
    for i in range(500):
        stem = f"face.{i:04}"
        files += [(f"{stem}.cls", b"1"), (f"{stem}.jpg", JPEG), (f"{stem}.json", labelled(i=i))]
    for location in both(tmp_path, files):
        for unit_size in (None, 10):
            records, _, tally = read_all(location, unit_size)
            assert [r.labels for r in records] == [{"i": i} for i in range(500)]
            assert [r.row for r in records] == list(range(1, 1000, 2))
            assert sum(tally.sidecars.values()) == 0
    source = open_source(str(tmp_path / "x.tar"))
    assert len(list(plan_units(source, 200))) == 5  # one key throughout, and still it can be split


@pytest.mark.parametrize("unit_size", [None, 50])
def test_a_key_with_many_images(tmp_path: Path, unit_size: int | None) -> None:
    images = b"".join(member(b"clip.%03d.jpg" % i) for i in range(300))
    sidecar = member(b"clip.json", labelled(x=1))
    path = tmp_path / "x.tar"
    path.write_bytes(sidecar + images + END)
    records, _, tally = read_all(path, unit_size)
    assert [r.labels for r in records] == [{"x": 1}] * 300
    path.write_bytes(images + sidecar + END)
    records, _, tally = read_all(path, None)
    assert tally.sidecars["late"] == 1
    assert (len(records), tally.seen) == (300, 300)


def test_a_group_is_handed_on_before_it_grows_too_big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_batch.sources.tar.groups.GROUP_BYTES", 1000)
    path = tmp_path / "x.tar"
    names = [b"a.jpg", b"a.png", b"a.tif"]
    path.write_bytes(b"".join(member(n, JPEG) for n in names) + member(b"a.json", labelled(x=1)) + END)
    records, _, tally = read_all(path)
    assert [r.labels for r in records] == [None, None, {"x": 1}]
    assert (tally.sidecars["late"], tally.seen) == (1, 3)


UNREADABLE = [
    b"",
    b"[1, 2]",
    b"{",
    b"[" * 4_000,
    b'{"a":' * 4_000,
    b'{"a": ' + b"9" * 10_000 + b"}",
    b'{"a": "\\ud800"}',
    b"\xff\xfe\x00",
]
LARGE = [
    b"[" * 100_000,
    b'{"a": "' + b"x" * (1 << 20) + b'"}',
    b'{"a": "' + b"x" * (MAX_SIDECAR_BYTES - 8) + b'"}',
    json.dumps({"a": [[]] * 2499 + [1, 2]}).encode(),
    json.dumps({str(i): 0 for i in range(MAX_VALUES + 1)}).encode(),
]
"""The last three by one byte or one value; see the next test but one."""


@pytest.mark.parametrize("data", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_sidecar_without_a_json_object_is_counted(tmp_path: Path, data: bytes) -> None:
    for location in both(tmp_path, [("a.jpg", JPEG), ("a.json", data)]):
        records, rejects, tally = read_all(location)
        assert [r.labels for r in records] == [None]
        assert (rejects, tally.seen, tally.sidecars["unreadable"]) == ([], 1, 1)


@pytest.mark.parametrize("data", LARGE, ids=range(len(LARGE)))
def test_a_sidecar_that_is_too_large_is_counted_as_such(tmp_path: Path, data: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", JPEG)
        file.writestr("a.json", data)
    for location in [*both(tmp_path, [("a.jpg", JPEG), ("a.json", data)]), tmp_path / "x.zip"]:
        records, rejects, tally = read_all(location)
        assert [r.labels for r in records] == [None]
        assert (rejects, tally.seen, +tally.sidecars) == ([], 1, {"too large": 1})


def test_a_sidecar_just_not_too_large_is_read() -> None:
    shorter = ((b"xx", b"x"), (b", []", b""), (b'"0": 0, ', b""))
    for data, (more, less) in zip(LARGE[2:], shorter, strict=True):
        data = data.replace(more, less, 1)
        assert parse_labels(data) == json.loads(data)


def test_labels_as_they_are_parsed() -> None:
    assert parse_labels(b'\xef\xbb\xbf{"a": [1, {"b": null}], "\\u00e4": 1e400}') == {
        "a": [1, {"b": None}],
        "ä": float("inf"),
    }


def test_the_first_sidecars_of_a_source(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(JPEG)
    (folder / "a.json").write_bytes(labelled(loose=True))
    (folder / "b.tar").write_bytes(pairs(5, smile=0.5) + END)
    (folder / "c.tar").write_bytes(pairs(5) + END)
    found = list(sample_labels(open_source(str(folder)), limit=7))
    assert found == [{"loose": True}, *({"index": i, "smile": 0.5} for i in range(5)), {"index": 0}]
