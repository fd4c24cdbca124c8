"""Images that kill or hang the process that decodes them, on real replicas; see tests/plug/sitecustomize.py."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import psutil
import pytest

import vae_batch
from tests.conftest import image_bytes, snapshot, spec
from vae_batch.cluster import pool
from vae_batch.cluster.report import Progress
from vae_batch.cluster.verify import verify_by_recomputing
from vae_batch.latents.layout import Layout
from vae_batch.latents.part import read_rejects
from vae_batch.work.job import open_job, prepare

IMAGES, UNIT = 60, 20
POISON = {3: ("abort", "SIGABRT"), 11: ("segfault", "SIGSEGV"), 59: ("exit", "exit code 7")}
"""Two in one unit, and one in the last batch of another."""

OPTIONS = {"unit_size": UNIT, "max_reject_rate": 0.2}


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, state: Progress) -> None:
        pass

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)


def write_images(folder: Path, words: dict[int, str]) -> None:
    folder.mkdir()
    for i in range(IMAGES):
        word = words.get(i, "slow:0.02")
        (folder / f"{i:02}.jpg").write_bytes(image_bytes(i) + f"poison:{word}".encode())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("poison") / "source"
    write_images(folder, {i: word for i, (word, _) in POISON.items()})
    return folder


@pytest.fixture(scope="module")
def found(ray_session: None, source: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lines]:
    """A job that had to find its poison, and what it said; not to be changed."""
    out, report = tmp_path_factory.mktemp("found") / "out", Lines()
    vae_batch.encode(spec(source, model, out, **OPTIONS), report)
    return out, report


def ids(out: Path) -> set[str]:
    return {row[0] for row in duckdb.sql(f"select id from '{out}/data/*.parquet'").fetchall()}


def test_images_that_kill_their_process_are_rejects_and_all_others_are_rows(found: tuple[Path, Lines]) -> None:
    out, report = found
    assert ids(out) == {f"{i:02}.jpg" for i in set(range(IMAGES)) - set(POISON)}
    rejects = [row for file in (out / ".vae_batch/rejects").iterdir() for row in read_rejects(file).to_pylist()]
    assert sorted(r["id"] for r in rejects) == [f"{i:02}.jpg" for i in POISON]
    assert {(r["stage"], r["error"], r["message"]) for r in rejects} == {
        ("decode", "ProcessCrash", "decoding it kills the process")
    }
    assert all(len(r["sha256"]) == 64 for r in rejects)
    kept = [i for n in (0, 2) for i in json.loads((out / f".vae_batch/quarantine/{n:06d}.json").read_text())]
    assert [(i["row"], i["happened"]) for i in kept] == [(row, what) for row, (_, what) in POISON.items()]
    assert report.count("goes into quarantine") == report.count("leaves quarantine") == 2
    assert report.count("which is rejected: 03.jpg (SIGABRT), 11.jpg (SIGSEGV).") == 1
    assert vae_batch.verify(out).ok


def test_recomputing_knows_the_poison(found: tuple[Path, Lines]) -> None:
    assert verify_by_recomputing(str(found[0]), units=3).ok


def test_a_job_that_knows_its_poison_dies_no_more_and_gives_the_same_bytes(
    found: tuple[Path, Lines], source: Path, model: Path, tmp_path: Path
) -> None:
    wanted, report = spec(source, model, tmp_path / "out", **OPTIONS), Lines()
    open_job(prepare(wanted))
    shutil.copytree(Layout.of(found[0]).quarantine, Layout.of(tmp_path / "out").quarantine)
    vae_batch.encode(wanted, report)
    assert report.count(" died") == report.count("quarantine") == 0
    assert snapshot(tmp_path / "out") == snapshot(found[0])


class Killer(Lines):
    """Kills replicas, and processes of the quarantine, at random moments."""

    def __init__(self, kills: int) -> None:
        super().__init__()
        self.kills, self.random = kills, random.Random(0)
        self.killed: list[int] = []
        self._next = 0.0
        self._others = set(self._victims())

    @staticmethod
    def _victims(names: Sequence[str] = ("ray::Replica", "vae_batch.work.cell")) -> dict[int, psutil.Process]:
        """Processes of this one's Ray, by what they were started as."""
        found = {}
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(name in " ".join(process.cmdline()) for name in names):
                    found[process.pid] = process
        return found

    def progress(self, state: Progress) -> None:
        if state.alive and len(self.killed) < self.kills and time.monotonic() > self._next:
            mine = [p for pid, p in self._victims().items() if pid not in {*self._others, *self.killed}]
            if mine:
                victim = self.random.choice(mine)
                victim.kill()
                self.killed.append(victim.pid)
                self._next = time.monotonic() + self.random.uniform(0.3, 1.5)


