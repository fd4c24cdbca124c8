"""Killed, stopped, out of room: the same call goes on, and ends in the same bits."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.conftest import spec
from vae_batch.cluster.train import train
from vae_batch.errors import InterruptedJobError, MismatchError, OutputError
from vae_batch.training import Watch
from vae_batch.training.checkpoint import read_checkpoint
from vae_batch.work.cache import open_cache

MORE = {"width": 8, "steps": 30, "ema": 0.9, "validation": 0.2, "kl_warm_up": 10, "checkpoint_seconds": 0.01}

KILLED = """
import os, signal, sys
from tests.training.conftest import spec
from tests.training.test_resume import MORE
from vae_batch.cluster.train import train
from vae_batch.training import Watch, checkpoint

class Killer(Watch):
    asked = 0
    def stopped_by(self):
        self.asked += 1
        if self.asked == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

def killing(finished, final, tmp):
    assert finished.stat().st_size > 1000
    os.kill(os.getpid(), signal.SIGKILL)

def then_kill(out, what):
    real(out, what)
    checkpoint.storage.publish = killing

if sys.argv[4] == "publishing":
    from vae_batch.training import loop
    real = loop.write_checkpoint
    loop.write_checkpoint = then_kill
train(spec(sys.argv[1], sys.argv[2], **MORE), Killer())
"""


class Stopper(Watch):
    def __init__(self, after: int) -> None:
        self.after, self.lines = after, []

    def progress(self, state, steps):
        if state.step >= self.after:
            self.after = 0

    def stopped_by(self):
        return "SIGTERM" if self.after == 0 else None

    def say(self, line):
        self.lines.append(line)


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


def lines(out: Path) -> list[dict]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in found]


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("resume") / "undisturbed"
    train(spec(source, out, **MORE))
    return out


@pytest.mark.parametrize(("asks", "when"), [(24, "between steps"), (0, "publishing")])
def test_killed_it_goes_on_and_ends_in_the_same_bits(source, undisturbed, tmp_path, asks, when):
    out = tmp_path / "m"
    command = [sys.executable, "-c", KILLED, str(source), str(out), str(asks), when]
    assert subprocess.run(command, timeout=300).returncode == -signal.SIGKILL
    assert not (out / "config.json").exists()
    reached = read_checkpoint(str(out)).facts["step"]
    assert 0 < reached < 30
    watch = Stopper(99)
    train(spec(source, out, **MORE), watch)
    assert watch.lines == [f"Going on from the checkpoint of step {reached} of 30."]
    assert weights(out) == weights(undisturbed)
    assert lines(out) == lines(undisturbed)
    assert sorted(p.name for p in out.iterdir()) == [
        *("README.md", "config.json", "metrics.jsonl", "model.safetensors", "rejects.jsonl")
    ]


def test_stopped_it_keeps_a_checkpoint_and_says_how_to_go_on(source, undisturbed, tmp_path):
    told = spec(source, tmp_path / "m", **{**MORE, "checkpoint_seconds": 1000})
    with pytest.raises(InterruptedJobError, match=r"SIGTERM: stopped after step 20 of 30; the same .* from step 21"):
        train(told, Stopper(20))
    assert read_checkpoint(told.out).facts["step"] == 20
    train(told.model_copy(update={"checkpoint_seconds": 5.0}))
    assert weights(tmp_path / "m") == weights(undisturbed)


def test_another_training_into_the_same_folder_is_refused(source, tmp_path):
    with pytest.raises(InterruptedJobError):
        train(spec(source, tmp_path / "m", **MORE), Stopper(20))
    with pytest.raises(MismatchError, match="belongs to a training with other settings") as caught:
        train(spec(source, tmp_path / "m", **{**MORE, "kl_warm_up": 11}))
    assert caught.value.args[0].splitlines()[2].split() == ["kl_warm_up", "10", "11"]
    job = tmp_path / "m/.training/job.json"
    job.write_text(job.read_text().replace('"images": 40', '"images": 41'))
    with pytest.raises(MismatchError, match="have changed since") as caught:
        train(spec(source, tmp_path / "m", **MORE))
    (tmp_path / "m/.training/checkpoint.safetensors").write_bytes(b"no checkpoint")
    job.write_text(job.read_text().replace('"images": 41', '"images": 40'))
    with pytest.raises(OutputError, match=r"is damaged .* to train anew"):
        train(spec(source, tmp_path / "m", **MORE))


def test_other_numerics_are_told(source, tmp_path):
    with pytest.raises(InterruptedJobError):
        train(spec(source, tmp_path / "m", **MORE), Stopper(20))
    path = tmp_path / "m/.training/checkpoint.safetensors"
    path.write_bytes(path.read_bytes().replace(rb"\"workers\": 1", rb"\"workers\": 7"))
    watch = Stopper(99)
    train(spec(source, tmp_path / "m", **MORE), watch)
    assert watch.lines[1] == "Note: not with the same numerics, so not to the same bits: workers: 7 -> 1."


@pytest.fixture
def small_files():
    """No file may become larger than 100 kB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_nothing_but_the_end(source, undisturbed, tmp_path, small_files):
    out = tmp_path / "m"
    with pytest.raises(InterruptedJobError):
        train(spec(source, out, **MORE), Stopper(20))
    small_files()
    watch = Stopper(99)
    with pytest.raises(OutputError, match=r"written to .*; the checkpoint of step 20 is kept in .* goes on from"):
        train(spec(source, out, **MORE), watch)
    assert "The checkpoint of step 30 could not be written" in watch.lines[-1]
    assert "Training goes on." in watch.lines[-1]
    assert sorted(p.name for p in out.rglob("*")) == [
        ".training",
        "README.md",
        "checkpoint.safetensors",
        "job.json",
        "metrics.jsonl",
    ]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    train(spec(source, out, **MORE))
    assert weights(out) == weights(undisturbed)


def test_a_disk_that_was_always_full_is_not_said_to_hold_a_checkpoint(source, tmp_path, small_files):
    told = spec(source, tmp_path / "m", **{**MORE, "steps": 2}, cache=str(tmp_path / "cache"))
    open_cache(told, told.cache)
    small_files()
    with pytest.raises(OutputError, match=r"there is no checkpoint: once there is room, the same command trains anew"):
        train(told)
    assert not (tmp_path / "m/.training/checkpoint.safetensors").exists()


def test_sigterm_ends_the_command_with_75(source, tmp_path):
    out = tmp_path / "m"
    code = "from vae_batch.cli import main; main()"
    more = ["--image-size", "16", "--steps", "100000", "--batch-size", "8", "--checkpoint-seconds", "0.1"]
    command = [sys.executable, "-c", code, "train", str(source), "--out", str(out), *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        deadline = time.monotonic() + 120
        while not (out / ".training/checkpoint.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 75
    assert "vae-batch: SIGTERM: stopped after step " in said and "the same command goes on from step " in said
