"""A source under a URI is read as the same tree is read here."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from tests.conftest import image_bytes
from tests.s3 import S3
from vae_batch.errors import SourceError, StorageError
from vae_batch.sources import SourceOptions, open_source, plan_units, read_unit, sample_labels
from vae_batch.storage import transport
from vae_batch.types import ImageRecord, Reject, Tally

NAMES = [
    "a.jpg", "b/1.jpg", "b/2 with spaces.jpg", "b.jpg", "100%.jpg", "100%25.jpg", "what?x=1.jpg", "sharp#1.jpg",
    "größe/ß.jpg", "z/deep/er/x.png", "plus+and&.jpg", "b/1.json", "notes.txt", "picture", "page.jpg",
]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSES", (0.01, 0.01))


@pytest.fixture(scope="module")
def tree(s3_server: S3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind, here and as s3://faces/tree."""
    folder = tmp_path_factory.mktemp("sources") / "tree"
    for i, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image_bytes(i))
    (folder / "b/1.json").write_text('{"age": 3}')
    (folder / "notes.txt").write_text("notes")
    (folder / "page.jpg").write_text("<html>")
    for name in ("t/one.tar", "t/two.tar", "u/three.tar"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(tar(name[2:-4], 5))
    s3_server.put_tree(folder, "faces/tree")
    s3_server.put("faces/tree/marker/", b"")  # as consoles make "folders"
    return folder


def tar(prefix: str, images: int) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for i in range(images):
            for name, data in ((f"{prefix}{i}.jpg", image_bytes(i)), (f"{prefix}{i}.json", b'{"n": %d}' % i)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def read_all(location: str) -> list[tuple[object, ...]]:
    source = open_source(location, SourceOptions())
    found: list[tuple[object, ...]] = []
    for unit in plan_units(source, 4):
        tally = Tally()
        for item in read_unit(source.root, unit, tally):
            if isinstance(item, ImageRecord):
                found.append((item.id, item.shard, item.row, item.data, json.dumps(item.labels)))
            else:
                found.append((item.id, item.shard, item.row, item.error))
        found.append(("counts", tally.seen, tally.skipped, tally.bytes))
    return found


def loose(found: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [item for item in found if item[0] != "counts"]


def test_a_folder_is_read_alike_in_the_same_order(s3: S3, tree: Path) -> None:
    here, there = open_source(str(tree)), open_source(s3.uri("faces/tree"))
    assert list(there.files.entries()) == list(here.files.entries())
    assert [(s.path, s.bytes) for s in there.shards] == [(s.path, s.bytes) for s in here.shards]
    assert there.digest() == here.digest()
    assert list(sample_labels(there)) == list(sample_labels(here))
    assert loose(read_all(s3.uri("faces/tree"))) == loose(read_all(str(tree)))
    assert loose(read_all(f"local://{tree}")) == loose(read_all(str(tree)))


@pytest.mark.parametrize("name", ["t/one.tar", "t/*.tar", "**/*.tar", "[tu]/t*.tar", "t", "t/", "z"])
def test_shards_patterns_and_folders_are_found_alike(name: str, s3: S3, tree: Path) -> None:
    assert loose(read_all(s3.uri(f"faces/tree/{name}"))) == loose(read_all(f"{tree}/{name}"))
    assert loose(read_all(f"file://{tree}/{name}")) == loose(read_all(f"{tree}/{name}"))


@pytest.fixture(scope="module")
def forms(s3_server: S3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard of every format, and a listing, here and under s3://faces/forms."""
    folder = tmp_path_factory.mktemp("sources") / "forms"
    (folder / "images").mkdir(parents=True)
    images = {f"{i} ß?%.jpg": image_bytes(i) for i in range(9)}
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for name, data in images.items():
            archive.writestr(name, data)
            (folder / "images" / name).write_bytes(data)
    (folder / "x.tgz").write_bytes(gzip.compress(tar("g", 9)))
    table = pa.table({"id": list(images), "image": list(images.values()), "age": range(9)})
    pq.write_table(table, folder / "x.parquet", row_group_size=4)
    feather.write_feather(table, folder / "x.arrow")
    rows = [f"images/{name},{i}" for i, name in enumerate(images)]
    (folder / "list.csv").write_text("\n".join(["path,age", *rows, "images/gone.jpg,9", "../forms/images/0 ß?%.jpg,0"]))
    s3_server.put_tree(folder, "faces/forms")
    return folder


@pytest.mark.parametrize("name", ["x.zip", "x.tgz", "x.parquet", "x.arrow", "list.csv"])
def test_every_format_is_read_alike_though_every_seventh_request_fails(name: str, s3: S3, forms: Path) -> None:
    s3.fail_every(7)
    found = loose(read_all(s3.uri(f"faces/forms/{name}")))
    assert len(found) >= 9 and found == loose(read_all(f"{forms}/{name}"))


def test_a_listing_here_of_images_there(s3: S3, forms: Path, tmp_path: Path) -> None:
    names = [f"{i} ß%.jpg" for i in range(4)]
    for i, name in enumerate(names):
        s3.put(f"faces/named/{name}", image_bytes(i))
    (tmp_path / "list.csv").write_text("path\n" + "\n".join(s3.uri(f"faces/named/{name}") for name in names))
    found = loose(read_all(str(tmp_path / "list.csv")))
    assert [item[3] for item in found] == [image_bytes(i) for i in range(4)]


def test_an_object_may_have_the_name_of_a_folder(s3: S3) -> None:
    s3.put("faces/both", b"notes")
    s3.put("faces/both/x.jpg", image_bytes())
    assert [item[0] for item in loose(read_all(s3.uri("faces/both")))] == ["x.jpg"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("faces/nothing", "no such file or folder"),
        ("faces/lone.txt", "no shard; a source is"),
        ("faces/empty", "no files in this folder"),
        ("nowhere/x", "NO_SUCH_BUCKET|no such"),
        ("faces/no*.tar", "the pattern matches nothing"),
        ("nowhere/*.tar", "NO_SUCH_BUCKET"),
    ],
)
def test_what_is_not_there_is_named(path: str, said: str, s3: S3) -> None:
    s3.put("faces/lone.txt", b"x")
    s3.put("faces/empty/", b"")
    with pytest.raises(SourceError, match=said) as error:
        open_source(s3.uri(path))
    assert s3.uri(path) in str(error.value)


def test_refused_credentials_say_what_to_do(s3: S3) -> None:
    s3.fail = lambda method, path, number: "403"
    with pytest.raises(SourceError, match="AWS_ACCESS_KEY_ID"):
        open_source(s3.uri("faces/tree"))


def test_secrets_are_refused() -> None:
    with pytest.raises(StorageError, match="environment") as error:
        open_source("s3://key:topsecret@faces/tree")
    assert "topsecret" not in str(error.value)


def test_an_object_that_is_gone_or_forbidden_is_a_reject(s3: S3) -> None:
    for name in "abc":
        s3.put(f"faces/going/{name}.jpg", image_bytes())
    source = open_source(s3.uri("faces/going"))
    (unit,) = plan_units(source, 4)
    s3.delete("faces/going/b.jpg")
    s3.fail = lambda method, path, number: "403" if path.endswith("c.jpg") else ""
    tally = Tally()
    found = list(read_unit(source.root, unit, tally))
    assert [type(item) for item in found] == [ImageRecord, Reject, Reject]
    assert [getattr(item, "error", None) for item in found] == [None, "FileNotFoundError", "PermissionError"]
    assert tally.seen == 3


def test_a_storage_that_fails_for_good_is_no_reject(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_batch.storage import systems

    monkeypatch.setattr(systems, "S3_ATTEMPTS", 1)
    systems._system.cache_clear()
    s3.put("faces/failing/a.jpg", image_bytes())
    source = open_source(s3.uri("faces/failing"))
    (unit,) = plan_units(source, 4)
    s3.fail = lambda method, path, number: "503"
    with pytest.raises(OSError):
        list(read_unit(source.root, unit, Tally()))
    systems._system.cache_clear()


def test_every_fifth_request_fails_and_nothing_is_missing(s3: S3, tree: Path) -> None:
    expected = loose(read_all(str(tree)))
    s3.fail_every(5)
    assert loose(read_all(s3.uri("faces/tree"))) == expected
    assert s3.failed > 5
