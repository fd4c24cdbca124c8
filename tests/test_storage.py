from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from vae_batch import storage


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
        "init": f"part-4~{socket.gethostname()}~1~abcd.tmp",
        "stranger": "notes.tmp",
    }
    for name in names.values():
        (tmp_path / name).touch()
    storage.sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(names.values()) - {names["dead"]}


def test_scratch_names_are_unique(tmp_path: Path) -> None:
    names = {storage.scratch(tmp_path, "part").name for _ in range(100)}
    assert len(names) == 100 and all(str(os.getpid()) in n for n in names)
