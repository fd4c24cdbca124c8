"""What quarantine finds in a unit, with real processes; see tests/plug/sitecustomize.py."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import PLUG, image_bytes, spec
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import open_plan
from vae_batch.latents.quarantine import read_poison
from vae_batch.types import Unit
from vae_batch.work import quarantine
from vae_batch.work.job import EncodeJob, open_job, prepare
from vae_batch.work.quarantine import examine


@pytest.fixture(autouse=True)
def plug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(PLUG), *sys.path])


def unit_of(folder: Path, model: Path, words: dict[int, str], images: int = 20) -> tuple[EncodeJob, Unit]:
    (folder / "source").mkdir()
    for i in range(images):
        data = image_bytes(i) + (f"poison:{words[i]}".encode() if i in words else b"")
        (folder / "source" / f"{i:02}.jpg").write_bytes(data)
    prepared = prepare(spec(folder / "source", model, folder / "out", unit_size=images))
    file, job = open_job(prepared)
    return job, open_plan(prepared.layout, file.plan)[0]


def test_whatever_kills_or_hangs_is_found(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "GREEDY_BYTES", 32 << 20)
    words = {0: "abort", 1: "segfault", 4: "exit", 7: "kill:64", 9: "memory", 12: "hang", 13: "grip", 19: "abort"}
    job, unit = unit_of(tmp_path, model, words)
    found = examine(job, unit, hang_seconds=0.5)
    assert {p.row: p.happened for p in found} == {
        **{0: "SIGABRT", 1: "SIGSEGV", 4: "exit code 7", 7: "SIGKILL", 9: "out of memory"},
        **{12: "hang", 13: "hang", 19: "SIGABRT"},
    }
    assert {p.row for p in found if p.error == "Timeout"} == {12, 13}
    assert read_poison(Layout.of(tmp_path / "out"), 0) == found
    assert examine(job, unit, hang_seconds=0.5) == []


def test_an_image_that_spoils_the_process_for_another_is_found_by_bisection(tmp_path: Path, model: Path) -> None:
    job, unit = unit_of(tmp_path, model, {6: "spoil:x", 13: "victim", 16: "victim"})
    assert [(p.id, p.happened) for p in examine(job, unit, hang_seconds=60)] == [("06.jpg", "SIGABRT")]


def test_a_damaged_image_is_no_poison(tmp_path: Path, model: Path) -> None:
    job, unit = unit_of(tmp_path, model, {})
    (tmp_path / "source" / "03.jpg").write_bytes(b"rubbish")
    assert examine(job, unit, hang_seconds=60) == []
    assert not Path(Layout.of(tmp_path / "out").quarantine).exists()


def test_kills_from_outside_find_nothing(tmp_path: Path, model: Path) -> None:
    """Three processes in a row are killed while they decode."""
    job, unit = unit_of(tmp_path, model, dict.fromkeys(range(20), "slow:0.2"))
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.05) and len(killed) < 3:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    parent = process.parent()
                    if parent and "vae_batch.work.cell" in parent.cmdline() and process.pid not in killed:
                        process.kill()
                        killed.append(process.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        assert examine(job, unit, hang_seconds=60) == []
    finally:
        ended.set()
        thread.join()
    assert len(killed) == 3


def test_a_process_killed_for_lack_of_memory_that_others_use_finds_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process is killed with the same image in hand, and has taken next to nothing."""
    monkeypatch.setattr(quarantine, "REST_SECONDS", 0.0)
    job, unit = unit_of(tmp_path, model, {7: "kill"})
    with pytest.raises(RuntimeError, match=r"5 processes in a row ended, and not because of an image; .* of memory"):
        examine(job, unit, hang_seconds=60)
    assert read_poison(Layout.of(tmp_path / "out"), 0) == []


def test_a_source_that_cannot_be_read_is_said(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, unit = unit_of(tmp_path, model, {})
    changed = Unit(0, unit.pieces, unit.seen + 1 if unit.seen else 1, 0)
    with pytest.raises(
        RuntimeError, match=r"behind 19.jpg with SourceError: unit 0 .*: 20 files where the plan counted"
    ):
        examine(job, changed, hang_seconds=60)


def test_nothing_is_left_running_when_the_one_who_asked_is_killed(tmp_path: Path, model: Path) -> None:
    unit_of(tmp_path, model, {5: "hang"})
    code = f"""
from tests.conftest import spec
from vae_batch.latents.plan import open_plan
from vae_batch.work.job import open_job, prepare
from vae_batch.work.quarantine import examine
from pathlib import Path
folder, model = Path({str(tmp_path)!r}), Path({str(model)!r})
prepared = prepare(spec(folder / "source", model, folder / "out", unit_size=20))
file, job = open_job(prepared)
examine(job, open_plan(prepared.layout, file.plan)[0], 2.0)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    asker = subprocess.Popen([sys.executable, "-c", code], env=env)
    family: list[psutil.Process] = []
    end = time.monotonic() + 60
    while len(family) < 2 and time.monotonic() < end:
        family = psutil.Process(asker.pid).children(recursive=True)
        time.sleep(0.05)
    asker.kill()
    asker.wait()
    _, left = psutil.wait_procs(family, timeout=30)
    assert len(family) == 2 and not left
