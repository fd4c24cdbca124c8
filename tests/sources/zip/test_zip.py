"""Zips: names, sidecars, units; what is refused, damage anywhere, and the accounts."""

from __future__ import annotations

import json
import random
import resource
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.sources.making import JPEG, PNG, ids, read_all, read_one
from tests.sources.zip.making import ENTRY, Made, lzma_body, make, with_zipfile
from vae_batch.errors import SourceError
from vae_batch.sources import broken_shards, count_images, open_source, plan_units, sample_labels
from vae_batch.sources.streams import MAX_FILE_BYTES
from vae_batch.sources.zip import directory as zip_directory
from vae_batch.types import ImageRecord

FIXTURE = [HealthCheck.function_scoped_fixture]


def of_members(folder: Path, *members: Made, **kwargs: object) -> Path:
    path = folder / "x.zip"
    path.write_bytes(make(members, **kwargs))  # type: ignore[arg-type]
    return path


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", METHODS)
def test_a_zip_is_cut_into_units_by_its_directory(tmp_path: Path, method: int) -> None:
    path = tmp_path / "celeba.zip"
    with_zipfile(
        path,
        [("img/", b""), *((f"img/{i:03}.jpg", JPEG + b"%d" % i * i) for i in range(100)), ("README", b"words")],
        method,
    )
    source = open_source(str(path))
    extent = count_images(source)
    assert (extent.shards, extent.files, extent.bytes, extent.exact) == (1, 101, path.stat().st_size, True)
    units = list(plan_units(source, 20))
    assert [u.seen for u in units] == [20, 20, 20, 20, 21]
    assert sum(u.bytes for u in units) == source.bytes
    assert [(u.pieces[0].start, u.pieces[0].end) for u in units] == [(0, 21), (21, 41), (41, 61), (61, 81), (81, None)]
    for unit_size in (None, 1, 20):
        records, rejects, tally = read_all(path, unit_size)
        assert ids(records) == [f"celeba.zip/img/{i:03}.jpg" for i in range(100)]
        assert [r.data for r in records] == [JPEG + b"%d" % i * i for i in range(100)]
        assert [r.row for r in records] == list(range(100))
        assert (rejects, tally.seen, tally.skipped) == ([], 101, 1)


def test_small_zips_go_together_and_beside_other_shards(tmp_path: Path) -> None:
    for i in range(3):
        with_zipfile(tmp_path / f"{i}.zip", [(f"{j}.jpg", JPEG) for j in range(5)])
    (tmp_path / "a.jpg").write_bytes(JPEG)
    units = list(plan_units(open_source(str(tmp_path)), 10))
    assert [[p.shard for p in u.pieces] for u in units] == [["."], ["0.zip", "1.zip"], ["2.zip"]]
    assert len(read_all(tmp_path)[0]) == 16


def test_the_directory_is_read_once_by_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    with_zipfile(path, [(f"{i}.jpg", JPEG) for i in range(50)])
    source = open_source(str(path))
    units = list(plan_units(source, 5))
    calls = []
    find = zip_directory.find_directory
    monkeypatch.setattr(zip_directory, "find_directory", lambda file: calls.append(1) or find(file))
    zip_directory._cached.cache_clear()
    for unit in units:
        read_one(source.root, unit)
    assert len(calls) == 1
    with_zipfile(path, [(f"{i + 10}.jpg", JPEG) for i in range(50)])  # another zip of its own size, or nearly
    assert ids(read_all(path)[0])[0] == "x.zip/10.jpg"


