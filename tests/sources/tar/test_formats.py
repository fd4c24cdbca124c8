"""What our tar reader makes of valid archives, beside what the standard library makes of them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.making import JPEG, PNG, ids, read_all
from tests.sources.tar.making import END, header, member, pairs, pax, with_tarfile

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz"])
def test_the_formats_of_the_standard_library(tmp_path: Path, form: str, ending: str) -> None:
    folder = "d" * 60 + "/" + "e" * 60
    files = [("a.jpg", JPEG), (f"{folder}/b.png", PNG), ("naïve é.jpg", JPEG + b"3"), ("empty.jpg", b"")]
    if form != "ustar":
        files.append((f"{folder}/{'n' * 120}.jpg", JPEG + b"4"))
    path = tmp_path / f"x{ending}"
    with_tarfile(path, files, "w" if ending == ".tar" else "w:gz", format=FORMATS[form])
    records, rejects, tally = read_all(path)
    assert [(r.id, r.data) for r in records] == [(f"x{ending}/{name}", data) for name, data in files]
    assert [r.row for r in records] == list(range(len(files)))
    assert rejects == []
    assert (tally.seen, tally.bytes) == (len(files), sum(len(data) for _, data in files))


names = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=120)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(names.map(lambda n: n + ".jpg"), st.binary(max_size=1500), max_size=8),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_any_names_and_data(tmp_path: Path, files: dict[str, bytes], form: int) -> None:
    path = tmp_path / "x.tar"
    with_tarfile(path, list(files.items()), format=form)
    with tarfile.open(path) as tar:
        expected = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    expected = {name: data for name, data in expected.items() if not name.startswith("._") and name != ".jpg"}
    records, rejects, _ = read_all(path)
    assert {r.id.removeprefix("x.tar/"): r.data for r in records} == expected
    assert rejects == []


def test_v7_signed_sums_base_256_and_prefix(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(
        member(b"old.jpg", magic=bytes(8), flag=b"\0")
        + member("säum.jpg".encode("latin-1"), signed=True)
        + member(b"big.jpg", size_field=b"\x80" + len(JPEG).to_bytes(11, "big"))
        + member(b"c.jpg", prefix=b"far/away")
        + member(b"g.jpg", magic=b"ustar  \0", prefix=b"12345670123")
        + member(b"blanks.jpg", size_field=b" %10o " % len(JPEG))
        + header(b"folder/", magic=bytes(8), flag=b"\0")
        + END
    )
    records, rejects, tally = read_all(path)
    assert ids(records) == [
        "x.tar/old.jpg",
        "x.tar/s%E4um.jpg",
        "x.tar/big.jpg",
        "x.tar/far/away/c.jpg",
        "x.tar/g.jpg",
        "x.tar/blanks.jpg",
    ]
    assert all(r.data == JPEG for r in records)
    assert rejects == []
    assert tally.seen == 6


def test_extended_headers(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(
        pax({"comment": "from git"}, flag=b"g")
        + pax({"path": "päx.jpg", "mtime": "1.5"})
        + member(b"short.jpg")
        + pax({"size": str(len(JPEG))})
        + header(b"s.jpg", 0)
        + JPEG
        + bytes(-len(JPEG) % 512)
        + member(b"././@LongLink", b"long/" * 40 + b"n.jpg\0", flag=b"L")
        + member(b"cut-off.jpg")
        + pax({"path": b"raw\xff%.jpg"})
        + member(b"y.jpg")
        + member(b"./dot.jpg")
        + END
    )
    records, rejects, _ = read_all(path)
    expected = ["päx.jpg", "s.jpg", "long/" * 40 + "n.jpg", "raw%FF%25.jpg", "dot.jpg"]
    assert ids(records) == [f"x.tar/{name}" for name in expected]
    assert rejects == []


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(
        header(b"folder/", flag=b"5")
        + header(b"link.jpg", flag=b"2")
        + header(b"hard.png", 999, flag=b"1")
        + header(b"link.txt", flag=b"2")
        + header(b"pipe", flag=b"6")
        + member(b"holes.jpg", flag=b"S")
        + pax({"GNU.sparse.major": "1", "GNU.sparse.name": "p.jpg"})
        + member(b"GNUSparseFile.0/p.jpg")
        + member(b"a.jpg")
        + END
    )
    records, rejects, tally = read_all(path)
    assert ids(records) == ["x.tar/a.jpg"]
    assert [(r.id, r.error) for r in rejects] == [
        ("x.tar/link.jpg", "LinkMember"),
        ("x.tar/hard.png", "LinkMember"),
        ("x.tar/holes.jpg", "SparseMember"),
        ("x.tar/p.jpg", "SparseMember"),
    ]
    assert (tally.seen, tally.skipped) == (7, 2)


def test_images_are_known_by_name_or_by_their_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(
        member(b"subject01.happy", PNG)
        + member(b"page.jpg", b"<html>")
        + member(b"notes.txt", b"no image")
        + member(b"._a.jpg", b"\0\5\x16\7 metadata of macOS")
        + member(b"odd.json", PNG)
        + END
    )
    records, rejects, tally = read_all(path)
    assert ids(records) == ["x.tar/subject01.happy", "x.tar/page.jpg", "x.tar/odd.json"]
    assert (rejects, tally.seen, tally.skipped) == ([], 5, 2)


def test_a_repeated_name_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(member(b"a.jpg") + member(b"b.jpg") + member(b"./a.jpg", PNG) + member(b"a.jpg") + END)
    for unit_size in (None, 1):
        records, rejects, _ = read_all(path, unit_size)
        assert ids(records) == ["x.tar/a.jpg", "x.tar/b.jpg"]
        assert [(r.id, r.row, r.error) for r in rejects] == [
            ("x.tar/a.jpg", 2, "DuplicateId"),
            ("x.tar/a.jpg", 3, "DuplicateId"),
        ]


def test_an_absurd_member_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_batch.sources.tar.read.MAX_FILE_BYTES", 1000)
    path = tmp_path / "x.tar"
    path.write_bytes(member(b"a.jpg", bytes(1001)) + member(b"no-name", PNG + bytes(1000)) + member(b"b.jpg") + END)
    records, rejects, tally = read_all(path)
    assert ids(records) == ["x.tar/b.jpg"]
    assert [(r.id, r.error) for r in rejects] == [("x.tar/a.jpg", "TooLarge"), ("x.tar/no-name", "TooLarge")]
    assert tally.bytes == len(JPEG)


def test_an_empty_archive_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(bytes(10240))
    assert read_all(path)[2].seen == 0


def test_a_plain_tar_named_as_compressed_and_the_reverse(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(pairs(2) + END)
    with_tarfile(tmp_path / "b.tar", [("a.jpg", JPEG)], "w:gz")
    records, rejects, _ = read_all(tmp_path)
    assert ids(records) == ["a.tar.gz/000000.jpg", "a.tar.gz/000001.jpg", "b.tar/a.jpg"]
    assert rejects == []
