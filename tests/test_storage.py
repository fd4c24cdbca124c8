from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vae_batch import storage
from vae_batch.storage.publishing import STALE_SECONDS


def test_a_published_file_is_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "x.json", {"a": 1}, tmp_path / "tmp")
    storage.write_json(tmp_path / "x.json", {"a": 2}, tmp_path / "tmp")
    assert (tmp_path / "x.json").read_text() == '{\n "a": 2\n}\n'
    assert list((tmp_path / "tmp").iterdir()) == []


def test_only_files_of_dead_owners_are_swept(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    names = {
        "mine": storage.scratch(tmp_path, "part-1").name,
        "dead": f"part-2~{socket.gethostname()}~{child.pid}~abcd.tmp",
        "elsewhere": f"part-3~another.host~{child.pid}~abcd.tmp",
        "long ago": f"part-3~another.host~{child.pid}~abce.tmp",
        "mine, long ago": storage.scratch(tmp_path, "part-5").name,
        "init": f"part-4~{socket.gethostname()}~1~abcd.tmp",
        "stranger": "notes.tmp",
    }
    for name in names.values():
        (tmp_path / name).touch()
    then = time.time() - STALE_SECONDS - 60
    for who in ("long ago", "mine, long ago", "stranger"):
        os.utime(tmp_path / names[who], (then, then))
    storage.sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(names.values()) - {names["dead"], names["long ago"]}


def test_a_folder_of_a_process_goes_with_it_or_when_the_next_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = "import os, sys; from vae_batch import storage; print(storage.own_folder('x')); sys.stdout.flush(); "
    for end, left in (("os._exit(0)", 1), ("pass", 0)):
        run = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, check=True)
        folder = Path(run.stdout.strip())
        assert folder.parent.parent == tmp_path
        assert len(list(folder.parent.iterdir())) == left == folder.exists()


def test_scratch_names_are_unique(tmp_path: Path) -> None:
    names = {storage.scratch(tmp_path, "part").name for _ in range(100)}
    assert len(names) == 100 and all(str(os.getpid()) in n for n in names)