def test_sidecars_need_not_be_adjacent(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    labels = [(f"d/{i}.json", json.dumps({"i": i}).encode()) for i in range(30)]
    images = [(f"d/{i}.jpg", JPEG) for i in range(30)]
    multi = [("m.left.jpg", JPEG), ("m.right.jpg", JPEG), ("m.cls", b"7")]
    tails = [("m.right.json", b'{"own": true}'), ("m.json", b'{"own": false}'), ("lonely.json", b"{}")]
    with_zipfile(path, [*labels[:10], *images, *labels[10:], *multi, *tails])
    for unit_size in (None, 4):
        records, rejects, tally = read_all(path, unit_size)
        assert [r.labels for r in records] == [*({"i": i} for i in range(30)), {"own": False}, {"own": True}]
        assert (rejects, tally.seen, tally.skipped, sum(tally.sidecars.values())) == ([], 34, 2, 0)
    assert list(sample_labels(open_source(str(path)), 3)) == [{"i": 0}, {"i": 1}, {"i": 2}]


@pytest.mark.parametrize("sidecar", [Made(b"a.json", b"[1]"), Made(b"a.json", b"{}", flags=1), Made(b"a.json", crc=0)])
def test_a_sidecar_that_cannot_be_used_is_counted(tmp_path: Path, sidecar: Made) -> None:
    records, rejects, tally = read_all(of_members(tmp_path, sidecar, Made()))
    assert [r.labels for r in records] == [None]
    assert (rejects, tally.seen, tally.sidecars["unreadable"]) == ([], 1, 1)


UNICODE_PATH = struct.pack("<HHBL", 0x7075, 5 + 6, 1, zlib.crc32(b"\x81.jpg")) + "ы.jpg".encode()
NAMES = [
    (Made(b"\x81.jpg", host=0), "ü.jpg"),
    (Made(b"\x81.jpg", host=3), "ü.jpg"),
    (Made("é.jpg".encode(), flags=1 << 11, host=0), "é.jpg"),
    (Made("é.jpg".encode(), host=3), "é.jpg"),
    (Made("é.jpg".encode(), host=0), "├⌐.jpg"),
    (Made(b"a\xff.jpg", flags=1 << 11), "a%FF.jpg"),
    (Made(b"\x81.jpg", extra=UNICODE_PATH), "ы.jpg"),
    (Made(b"\x82.jpg", extra=UNICODE_PATH), "é.jpg"),
    (Made(b"\x82.jpg", extra=b"\x75\x70\xff\xff"), "é.jpg"),
    (Made(b"d\\e.jpg", host=0), "d/e.jpg"),
    (Made(b"./d/e.jpg"), "d/e.jpg"),
    (Made(b"/d/e.jpg"), "d/e.jpg"),
    (Made(b"../../e.jpg"), "../../e.jpg"),
    (Made(b"a\0b.jpg"), "a%00b.jpg"),
]


@pytest.mark.parametrize(("member", "name"), NAMES, ids=range(len(NAMES)))
def test_names(tmp_path: Path, member: Made, name: str) -> None:
    records, rejects, _ = read_all(of_members(tmp_path, member))
    assert (ids(records), rejects) == ([f"x.zip/{name}"], [])


def test_what_is_seen(tmp_path: Path) -> None:
    path = of_members(
        tmp_path,
        Made(b"d/", b""),
        Made(b"/", b""),
        Made(b"w\\", b"", host=0),
        Made(b"strange", PNG),
        Made(b"packed", PNG * 1000, 8),
        Made(b"notes.txt", b"words"),
        Made(b"empty", b""),
        Made(b"empty.jpg", b""),
        Made(b"__MACOSX/a.jpg", b"metadata"),
        Made(b"__MACOSX/._b.jpg", b"\0\5\x16\7"),
        Made(b"._c.jpg", PNG),
        Made(b"link.jpg", b"strange", mode=0o120777),
        Made(b"link", b"strange", mode=0o120777),
    )
    for unit_size in (None, 1):
        records, rejects, tally = read_all(path, unit_size)
        assert ids(records) == ["x.zip/strange", "x.zip/packed", "x.zip/empty.jpg", "x.zip/._c.jpg"]
        assert [(r.id, r.error) for r in rejects] == [("x.zip/link.jpg", "LinkMember")]
        assert (tally.seen, tally.skipped) == (10, 5)


REFUSED = [
    (Made(flags=1), "EncryptedMember", "the member is encrypted: pack the zip anew without a password"),
    (Made(method=9), "UnsupportedMethod", "packed by method 9 (Deflate64)"),
    (Made(method=93), "UnsupportedMethod", "packed by method 93 (Zstandard)"),
    (Made(method=99), "UnsupportedMethod", "packed by method 99 (unknown)"),
    (Made(crc=7), "ZipDamaged", "another checksum"),
    (Made(method=8, crc=7), "ZipDamaged", "another checksum"),
    (Made(size=7), "ZipDamaged", "states 518 bytes in the zip and 7 outside"),
    (Made(method=8, size=7), "ZipDamaged", "has more than 7 bytes where 7 are stated"),
    (Made(method=8, size=9000), "ZipDamaged", "has 518 bytes where 9,000 are stated"),
    (Made(method=8, raw=b"\xff" * 50), "ZipDamaged", "cannot be unpacked"),
    (Made(method=12, crc=7), "ZipDamaged", "another checksum"),
    (Made(method=12, size=7), "ZipDamaged", "has more than 7 bytes where 7 are stated"),
    (Made(method=12, size=9000), "ZipDamaged", "has 518 bytes where 9,000 are stated"),
    (Made(method=12, raw=b"\xff" * 50), "ZipDamaged", "cannot be unpacked: Invalid data stream"),
    (Made(method=12, packed=40), "ZipDamaged", "has 0 bytes where 518 are stated"),
    (Made(method=12, size=1 << 31), "TooLarge", "files above"),
    (Made(method=14, crc=7), "ZipDamaged", "another checksum"),
    (Made(method=14, size=7), "ZipDamaged", "another checksum"),
    (Made(method=14, size=9000), "ZipDamaged", "has 518 bytes where 9,000 are stated"),
    (Made(method=14, raw=b"\xff" * 50), "ZipDamaged", "cannot be unpacked: LZMA properties of 65535 bytes"),
    (Made(method=14, raw=b"\x09\x04\x05\x00" + b"\xff" * 50), "ZipDamaged", "cannot be unpacked"),
    (Made(method=14, raw=b"\x09\x04"), "ZipDamaged", "cannot be unpacked"),
    (Made(method=14, packed=40), "ZipDamaged", "bytes where 518 are stated"),
    (Made(method=14, size=1 << 31), "TooLarge", "files above"),
    (Made(method=8, packed=40), "ZipDamaged", "has 39 bytes where 518 are stated"),
    (Made(size=1 << 31, packed=1 << 31), "TooLarge", "files above"),
    (Made(method=8, size=1 << 31), "TooLarge", "files above"),
    (Made(size=10_000, packed=10_000), "ZipDamaged", "reaches into the member at byte 1,106"),
    (Made(local=b"XXXX"), "ZipDamaged", "has no header at byte"),
    (Made(offset=40_000), "ZipDamaged", "has no header at byte 40,000"),
    (Made(offset=5), "ZipDamaged", "has no header at byte 5"),
    (Made(b"n.txt", method=8, raw=b"\xff" * 50), "ZipDamaged", "cannot be unpacked"),
]


@pytest.mark.parametrize(("member", "error", "message"), REFUSED, ids=range(len(REFUSED)))
@pytest.mark.parametrize("zip64", [False, True])
def test_a_member_that_is_refused_costs_no_neighbour(
    tmp_path: Path, member: Made, error: str, message: str, zip64: bool
) -> None:
    path = of_members(tmp_path, Made(b"0.jpg"), member, Made(b"1.jpg", method=8), zip64=zip64)
    for unit_size in (None, 1):
        records, rejects, _ = read_all(path, unit_size)
        assert ids(records) == ["x.zip/0.jpg", "x.zip/1.jpg"]
        assert [(r.row, r.stage, r.error) for r in rejects] == [(1, "read", error)]
        assert message in rejects[0].message


@pytest.mark.parametrize("method", METHODS)
def test_an_image_without_an_extension_however_it_is_packed(tmp_path: Path, method: int) -> None:
    noise = random.Random(0).randbytes(1_500_000)
    path = of_members(tmp_path, Made(b"strange", PNG + noise, method), Made(b"notes", noise, method))
    records, _, tally = read_all(path)
    assert ids(records) == ["x.zip/strange"] and tally.skipped == 1


def test_lzma_without_an_end_mark_and_with_a_dictionary_beyond_reason(tmp_path: Path) -> None:
    cut = Made(b"cut.jpg", method=14, raw=lzma_body(JPEG)[:-2])
    huge = Made(b"huge.jpg", method=14, raw=lzma_body(JPEG, (1 << 32) - 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    records, rejects, _ = read_all(of_members(tmp_path, cut, huge))
    assert [r.data for r in records] == [JPEG, JPEG] and not rejects
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


@pytest.mark.parametrize("method", [8, 12, 14])
def test_a_member_that_unpacks_to_more_than_it_states_costs_no_memory(tmp_path: Path, method: int) -> None:
    bomb = Made(b"bomb.jpg", bytes(64 << 20), method, size=1000)
    path = of_members(tmp_path, bomb, Made(b"a.jpg"))
    code = f"""
import resource
from tests.sources.making import read_all
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
_, (reject,), _ = read_all({str(path)!r})
assert reject.error == "ZipDamaged", reject
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30 << 10


@pytest.mark.parametrize("size", [1 << 40, 1 << 62, (1 << 64) - 2])
def test_absurd_numbers_of_64_bits(tmp_path: Path, size: int) -> None:
    huge = Made(b"h.jpg", size=size, packed=size)
    far = Made(b"f.jpg", offset=size)
    note = Made(b"n.txt", b"words", size=size, packed=size)
    records, rejects, tally = read_all(of_members(tmp_path, Made(), huge, far, note, zip64=True))
    assert ids(records) == ["x.zip/a.jpg"]
    assert [r.error for r in rejects] == ["TooLarge", "ZipDamaged"]
    assert tally.skipped == 1


def test_names_that_were_there_before(tmp_path: Path) -> None:
    path = of_members(tmp_path, Made(b"a.jpg"), Made(b"b.jpg"), Made(b"./a.jpg", PNG), Made(b"t.txt"), Made(b"t.txt"))
    for unit_size in (None, 1):
        records, rejects, tally = read_all(path, unit_size)
        assert [r.data for r in records] == [JPEG, JPEG, JPEG]  # t.txt has an image's first bytes
        assert [(r.id, r.row, r.error) for r in rejects] == [
            ("x.zip/a.jpg", 2, "DuplicateId"),
            ("x.zip/t.txt", 4, "DuplicateId"),
        ]
        assert tally.seen == 5


def test_a_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    deflater = zlib.compressobj(wbits=-15)
    raw = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(400)) + deflater.flush()
    honest = Made(b"honest.jpg", b"", 8, raw=raw, size=400 << 20)
    liar = Made(b"liar.jpg", b"", 8, raw=raw, size=1000)
    text = Made(b"text.txt", b"", 8, raw=raw, size=400 << 20)
    path = of_members(tmp_path, honest, liar, text, Made())
    tracemalloc.start()
    records, rejects, tally = read_all(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert MAX_FILE_BYTES < 400 << 20
    assert ids(records) == ["x.zip/a.jpg"]
    assert [(r.id, r.error) for r in rejects] == [("x.zip/honest.jpg", "TooLarge"), ("x.zip/liar.jpg", "ZipDamaged")]
    assert (tally.skipped, peak < 16 << 20) == (1, True)


def test_a_member_that_the_end_cuts(tmp_path: Path) -> None:
    _, rejects, _ = read_all(of_members(tmp_path, Made(size=10_000, packed=10_000)))
    assert [r.message for r in rejects] == ["the member is cut: the zip ends after 591 of its 10,000 bytes"]


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    inner = make([Made(b"b.jpg")])
    inner_file = inner[: inner.index(ENTRY)]
    path = of_members(tmp_path, Made(b"a.jpg", inner_file), Made(b"b.jpg", offset=35), Made(b"c.jpg"))
    records, rejects, _ = read_all(path)
    assert ids(records) == ["x.zip/b.jpg", "x.zip/c.jpg"]
    assert [r.message for r in rejects] == ["the member reaches into the member at byte 35"]


def test_order_on_disk_does_not_matter(tmp_path: Path) -> None:
    parts = [make([Made(b"%d.jpg" % i, JPEG + b"%d" % i)]) for i in range(20)]
    length = parts[0].index(ENTRY)
    order = [(7 * i) % 20 for i in range(20)]
    where = {n: i for i, n in enumerate(order)}
    members = [Made(b"%d.jpg" % i, JPEG + b"%d" % i) for i in range(10)]
    files = b"".join(parts[n][: parts[n].index(ENTRY)] for n in order if n < 10)
    at = 0
    for n in sorted(range(10), key=lambda n: where[n]):
        members[n].offset = at
        at += length
    directory = make(members)
    path = tmp_path / "x.zip"
    path.write_bytes(files + directory[directory.index(ENTRY) :])
    for unit_size in (None, 3):
        records, rejects, _ = read_all(path, unit_size)
        assert [r.data for r in records] == [JPEG + b"%d" % i for i in range(10)]
        assert rejects == []


@pytest.mark.parametrize("zip64", [False, True])
def test_bytes_before_and_behind_the_archive(tmp_path: Path, zip64: bool) -> None:
    members = [Made(b"%d.jpg" % i, method=8 * (i % 2)) for i in range(6)]
    for before, behind in [(b"MZ" + bytes(5000), b""), (b"", b"\n" * 500), (b"#!/bin/sh\n", b"PK\x05\x06" + bytes(30))]:
        records, rejects, _ = read_all(of_members(tmp_path, *members, before=before, behind=behind, zip64=zip64), 2)
        assert (len(records), rejects) == (6, [])


def test_bytes_lost_in_the_middle_cost_one_member(tmp_path: Path) -> None:
    whole = make([Made(b"%d.jpg" % i, JPEG + b"%d" % i) for i in range(9)])
    at = whole.index(b"4.jpg") + 100
    path = tmp_path / "x.zip"
    path.write_bytes(whole[:at] + whole[at + 77 :])
    records, rejects, _ = read_all(path)
    assert len(records) == 8
    assert ids(rejects) == ["x.zip/4.jpg"]


def test_more_entries_than_sixteen_bits_count(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(make([Made(b"%05d.txt" % i, b"") for i in range((1 << 16) + 3)]))
    assert count_images(open_source(str(path))).files == (1 << 16) + 3


WHOLE = make([Made(b"%d.jpg" % i) for i in range(3)])
BROKEN = [
    (b"", "x.zip is empty, which no zip is"),
    (WHOLE[:-30], "x.zip has no directory at its end, so it has been cut"),
    (b"\n<!DOCTYPE html><html>quota", "x.zip is an HTML page"),
    (b"version https://git-lfs.github.com/spec/v1\n", "x.zip is a pointer of git-lfs"),
    (b"random" * 100, "x.zip is no zip"),
    (WHOLE.replace(ENTRY + b"\x14\x03", b"XXXXXX"), "x.zip has no directory at byte 1,659"),
    (WHOLE.replace(ENTRY, b"XXXX", 2).replace(b"XXXX", ENTRY, 1), "x.zip has a broken directory: byte 1,710 is not"),
    (make([Made()], disks=2), "x.zip is one of several volumes: join them with `zip -s 0"),
    (make([Made()], disks=2, zip64=True), "x.zip is one of several volumes"),
    (WHOLE[:-14] + b"\4\0\4\0" + WHOLE[-10:], "x.zip has 3 entries in its directory but states 4"),
    (WHOLE + make([Made(b"z.jpg")]), "x.zip begins with 1,834 bytes of another archive"),
    (make([Made(), Made(b"in.zip", WHOLE)])[:-100], "x.zip begins with 589 bytes of another archive"),
    (make([Made()], zip64=True).replace(b"PK\x06\x06", b"XXXX"), "x.zip has lost the 64-bit record"),
]


@pytest.mark.parametrize(("data", "message"), BROKEN, ids=range(len(BROKEN)))
def test_a_zip_without_its_directory(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(SourceError) as raised:
        plan_units(open_source(str(tmp_path / "x.zip")))
    assert str(raised.value).startswith(message)
    assert str(raised.value).endswith("try to repair it with `zip -FF`")
    with_zipfile(tmp_path / "y.zip", [("a.jpg", JPEG)])
    for unit_size in (None, 1):
        records, rejects, tally = read_all(tmp_path, unit_size)
        assert (ids(records), tally.seen) == (["y.zip/a.jpg"], 2)
        assert [(r.id, r.error, r.message) for r in rejects] == [("x.zip@0", "ZipDamaged", str(raised.value))]
    source = open_source(str(tmp_path))
    assert list(sample_labels(source)) == []
    assert broken_shards(source) == [f"Warning: {raised.value}. It will be one reject, and none of its images a row."]


def test_an_empty_zip_has_nothing_in_it(tmp_path: Path) -> None:
    with_zipfile(tmp_path / "x.zip", [])
    assert read_all(tmp_path)[2].seen == 0


def test_a_zip_that_changed_since_the_plan_is_an_error(tmp_path: Path) -> None:
    path = of_members(tmp_path, *(Made(b"%d.jpg" % i) for i in range(6)))
    source = open_source(str(path))
    units = list(plan_units(source, 2))
    path.write_bytes(make([Made(b"%d.jpg" % i) for i in range(5)]))
    with pytest.raises(SourceError, match="has changed since"):
        read_one(source.root, units[0])
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        read_one(source.root, units[0])


NAMES_OF = st.sampled_from(["a.jpg", "a.json", "b.1.jpg", "b.json", "b.1.json", "c", "c.txt", "d/", "d/a.png", "é.gif"])
MEMBERS = st.lists(
    st.tuples(NAMES_OF, st.sampled_from([JPEG, PNG, b"", b'{"x": 1}', bytes(5000)]), st.booleans()), min_size=1
)


@settings(max_examples=150, deadline=None, suppress_health_check=FIXTURE)
@given(MEMBERS, st.integers(1, 9), st.binary(max_size=50))
def test_pieces_give_what_zipfile_gives(
    tmp_path: Path, members: list[tuple[str, bytes, bool]], size: int, before: bytes
) -> None:
    path = of_members(
        tmp_path,
        *(Made(n.encode(), b"" if n[-1] == "/" else d, 8 * deflate, flags=1 << 11) for n, d, deflate in members),
        before=before,
    )
    whole, pieces = read_all(path, 10_000), read_all(path, size)
    assert pieces[:2] == whole[:2]
    assert (pieces[2].seen, pieces[2].skipped) == (whole[2].seen, whole[2].skipped)
    with zipfile.ZipFile(path) as standard:
        first = {info.filename: info for info in reversed(standard.infolist())}
        for record in whole[0]:
            assert standard.read(first[record.id.removeprefix("x.zip/")]) == record.data
    assert all(reject.error == "DuplicateId" for reject in whole[1])
    images = {name for name, _, _ in members if name.endswith((".jpg", ".png", ".gif"))}
    assert images <= {record.id.removeprefix("x.zip/") for record in whole[0]}


SMALL = make([Made(b"%d.jpg" % i, JPEG * (i + 1), 8 * (i % 2)) for i in range(3)] + [Made(b"0.json", b"{}")])
SMALL64 = make([Made(b"%d.jpg" % i, JPEG, 8 * (i % 2)) for i in range(3)] + [Made(b"n.txt", b"words")], zip64=True)


def read_or_refuse(path: Path, unit_size: int | None) -> tuple[int, int] | None:
    """Rows and rejects, the accounts checked; None for a zip that is refused as a whole."""
    try:
        records, rejects, _ = read_all(path, unit_size)
    except SourceError as error:
        assert "x.zip" in str(error) and "zip -FF" in str(error)
        return None
    return len(records), len(rejects)


@settings(max_examples=400, deadline=None, suppress_health_check=FIXTURE)
@given(st.data(), st.sampled_from([SMALL, SMALL64]))
@example(None, SMALL)
def test_damage_never_breaks_the_accounts(tmp_path: Path, data: st.DataObject | None, small: bytes) -> None:
    damaged = bytearray(small)
    for _ in range(data.draw(st.integers(1, 4)) if data else 0):
        at = data.draw(st.integers(0, len(damaged) - 1))  # type: ignore[union-attr]
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "drop", "ones"]))  # type: ignore[union-attr]
        if kind == "flip":
            damaged[at] ^= data.draw(st.integers(1, 255))  # type: ignore[union-attr]
        elif kind == "cut":
            del damaged[max(at, 1) :]
        elif kind == "insert":
            damaged[at:at] = data.draw(st.binary(max_size=100))  # type: ignore[union-attr]
        elif kind == "ones":
            damaged[at : at + 8] = b"\xff" * len(damaged[at : at + 8])
        else:
            del damaged[at : at + data.draw(st.sampled_from([1, 10, 100]))]  # type: ignore[union-attr]
        damaged = damaged or bytearray(1)
    path = tmp_path / "x.zip"
    path.write_bytes(damaged)
    assert read_or_refuse(path, None) == read_or_refuse(path, 1)


@pytest.mark.parametrize("small", [SMALL, SMALL64], ids=["plain", "zip64"])
def test_every_byte_flipped(tmp_path: Path, small: bytes) -> None:
    path = tmp_path / "x.zip"
    files = small.index(ENTRY)
    for at in range(0, len(small), 3):
        damaged = bytearray(small)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        found = read_or_refuse(path, None)
        if at < files:  # damage to one member costs at most that one
            assert found is not None and found[0] >= 2, at


def test_a_zip_under_a_uri(tmp_path: Path) -> None:
    import fsspec

    data = make([Made(b"%d.jpg" % i, JPEG + b"%d" % i, 8 * (i % 2)) for i in range(30)] + [Made(b"3.json", b"{}")])
    fsspec.filesystem("memory").pipe("/zips/x.zip", data)
    for location in ("memory://zips/x.zip", "memory://zips"):
        source = open_source(location)
        units = list(plan_units(source, 7))
        found = [item for unit in units for item in read_one(source.root, unit)[0]]
        assert [item.data for item in found if isinstance(item, ImageRecord)] == [JPEG + b"%d" % i for i in range(30)]
        assert [u.seen for u in units] == [7, 8, 7, 8]