def test_kills_from_outside_make_nobody_a_reject(
    found: tuple[Path, Lines], source: Path, model: Path, tmp_path: Path
) -> None:
    killer = Killer(kills=6)
    vae_batch.encode(spec(source, model, tmp_path / "out", **OPTIONS), killer)
    assert len(killer.killed) == 6
    assert snapshot(tmp_path / "out") == snapshot(found[0])


class Nemesis(Killer):
    """Kills a replica each time that it has been at work for a moment."""

    def progress(self, state: Progress) -> None:
        if not state.alive:
            self._next = time.monotonic() + 0.8
        elif time.monotonic() > self._next:
            super().progress(state)

    @staticmethod
    def _victims(names: Sequence[str] = ("ray::Replica",)) -> dict[int, psutil.Process]:
        return Killer._victims(names)


def test_a_healthy_unit_killed_from_outside_again_and_again(ray_session: None, model: Path, tmp_path: Path) -> None:
    """Twice while it is encoded, and three times while it is in quarantine."""
    write_images(tmp_path / "source", dict.fromkeys(range(IMAGES), "slow:0.05"))
    killer = Nemesis(kills=5)
    wanted = spec(tmp_path / "source", model, tmp_path / "out", unit_size=IMAGES, replicas=1)
    summary = vae_batch.encode(wanted, killer)
    assert len(killer.killed) == killer.count("died; another takes its place and redoes unit 0.") == 5
    assert (summary.rows, summary.rejects) == (IMAGES, 0)
    assert killer.count("Unit 0 leaves quarantine: none of its images does any harm.") == 1
    assert not Path(Layout.of(tmp_path / "out").quarantine).exists()


def test_a_driver_killed_in_the_midst_of_quarantine(
    found: tuple[Path, Lines], source: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = {"model": model, "out": out, "unit-size": UNIT, "batch-size": 16, "replicas": 2, "max-reject-rate": 0.2}
    command = [sys.executable, "-c", "from vae_batch.cli import main; main()", "encode", str(source)]
    command += [str(a) for name, value in options.items() for a in (f"--{name}", value)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("goes into quarantine" in line for line in process.stderr)
        end = time.monotonic() + 60
        while not Path(Layout.of(out).quarantine).exists() and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
    assert Path(Layout.of(out).quarantine).exists() and len(snapshot(out)) < len(snapshot(found[0]))
    vae_batch.encode(spec(source, model, out, **OPTIONS))
    assert snapshot(out) == snapshot(found[0])


def test_images_that_hang_are_rejects(
    ray_session: None, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without the interpreter's lock, which keeps a replica from answering."""
    monkeypatch.setattr(pool, "SILENT_SECONDS", 5.0)
    write_images(tmp_path / "source", {5: "hang", 45: "grip"})
    report, out = Lines(), tmp_path / "out"
    summary = vae_batch.encode(spec(tmp_path / "source", model, out, hang_seconds=1.0, **OPTIONS), report)
    assert summary.reject_reasons == {"decode: Timeout": 2}
    assert ids(out) == {f"{i:02}.jpg" for i in range(IMAGES) if i not in (5, 45)}
    assert report.count("hung for more than 1 s and was killed; another takes its place and redoes unit") == 2
    assert report.count("which is rejected: 05.jpg (hang).") == report.count("which is rejected: 45.jpg (hang).") == 1
