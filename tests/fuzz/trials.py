"""The fuzzer's child process: one damaged thing after the other."""

from __future__ import annotations

import random
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.check import check_image, check_source
from tests.fuzz.damage import damaged
from tests.fuzz.seeds import SHARDS, images, listing, members


def trials(pipe: Connection, folder: str, seed: int) -> None:
    """Say of each trial what came of it, or the traceback of what should not have been raised."""
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
