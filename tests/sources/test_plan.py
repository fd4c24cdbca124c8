"""Units: what is in them, that they cover all, and that cutting changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.sources.tarmaking import END, JPEG, member, pairs, pax, read_all, with_tarfile
from vae_batch.errors import SpecError
from vae_batch.sources import count_images, default_unit_size, open_source, plan_units


@pytest.mark.parametrize(
    ("total", "row_bytes", "size"),
    [
        (0, None, 256),
        (400, None, 256),
        (64_000, 1000, 768),
        (50_000_000, None, 8192),
        (50_000_000, 196_608, 2560),
        (9, 5_000_000, 102),
    ],
)
def test_default_unit_size(total: int, row_bytes: int | None, size: int) -> None:
    assert default_unit_size(total, row_bytes) == size


def test_small_tars_together_big_ones_split(tmp_path: Path) -> None:
    for name, count in [("a", 3), ("b", 3), ("c", 40), ("d", 5), ("e", 12), ("f", 1)]:
        (tmp_path / f"{name}.tar").write_bytes(pairs(count) + END)
    (tmp_path / "loose.png").write_bytes(JPEG)
    source = open_source(str(tmp_path))
    units = list(plan_units(source, 10))
    assert [[p.shard for p in u.pieces] for u in units] == [
        ["."],
        ["a.tar", "b.tar"],
        *[["c.tar"]] * 4,
        ["d.tar"],
        ["e.tar"],
        ["f.tar"],
    ]
    assert [u.seen for u in units] == [1, 6, 10, 10, 10, 10, 5, 12, 1]
    assert [u.number for u in units] == list(range(9))
    assert sum(u.bytes for u in units) == source.bytes
    extent = count_images(source)
    assert (extent.shards, extent.files, extent.bytes, extent.exact) == (7, 65, source.bytes, True)
    assert list(plan_units(open_source(str(tmp_path)), 10)) == units


parts = st.lists(
    st.sampled_from(
        [
            member(b"a.jpg"),
            member(b"a.json", b'{"x": 1}'),
            member(b"b.1.jpg", JPEG + b"1"),
            member(b"b.2.jpg", JPEG + b"2"),
            member(b"b.json", b'{"x": 2}'),
            member(b"c.json", b"[]"),
            member(b"d.txt", b"text"),
            pax({"path": "p.png"}) + member(b"x"),
            bytes(1024),
            b"\x01" * 512,
            member(b"folder/", b"", flag=b"5"),
        ]
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts, st.integers(1, 12), st.booleans())
@example([member(b"a.jpg"), bytes(1024), b"\x01" * 512, member(b"b.jpg"), member(b"a.jpg")], 1, True)
def test_pieces_give_what_the_whole_gives(tmp_path: Path, parts: list[bytes], size: int, end: bool) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"".join(parts) + END * end)
    whole = read_all(path, 10_000)
    pieces = read_all(path, size)
    assert pieces[:2] == whole[:2]
    assert (pieces[2].seen, pieces[2].skipped) == (whole[2].seen, whole[2].skipped)


def test_a_global_header_that_renames_keeps_a_tar_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(pax({"size": str(len(JPEG))}, flag=b"g") + b"".join(member(b"%d.jpg" % i) for i in range(9)) + END)
    assert len(list(plan_units(open_source(str(path)), 2))) == 1
    assert len(read_all(path, 2)[0]) == 9


def test_counts_are_estimated_where_counting_is_dear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_tarfile(tmp_path / "a.tgz", [(f"{i}.jpg", JPEG) for i in range(100)], "w:gz")
    (tmp_path / "b.tar").write_bytes(b"".join(member(b"%d.jpg" % i) for i in range(2000)) + END)
    source = open_source(str(tmp_path))
    assert not count_images(source).exact
    assert [u.seen for u in plan_units(source, 2000)] == [None, 2000]
    monkeypatch.setattr("vae_batch.sources.survey.WALK_BYTES", 1000)
    source = open_source(str(tmp_path))
    assert 2050 <= count_images(source).files <= 2150
    assert [u.seen for u in plan_units(source, 2000)] == [None, None]
    assert [u.seen for u in plan_units(source, 500)] == [None, 500, 500, 500, 500]
    assert len(read_all(tmp_path, 500)[0]) == 2100


def test_the_borders_kept_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_batch.sources.cuts._MAX_BORDERS", 16)
    path = tmp_path / "x.tar"
    path.write_bytes(pairs(200) + END)
    sizes = [u.seen for u in plan_units(open_source(str(path)), 50)]
    assert sum(size or 0 for size in sizes) == 200
    assert len(sizes) == 4
    assert len(read_all(path, 50)[0]) == 200


def test_a_unit_size_below_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    with pytest.raises(SpecError, match="unit_size is -1"):
        plan_units(open_source(str(tmp_path)), -1)
