"""For tests: a Hugging Face hub on this machine, as far as huggingface_hub asks it for a model's files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Hub:
    """Serves the folders `root/<commit>` as the commits of one model; `main` is the one that its branch is at."""

    def __init__(self, root: Path, name: str, main: str) -> None:
        self.root, self.name, self.main = root, name, main
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def python(self, code: str, cache: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run code in a process of its own that has this hub."""
        url = f"http://127.0.0.1:{self.server.server_port}"
        hub = {"HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | hub | more,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def answer(self, path: str) -> tuple[int, bytes, str]:
        """Give status, body and commit."""
        parts = path.partition("?")[0].strip("/").split("/")
        if parts[:1] == ["api"] and "/".join(parts[2:4]) == self.name:
            commit = self.main if parts[5] == "main" else parts[5]
            files = self._files(commit)
            if parts[4] == "tree":
                listing = [{"type": "file", "oid": _oid(b), "size": len(b), "path": p} for p, b in files.items()]
                return 200, json.dumps(listing).encode(), commit
            siblings = [{"rfilename": path} for path in files]
            return 200, json.dumps({"id": self.name, "sha": commit, "siblings": siblings}).encode(), commit
        if "/".join(parts[:2]) == self.name and parts[2] == "resolve":
            data = self._files(parts[3]).get("/".join(parts[4:]))
            return (404, b"", parts[3]) if data is None else (200, data, parts[3])
        return 404, b"{}", ""

    def _files(self, commit: str) -> dict[str, bytes]:
        folder = self.root / commit
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                status, body, commit = hub.answer(self.path)
                self.send_response(status)
                headers = {"Content-Length": str(len(body)), "ETag": f'"{_oid(body)}"', "X-Repo-Commit": commit}
                headers["Content-Type"] = "application/json"
                for name, value in headers.items() if status == 200 else [("X-Error-Code", "RepoNotFound")]:
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    threading.Thread(target=hub.server.serve_forever, daemon=True).start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
