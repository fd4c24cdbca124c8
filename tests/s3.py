"""A real S3 API on loopback (moto's), that can be told to fail."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from moto.moto_api._internal import mock_random  # noqa: F401  (loaded before requests come from many threads)
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

FAULTS = ("500", "503", "reset")
_ANSWERS = {
    "500": b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>Try again</Message></Error>",
    "503": b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>",
    "403": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
}


class S3:
    """The server: where it is, what it was asked, and how it is to fail."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.failed = 0
        self.fail = lambda method, path, number: ""
        """Says for each request how it fails: 500, 503, 403, reset, or "" for not at all."""
        self._server: Any = None

    def uri(self, path: str, **more: str) -> str:
        """The URI of a path, whose first name is the bucket."""
        query = {"endpoint_override": f"127.0.0.1:{self._server.server_port}", "scheme": "http", **more}
        return f"s3://{path}?" + "&".join(f"{k}={v}" for k, v in query.items())

    def put(self, path: str, data: bytes) -> None:
        """Write an object, as another client would."""
        self._send("PUT", path, data)

    def delete(self, path: str) -> None:
        """Remove an object, as another client would."""
        self._send("DELETE", path)

    def _send(self, method: str, path: str, data: bytes | None = None) -> None:
        url = f"http://127.0.0.1:{self._server.server_port}/{quote(path)}"
        headers = {
            "Content-Type": "application/octet-stream",  # else it is taken for a form
            "Authorization": "AWS4-HMAC-SHA256 Credential=true/20260101/us-east-1/s3/aws4_request",
        }
        urlopen(Request(url, data, headers, method=method), timeout=10).close()

    def put_tree(self, folder: Path, path: str) -> None:
        """Write all files of a folder."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{path}/{file.relative_to(folder)}", file.read_bytes())

    def fail_every(self, nth: int) -> None:
        """Let every n-th request fail, with one fault after the other."""
        turns = count()
        self.fail = lambda method, path, number: "" if number % nth else FAULTS[next(turns) % len(FAULTS)]

    def heal(self) -> None:
        """Fail no more, and forget what was asked."""
        self.fail, self.failed = (lambda method, path, number: ""), 0
        self.requests.clear()


@contextmanager
def serve() -> Iterator[S3]:
    """Run a server with the bucket `faces` and credentials for it in the environment."""
    s3, lock = S3(), threading.Lock()

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def run_wsgi(self) -> None:
            with lock:
                s3.requests.append((self.command, self.path))
                fault = s3.fail(self.command, self.path, len(s3.requests))
                s3.failed += bool(fault)
            if not fault:
                super().run_wsgi()
                return
            self.close_connection = True
            self.rfile.read(int(self.headers.get("content-length") or 0))
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            body = b"" if self.command == "HEAD" else _ANSWERS[fault]
            self.send_response(int(fault))
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, *_: object) -> None:
            pass

    before = {k: os.environ.get(k) for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED")}
    os.environ.update(dict.fromkeys(before, "true"))
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    s3._server = server
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        s3.put("faces", b"")
        yield s3
    finally:
        server.shutdown()
        thread.join()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
