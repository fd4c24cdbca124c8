"""Storage functions against a real S3 API, and against fsspec's file systems."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.s3 import S3
from vae_batch import storage
from vae_batch.errors import StorageError
from vae_batch.storage import transport


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSES", (0.01, 0.01))


@pytest.fixture(params=["here", "s3", "gcs", "local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place on each kind of storage."""
    if request.param in ("s3", "gcs"):
        return str(request.getfixturevalue(request.param).uri(f"faces/{tmp_path.name}"))
    scheme = {"here": "", "local": "local://", "memory": "memory://"}[request.param]
    return f"{scheme}{tmp_path}/out"


def test_files_are_written_listed_read_and_removed_alike(root: str) -> None:
    data, tmp = storage.join(root, "data"), storage.join(root, "tmp")
    assert storage.list_files(data) == {} and not storage.exists(data)
    storage.make_folder(data)
    for text in ("first", "second"):
        storage.write_json(storage.join(data, "a b.json"), text, tmp)
    finished = storage.scratch(tmp, "part")
    finished.write_bytes(b"x" * 100)
    storage.publish(finished, storage.join(data, "part"), tmp)
    assert not finished.exists()
    assert storage.list_files(data) == {"a b.json": 9, "part": 100}
    assert storage.read_bytes(storage.join(data, "a b.json")) == b'"second"\n'
    assert storage.file_sha256(storage.join(data, "part")) == storage.bytes_sha256(b"x" * 100)
    with storage.open_input(storage.join(data, "part")) as file:
        assert file.size() == 100 and file.read_at(3, 97) == b"xxx"
    storage.remove(storage.join(data, "part"))
    storage.remove(storage.join(data, "part"))
    assert storage.list_files(data).keys() == {"a b.json"}
    assert not storage.list_files(tmp)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(data, "part"))


def test_a_small_object_goes_up_in_one_request(s3: S3) -> None:
    storage.write_bytes(s3.uri("faces/small"), b"x", s3.uri("faces/tmp"))
    assert [method for method, _ in s3.requests] == ["PUT", "HEAD"]


