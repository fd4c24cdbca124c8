"""Archives that are cut, damaged or joined: every loss is noticed, no neighbour is lost, the counts add up."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.making import JPEG, ids, read_all
from tests.sources.tar.making import END, header, member, pairs, pax
from vae_batch.errors import SourceError

SMALL = (
    pairs(3)
    + pax({"path": "a/päx.jpg"})
    + member(b"x.jpg")
    + member(b"././@LongLink", b"long" * 30 + b".jpg\0", flag=b"L")
    + member(b"y.jpg")
    + member(b"notes.txt", b"words" * 200)
    + END
)
ALL = ["000000.jpg", "000001.jpg", "000002.jpg", "a/päx.jpg", "long" * 30 + ".jpg"]


@pytest.mark.parametrize("step", [512, 97])
def test_cut_anywhere(tmp_path: Path, step: int) -> None:
    path = tmp_path / "x.tar"
    for size in range(0, len(SMALL), step):
        path.write_bytes(SMALL[:size])
        records, rejects, _ = read_all(path)
        assert ids(records) == [f"x.tar/{name}" for name in ALL[: len(records)]]
        whole_end = size >= len(SMALL) - 512
        assert len(rejects) == (0 if whole_end else 1), size
        assert all(r.error == "TarDamaged" and r.stage == "read" for r in rejects)


def test_a_cut_member_says_how_much_is_left(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes((member(b"a.jpg") + member(b"b.jpg"))[: 512 + 1024 + 512 + 100])
    _, rejects, _ = read_all(path)
    assert [(r.id, r.row) for r in rejects] == [("x.tar/b.jpg", 1)]
    assert rejects[0].message == f"the tar ends after 100 of its {len(JPEG)} bytes: it has been cut"


def test_a_missing_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(member(b"a.jpg"))
    _, rejects, _ = read_all(path)
    assert [(r.id, r.message) for r in rejects] == [
        ("x.tar@1536", "no end-of-archive block at byte 1,536: the tar may have been cut")
    ]
    path.write_bytes(member(b"a.jpg") + bytes(512))
    assert read_all(path)[1] == []


@pytest.mark.parametrize("where", [0, 148, 124, 300, 511])
def test_a_damaged_header_costs_its_own_member_only(tmp_path: Path, where: int) -> None:
    tar = bytearray(b"".join(member(b"%d.jpg" % i) for i in range(5)) + END)
    tar[2 * 1536 + where] ^= 0x41
    path = tmp_path / "x.tar"
    path.write_bytes(tar)
    records, rejects, _ = read_all(path)
    assert ids(records) == [f"x.tar/{i}.jpg" for i in (0, 1, 3, 4)]
    assert [(r.id, r.row, r.error) for r in rejects] == [("x.tar@3072", 2, "TarDamaged")]
    assert rejects[0].message.startswith("bytes 3,072 to 4,608 of the tar are lost: a damaged header (")


def test_a_damaged_pax_header_and_one_without_a_member(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    broken = member(b"PaxHeader", b"999 path=x\n", flag=b"x")
    path.write_bytes(member(b"a.jpg") + broken + member(b"b.jpg") + pax({"path": "c.jpg"}) + END)
    records, rejects, _ = read_all(path)
    assert ids(records) == ["x.tar/a.jpg", "x.tar/b.jpg"]
    assert [r.id for r in rejects] == ["x.tar@1536", "x.tar@4096"]


def test_an_absurd_extended_header_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(header(b"L", 1 << 33, flag=b"L", size_field=b"\x80" + (1 << 33).to_bytes(11, "big")) + SMALL)
    records, rejects, _ = read_all(path)
    assert len(records) == len(ALL)
    assert len(rejects) == 1


def test_a_second_archive_behind_the_end_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(member(b"a.jpg") + bytes(10240) + member(b"b.jpg") + member(b"a.jpg") + END)
    records, rejects, _ = read_all(path)
    assert ids(records) == ["x.tar/a.jpg", "x.tar/b.jpg"]
    assert [r.error for r in rejects] == ["DuplicateId"]


def test_rubbish_behind_the_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(member(b"a.jpg") + END + b"rubbish" * 300)
    records, rejects, _ = read_all(path)
    assert ids(records) == ["x.tar/a.jpg"]
    assert [r.id for r in rejects] == ["x.tar@2560"]
    assert "bytes behind the end of the archive" in rejects[0].message


def test_what_is_no_tar_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "page.tar").write_bytes(b"<html>quota exceeded</html>" * 100)
    (tmp_path / "short.tgz").write_bytes(b"\x1f\x8b")
    _, rejects, tally = read_all(tmp_path)
    assert [r.id for r in rejects] == ["empty.tar@0", "page.tar@0", "short.tgz@0"]
    assert tally.seen == 3


def test_gzip_cut_anywhere(tmp_path: Path) -> None:
    noise = random.Random(0).randbytes(3000)
    packed = gzip.compress(b"".join(member(b"%d.jpg" % i, JPEG + noise) for i in range(4)) + END, mtime=0)
    path = tmp_path / "x.tgz"
    for size in range(0, len(packed), 61):
        path.write_bytes(packed[:size])
        records, rejects, _ = read_all(path)
        assert all(r.data == JPEG + noise for r in records)
        assert len(rejects) == 1, size
        if size < 2:
            continue
        assert "gzip stream cut at compressed byte" in rejects[0].message, (size, rejects)


def test_gzip_damage_keeps_what_came_before(tmp_path: Path) -> None:
    noise = random.Random(0).randbytes(300_000)
    packed = bytearray(gzip.compress(b"".join(member(b"%d.jpg" % i, noise) for i in range(4)) + END, mtime=0))
    path = tmp_path / "x.tgz"
    packed[-6] ^= 0xFF  # the checksum
    path.write_bytes(packed)
    records, rejects, _ = read_all(path)
    assert len(records) == 4
    assert [r.error for r in rejects] == ["TarDamaged"]
    assert "incorrect data check" in rejects[0].message


def test_gzip_members_in_a_row_padding_and_rubbish(tmp_path: Path) -> None:
    one, two = gzip.compress(member(b"a.jpg")), gzip.compress(member(b"b.jpg") + END)
    path = tmp_path / "x.tgz"
    path.write_bytes(one + two + bytes(100))
    records, rejects, _ = read_all(path)
    assert ids(records) == ["x.tgz/a.jpg", "x.tgz/b.jpg"]
    assert rejects == []
    path.write_bytes(one + two + b"rubbish")
    records, rejects, _ = read_all(path)
    assert len(records) == 2
    assert f"from compressed byte {len(one + two)}" in rejects[0].message


def test_a_gzip_bomb_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    size = 300 << 20
    path = tmp_path / "x.tgz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write(header(b"bomb.jpg", size))
        for _ in range(size >> 20):
            out.write(bytes(1 << 20))
        out.write(member(b"a.jpg") + END)
    tracemalloc.start()
    records, rejects, _ = read_all(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ids(records) == ["x.tgz/a.jpg"]
    assert [r.error for r in rejects] == ["TooLarge"]
    assert peak < 16 << 20


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_tars_never_break_the_accounts(tmp_path: Path, data: st.DataObject) -> None:
    tar = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(tar) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "drop"]))
        if kind == "flip":
            tar[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del tar[max(at, 1) :]
        elif kind == "insert":
            tar[at:at] = data.draw(st.binary(max_size=600))
        else:
            del tar[at : at + data.draw(st.sampled_from([1, 100, 512, 1024]))]
        tar = tar or bytearray(1)
    packed = data.draw(st.booleans())
    path = tmp_path / ("x.tgz" if packed else "x.tar")
    path.write_bytes(gzip.compress(tar, 1) if packed else tar)
    for unit_size in (None, 2):
        read_all(path, unit_size)
    path.unlink()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_mutated_gzip_never_breaks_the_accounts(tmp_path: Path, at: int, flip: int) -> None:
    packed = bytearray(gzip.compress(SMALL, mtime=0))
    packed[at % len(packed)] ^= flip
    path = tmp_path / "x.tgz"
    path.write_bytes(packed)
    records, rejects, _ = read_all(path)
    assert rejects or len(records) == len(ALL)  # flips in gzip's own header (its time, its system) do no harm


def test_a_tar_that_changed_since_the_plan_is_an_error(tmp_path: Path) -> None:
    from tests.sources.making import read_one
    from vae_batch.sources import open_source, plan_units

    path = tmp_path / "x.tar"
    path.write_bytes(pairs(6) + END)
    source = open_source(str(path))
    for unit_size in (None, 2):
        units = list(plan_units(source, unit_size))
        path.write_bytes(pairs(5) + END)
        with pytest.raises(SourceError, match="has changed since"):
            read_one(source.root, units[-1])
        path.unlink()
        with pytest.raises(SourceError, match="cannot be read"):
            read_one(source.root, units[-1])
        path.write_bytes(pairs(6) + END)
    swapped = bytearray(pairs(6) + END)
    swapped[: 4 * 512] = member(b"b.jpg", bytes(3 * 512))  # one member fewer in as many bytes
    path.write_bytes(swapped)
    with pytest.raises(SourceError, match="files where the plan counted"):
        list(read_one(source.root, next(plan_units(source, 100))))
