"""Kill drivers and replicas of `encode` or `generate` at random moments, and compare every byte with a quiet run.

    python -m tests.chaos --kills 20
    python -m tests.chaos --kills 20 --job generate --format webdataset

Drawn faces and a few bad images go through a small VAE on two replicas, or its decoder makes pictures. A job that is
killed is started again by the same command until it is done; jobs follow each other until so many kills were made.
Exits with 1 if parts, rejects or pictures of any of them differ in a byte from those of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from tests.conftest import image_bytes, snapshot
from vae_batch.faces import write_faces
from vae_batch.images import Transform
from vae_batch.latents.pictures import FOLDERS, SHARDS
from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.models.save import save_model

AT_START, START_SECONDS = 0.25, 9.0
"""This share of the kills comes at any moment from the start on, be it before Ray or a replica is there ..."""
AT_WORK_SECONDS = 2.0
"""... the others so soon after a part was published."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--job", choices=["encode", "generate"], default="encode")
    parser.add_argument("--format", default="parquet", help="of generate: parquet, webdataset, folder")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vae_batch_chaos_") as folder:
        if args.job == "generate":
            told = ["generate", "--count", str(args.images), "--format", args.format]
        else:
            told = ["encode", "source"]
        return Chaos(Path(folder), told, args.images, args.kills, random.Random(args.seed)).run()


@dataclass
class Chaos:
    """Jobs in a folder, and the kills so far."""

    folder: Path
    told: list[str]
    """The command and what it works on."""
    images: int
    kills: int
    random: random.Random
    killed: list[str] = field(default_factory=list)

    def run(self) -> int:
        self._make()
        started = self._start(self.folder / "quiet")
        if started.wait():
            raise SystemExit("the undisturbed run failed")
        quiet, jobs = contents(self.folder / "quiet"), 0
        while len(self.killed) < self.kills:
            jobs += 1
            out = self.folder / f"job{jobs}"
            self._disturbed(out)
            if contents(out) != quiet:
                print(f"DIFFERENT: job {jobs}, after the kills {self.killed}")
                return 1
            print(f"job {jobs}: all {len(quiet)} files are byte for byte those of the undisturbed run", flush=True)
            shutil.rmtree(out)
        drivers = self.killed.count("driver")
        print(f"OK: {drivers} drivers and {len(self.killed) - drivers} replicas killed in {jobs} jobs, no byte differs")
        return 0

    def _make(self) -> None:
        write_faces(str(self.folder / "source"), self.images, shard_size=250)
        for i in range(5):
            (self.folder / "source" / f"bad{i}.jpg").write_bytes(image_bytes(i)[:200])
        torch.manual_seed(0)
        save_model(ConvVAE(ConvConfig()), self.folder / "model", transform=Transform(64).to_dict())

    def _start(self, out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from vae_batch.cli import main; main()", *self.told]
        options = ["--model", "model", "--out", out.name, "--unit-size", "40", "--replicas", "2"]
        env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        return subprocess.Popen([*command, *options], cwd=self.folder, env=env, stderr=subprocess.DEVNULL)

    def _disturbed(self, out: Path) -> None:
        """Run a job to its end, whatever that takes."""
        driver, before = self._start(out), _parts(out)
        while (code := self._wait(driver, out, before)) != 0:
            if code is None:
                self._kill(driver, out)
            elif code == -signal.SIGKILL:
                driver = self._start(out)
            else:
                raise SystemExit(f"the driver ended with exit code {code}")
            before = _parts(out)

    def _wait(self, driver: subprocess.Popen[bytes], out: Path, before: int) -> int | None:
        """Wait until the next kill is due, or give the exit code of a driver that ended before."""
        if driver.poll() is not None or len(self.killed) >= self.kills:
            return driver.wait()
        if self.random.random() < AT_START:
            wait = self.random.uniform(0, START_SECONDS)
        else:
            while driver.poll() is None and _parts(out) == before:
                time.sleep(0.02)
            wait = self.random.uniform(0, AT_WORK_SECONDS)
        try:
            return driver.wait(wait)
        except subprocess.TimeoutExpired:
            return None

    def _kill(self, driver: subprocess.Popen[bytes], out: Path) -> None:
        """Kill the driver, or one of its replicas if it has any."""
        family = psutil.Process(driver.pid).children(recursive=True)
        replicas = [p for p in family if p.is_running() and "ray::Replica" in " ".join(p.cmdline())]
        who = "replica" if replicas and self.random.random() < 0.7 else "driver"
        (self.random.choice(replicas) if who == "replica" else driver).kill()
        self.killed.append(who)
        print(f"{time.strftime('%H:%M:%S')}  kill {len(self.killed)}: {who}, {_parts(out)} parts done", flush=True)


def contents(out: Path) -> dict[str, bytes]:
    """The bytes of parts and rejects, and of the pictures that lie beside the parts."""
    beside = [f for name in (SHARDS, FOLDERS) for f in (out / name).rglob("*") if f.is_file()]
    return snapshot(out) | {str(f.relative_to(out)): f.read_bytes() for f in beside}


def _parts(out: Path) -> int:
    return len(list((out / "data").glob("*.parquet")))


if __name__ == "__main__":
    sys.exit(main())