@pytest.mark.parametrize("fault", ["500", "403", "reset"])
def test_an_upload_that_fails_half_way_leaves_nothing_at_the_name(
    fault: str, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vae_batch.storage import systems

    monkeypatch.setattr(systems, "S3_ATTEMPTS", 1)
    systems._system.cache_clear()
    final = s3.uri(f"faces/large-{fault}")
    s3.fail = lambda method, path, number: fault if "partNumber=2" in path else ""
    with pytest.raises(OSError):
        storage.write_bytes(final, bytes(25_000_000), s3.uri("faces/tmp"))
    assert any("partNumber=1" in path for _, path in s3.requests)
    s3.heal()
    assert not storage.exists(final)
    storage.write_bytes(final, bytes(25_000_000), s3.uri("faces/tmp"))
    assert storage.list_files(s3.uri("faces"))[f"large-{fault}"] == 25_000_000
    systems._system.cache_clear()


def test_an_upload_whose_process_is_killed_leaves_nothing_at_the_name(s3: S3) -> None:
    final = s3.uri("faces/upload-killed")
    code = f"from vae_batch import storage; storage.write_bytes({final!r}, bytes(25_000_000), {final!r})"
    writer: list[subprocess.Popen[bytes]] = []

    def kill(method: str, path: str, number: int) -> str:
        if "partNumber=2" in path:
            os.kill(writer[0].pid, signal.SIGKILL)
        return ""

    s3.fail = kill
    writer.append(subprocess.Popen([sys.executable, "-c", code]))
    assert writer[0].wait(60) == -signal.SIGKILL
    s3.heal()
    assert not storage.exists(final)


def test_errors_that_last_are_told_from_those_that_pass(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_batch.storage import systems

    monkeypatch.setattr(systems, "S3_ATTEMPTS", 1)
    systems._system.cache_clear()
    storage.write_bytes(s3.uri("faces/there"), b"x", "")
    with pytest.raises(FileNotFoundError) as gone:
        storage.read_bytes(s3.uri("faces/gone"))
    with pytest.raises(FileNotFoundError) as bucket:
        storage.write_bytes(s3.uri("nowhere/x"), b"x", "")
    s3.fail = lambda method, path, number: "403"
    s3.requests.clear()
    with pytest.raises(PermissionError, match="AWS_ACCESS_KEY_ID") as refused:
        storage.read_bytes(s3.uri("faces/there"))
    assert len(s3.requests) == 1
    assert all(storage.is_lasting(e.value) for e in (gone, bucket, refused))
    for fault in ("500", "503", "reset"):
        s3.fail = lambda method, path, number, fault=fault: fault  # type: ignore[misc]
        s3.requests.clear()
        with pytest.raises(OSError) as passing:
            storage.read_bytes(s3.uri("faces/there"))
        assert not storage.is_lasting(passing.value) and len(s3.requests) >= 3
    systems._system.cache_clear()


def test_the_words_of_an_error_do_not_change_from_one_request_to_the_next(s3: S3) -> None:
    said = set()
    for _ in range(2):
        with pytest.raises(OSError) as error:
            storage.write_bytes(s3.uri("nowhere/x"), b"x", "")
        said.add(str(error.value))
    assert len(said) == 1 and "NO_SUCH_BUCKET" in said.pop()


def test_errors_of_google_cloud_storage(gcs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_batch.storage import systems

    monkeypatch.setattr(systems, "GCS_SECONDS", 0.5)
    systems._system.cache_clear()
    storage.write_bytes(gcs.uri("faces/there"), b"x", "")
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(gcs.uri("faces/gone"))
    with pytest.raises(FileNotFoundError):
        storage.write_bytes(gcs.uri("nowhere/x"), b"x", "")
    for status in (401, 403):
        gcs.fail_every(1, status)
        with pytest.raises(PermissionError, match="GOOGLE_APPLICATION_CREDENTIALS") as refused:
            storage.read_bytes(gcs.uri("faces/there"))
        assert gcs.failed == 1 and "error_info" not in str(refused.value)
    gcs.fail_every(1, 503)
    with pytest.raises(OSError) as passing:
        storage.read_bytes(gcs.uri("faces/there"))
    assert not storage.is_lasting(passing.value) and gcs.failed >= 3
    systems._system.cache_clear()


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA:topsecret@bucket/x",
        "s3://AKIA:top/topsecret@bucket/x",
        "s3://bucket/x?region=a&secret_key=topsecret",
        "abfs://:topsecret@account.dfs.core.windows.net/x",
        "https://host/x.tar?X-Amz-Signature=topsecret",
    ],
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    for use in (storage.local, storage.absolute):
        with pytest.raises(StorageError) as error:
            use(uri)
        assert "topsecret" not in str(error.value) and "environment" in str(error.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://bucket/x?regoin=a", "unknown regoin in its query"),
        ("s3:///x", "no bucket"),
        ("gs:///x", "no bucket"),
        ("gs://bucket/x?region=a", "unknown region in its query, which may say project_id"),
        ("nosuch://x/y", "nosuch"),
        ("github://x/y", "'org' and 'repo'"),
    ],
)
def test_a_uri_that_is_not_understood_is_an_error_that_says_why(uri: str, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        storage.filesystem(uri)


def test_hdfs_without_hadoop_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JAVA_HOME", "HADOOP_HOME", "ARROW_LIBHDFS_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    for uri in ("hdfs://namenode:8020/x", "hdfs://namenode:8020/y"):
        with pytest.raises(StorageError, match=r"set JAVA_HOME, HADOOP_HOME and CLASSPATH .* or use webhdfs://"):
            storage.filesystem(uri)


def test_the_memory_of_a_process_is_no_place_for_a_job() -> None:
    with pytest.raises(StorageError, match="memory://x/y is in the memory of one process, where replicas see nothing"):
        storage.absolute("memory://x/y")


def test_a_file_uri_is_a_path() -> None:
    assert storage.absolute("file:///data/a%20b/") == "/data/a b"
    assert storage.absolute("s3://bucket/a/?region=x") == "s3://bucket/a?region=x"
    assert storage.name_of("s3://bucket/a/b.tar?region=x") == "b.tar"
