"""A Google Cloud Storage API on loopback (gcp-storage-emulator's), that can be told to fail.

A process of its own: pyarrow asks for a file's size without letting other threads of its process run.
"""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler, Router
from gcp_storage_emulator.storage import Storage

from vae_batch import storage


class GCS:
    """The server, as tests see it."""

    def __init__(self, port: int) -> None:
        self._port = port

    def uri(self, path: str) -> str:
        """The URI of a path, whose first name is the bucket."""
        return f"gs://{path}?anonymous=true&scheme=http&endpoint_override=127.0.0.1:{self._port}"

    def put_tree(self, folder: Path, path: str) -> None:
        """Write all files of a folder."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                storage.write_bytes(self.uri(f"{path}/{file.relative_to(folder)}"), file.read_bytes(), "")

    def fail_every(self, nth: int, status: int = 503) -> None:
        """Let every n-th request fail with a status."""
        self._tell(f"fail/{status}/{nth}")

    def heal(self) -> None:
        """Fail no more."""
        self._tell("fail/0/1")

    @property
    def failed(self) -> int:
        """Requests that failed since it was last said which are to."""
        return int(self._tell("failed"))

    def _tell(self, words: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self._port}/tell/{words}", timeout=10) as answer:
            said: bytes = answer.read()
            return said


@contextmanager
def serve() -> Iterator[GCS]:
    """Run a server with the bucket `faces`."""
    with subprocess.Popen([sys.executable, "-m", "tests.gcs"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield GCS(int(process.stdout.readline()))
        finally:
            process.kill()


class _Faults:
    """Which requests fail."""

    def __init__(self) -> None:
        self.status, self.nth, self.count, self.failed = 0, 1, 0, 0

    def next(self) -> int:
        """The status with which this request fails; 0 if it does not."""
        self.count += 1
        fails = bool(self.status) and self.count % self.nth == 0
        self.failed += fails
        return self.status if fails else 0

    def tell(self, words: list[str]) -> bytes:
        if words[0] == "failed":
            return b"%d" % self.failed
        self.status, self.nth, self.count, self.failed = int(words[1]), int(words[2]), 0, 0
        return b""


class _Handler(RequestHandler):
    """Answers several at a time, as the emulator's own server does not: Arrow reads a file by two connections."""

    def __init__(self, data: Storage, faults: _Faults, lock: threading.Lock, *args: Any) -> None:
        self._faults, self._lock = faults, lock
        super().__init__(data, *args)

    def _answer(self) -> None:
        wire, self.wfile = self.wfile, io.BytesIO()
        with self._lock:
            if self.path.startswith("/tell/"):
                self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + self._faults.tell(self.path.split("/")[2:]))
            elif status := self._faults.next():
                self.send_error(status)
            else:
                Router(self).handle(self.command)
        answer, self.wfile = self.wfile.getvalue(), wire
        wire.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815


def main() -> None:
    """Serve until killed; the port is printed."""
    data = Storage(use_memory_fs=True)
    create_bucket("faces", data)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, data, _Faults(), threading.Lock()))
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
