"""Kills: of the driver, of replicas, by signals; the output is byte for byte that of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import vae_batch
from tests.conftest import FACES, image_bytes, snapshot, spec
from vae_batch.cluster import quarantine
from vae_batch.cluster.report import Progress
from vae_batch.errors import UnitError

SLOW = """
import os, time
import torch

class Net(torch.nn.Module):
    image_size = 16
    def __init__(self, seconds=0.3, crash=""):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(3 * 16 * 16, 16)
        self.seconds, self.crash = seconds, crash
    def encode(self, x):
        time.sleep(self.seconds)
        if self.crash and len(x) > 1 and not os.path.exists(self.crash):
            os._exit(1)
        return self.linear(x.flatten(1)).chunk(2, 1)
    def decode(self, z):
        return torch.sigmoid(z.mean(1))[:, None, None, None].expand(-1, 3, 16, 16)
"""


@pytest.fixture(scope="module")
def source(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces and a few bad images, so that there are rejects to lose."""
    folder = tmp_path_factory.mktemp("source")
    for shard in faces.iterdir():
        (folder / shard.name).symlink_to(shard)
    for i in range(3):
        (folder / f"bad{i}.jpg").write_bytes(image_bytes(i)[:200])
    return folder


@pytest.fixture
def slow(module_in_cwd: Callable[[str, str], None]) -> str:
    module_in_cwd("slow_net", SLOW)
    return "slow_net:Net"


@pytest.fixture
def undisturbed(ray_session: None, source: Path, slow: str, tmp_path: Path) -> dict[str, bytes]:
    vae_batch.encode(spec(source, slow, tmp_path / "quiet", max_reject_rate=0.1))
    return snapshot(tmp_path / "quiet")


def start(source: Path, model: str, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from vae_batch.cli import main; main()", "encode", str(source)]
    options = {"--model": model, "--out": str(out), "--unit-size": "25", "--batch-size": "16", "--replicas": "2"}
    options["--max-reject-rate"] = "0.1"
    arguments = [a for pair in options.items() for a in pair]
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    return subprocess.Popen([*command, *arguments, *more], stderr=subprocess.PIPE, text=True, env=env)


def wait_for(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not found():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


def parts(out: Path) -> int:
    return len(list((out / "data").glob("*.parquet"))) if (out / "data").exists() else 0


def test_a_driver_killed_again_and_again(
    source: Path, slow: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """With SIGKILL: when the folders are there, when the job file is, after a few parts; then with one replica."""
    out = tmp_path / "out"
    moments: list[Callable[[], bool]] = [
        lambda: (out / ".vae_batch").exists(),
        lambda: (out / ".vae_batch" / "job.json").exists(),
        lambda: parts(out) >= 2,
        lambda: parts(out) >= 6,
    ]
    for moment in moments:
        process = start(source, slow, out)
        wait_for(moment, process)
        process.kill()
        process.communicate()
    assert 6 <= parts(out) < len(undisturbed) - 1
    process = start(source, slow, out, "--replicas", "1")
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert "Going on: " in said and f"{FACES} rows, 3 rejects" in said
    assert snapshot(out) == undisturbed
    assert vae_batch.verify(out).ok
    assert not list((out / ".vae_batch" / "tmp").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(
    source: Path, slow: str, undisturbed: dict[str, bytes], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = start(source, slow, out)
    wait_for(lambda: parts(out) >= 2, process)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 75, said
    assert f"stopped by {number.name}: " in said and "run the same command to go on" in said
    assert "Traceback" not in said
    time.sleep(1)
    assert not [p for p in psutil.process_iter(["ppid", "cmdline"]) if str(out) in " ".join(p.info["cmdline"] or [])]
    vae_batch.encode(spec(source, slow, out, max_reject_rate=0.1))
    assert snapshot(out) == undisturbed


class Killer:
    """A report that kills a replica's process at each of the first ticks that see work going on.

    No more than that: each death then is one of a replica that has, or will have, work, and the pool must notice it.
    """

    def __init__(self, kills: int) -> None:
        self.kills = kills
        self.lines: list[str] = []
        self.killed: list[int] = []
        self._others = set(self._replicas())

    @staticmethod
    def _replicas() -> dict[int, psutil.Process]:
        found = {}
        for process in psutil.Process().children(recursive=True):  # of this process's Ray, and nobody else's
            with contextlib.suppress(psutil.NoSuchProcess):
                if "ray::Replica" in " ".join(process.cmdline()):
                    found[process.pid] = process
        return found

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, state: Progress) -> None:
        mine = {pid: p for pid, p in self._replicas().items() if pid not in {*self._others, *self.killed}}
        if 0 < state.done < state.total / 2 and mine and len(self.killed) < self.kills:
            pid, process = list(mine.items())[len(self.killed) % len(mine)]
            process.kill()
            self.killed.append(pid)


def test_killed_replicas_are_replaced_and_their_units_redone(
    source: Path, slow: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    killer = Killer(kills=3)
    vae_batch.encode(spec(source, slow, tmp_path / "out", max_reject_rate=0.1), killer)
    assert len(killer.killed) == 3
    told = [line for line in killer.lines if "another takes its place" in line]
    named = [int(found[1]) for line in told if (found := re.search(r"\(pid (\d+)\) died", line))]
    assert len(told) == 3 and named and set(named) <= set(killer.killed)
    assert any("redoes unit" in line for line in told)
    assert snapshot(tmp_path / "out") == undisturbed


def test_a_unit_that_keeps_killing_its_replica_fails_the_job(
    ray_session: None, faces: Path, slow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_DEATHS", 2)
    gate = tmp_path / "open"
    wanted = spec(faces, f"{slow}?seconds=0&crash={gate}", tmp_path / "out", replicas=1)
    with pytest.raises(UnitError, match="unit 0 was in hand each of the 2 times its replica died"):
        vae_batch.encode(wanted)
    gate.touch()
    assert vae_batch.encode(wanted).rows == FACES
