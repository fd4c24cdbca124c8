"""Damage images and archives for as long as you like, and look for what breaks.

    python -m tests.fuzz --minutes 10

Works in a child process, so that a crash or a hang of a decoder is a finding and not the end. Every finding is
written to a folder with the damaged bytes. Exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import random
import sys
import tempfile
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from tests.fuzz.check import check_image, check_source
from tests.fuzz.damage import damaged
from tests.fuzz.seeds import SHARDS, images, listing, members

HANG_SECONDS = 60.0
GROWTH = 512 << 20
"""Bytes that a child may grow beyond what it had after its first hundred trials."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("fuzz_findings"))
    args = parser.parse_args()
    end, seed, findings = time.monotonic() + 60 * args.minutes, args.seed, 0
    verdicts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="vae_batch_fuzz_") as folder:
        while time.monotonic() < end:
            seed, problem = _watch(Path(folder), seed, end, verdicts)
            if problem:
                findings += 1
                args.findings.mkdir(exist_ok=True)
                for file in Path(folder).glob("trial*"):
                    (args.findings / f"{findings:03}-{file.name}").write_bytes(file.read_bytes())
                print(f"FINDING {findings}, trial {seed}: {problem}", flush=True)
    print(f"{sum(verdicts.values()):,} trials: " + ", ".join(f"{k} {v:,}" for k, v in verdicts.most_common()))
    return 1 if findings else 0


def _watch(folder: Path, seed: int, end: float, verdicts: collections.Counter[str]) -> tuple[int, str]:
    """Run trials in a child until it dies, hangs, grows or the time is over; give the next seed and what is wrong."""
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_trials, args=(there, str(folder), seed))
    child.start()
    there.close()
    first, base = seed, 0
    try:
        while time.monotonic() < end:
            if not here.poll(HANG_SECONDS):
                return seed + 1, f"hangs for {HANG_SECONDS:.0f} s"
            verdict = here.recv()
            if verdict.startswith("Traceback"):
                return seed + 1, verdict
            verdicts[verdict] += 1
            seed += 1
            rss = psutil.Process(child.pid).memory_info().rss
            base = rss if seed - first <= 100 else base
            if rss > base + GROWTH and seed - first > 100:
                return seed + 1, f"grew from {base >> 20} to {rss >> 20} MiB"
    except EOFError:
        child.join(5)
        return seed + 1, f"the process died with exit code {child.exitcode}"
    finally:
        child.kill()
        child.join()
    return seed, ""


def _trials(pipe: Connection, folder: str, seed: int) -> None:
    pictures, items = list(images().values()), members()
    shards = {name: make(items) for name, make in SHARDS.items()}
    table = listing(Path(folder), items)
    while True:
        rng = random.Random(seed)
        seed += 1
        try:
            pipe.send(_trial(rng, Path(folder), pictures, shards, table))
        except Exception:
            pipe.send(traceback.format_exc())


def _trial(rng: random.Random, folder: Path, pictures: list[bytes], shards: dict[str, bytes], table: bytes) -> str:
    """One damaged image, shard or listing; its bytes are on disk before they are looked at."""
    kind = rng.choice(["image"] * 6 + [*shards, "list.csv"])
    whole = rng.choice(pictures) if kind == "image" else table if kind == "list.csv" else shards[kind]
    path = folder / f"trial-{kind}"
    path.write_bytes(damaged(rng, whole, rng.choice(pictures)))
    if kind == "image":
        return "image: " + ("row" if check_image(path.read_bytes()) == "row" else "reject")
    found = check_source(path)
    return f"{kind}: " + ("refused" if found["refused"] else "read")


if __name__ == "__main__":
    sys.exit(main())
