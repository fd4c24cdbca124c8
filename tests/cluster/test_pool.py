"""The pool alone, with actors that fail on purpose."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from vae_batch.cluster import pool
from vae_batch.cluster.pool import Pool
from vae_batch.cluster.replica import ReplicaInfo
from vae_batch.errors import ClusterError, ModelError, NoResourcesError, UnitError
from vae_batch.types import Unit

pytestmark = pytest.mark.usefixtures("ray_session")


class Fake:
    """A replica that keeps a diary of its calls in files and misbehaves as told."""

    def __init__(self, diary: str, mischief: dict[int, tuple[str, int]], start: str = "") -> None:
        self.diary, self.mischief, self.start = Path(diary), mischief, start

    def place(self) -> str:
        return "here"

    def setup(self) -> ReplicaInfo:
        if self.start == "die":
            os._exit(1)
        if self.start:
            raise ModelError(self.start)
        return ReplicaInfo("here", os.getpid(), "cpu", "{}")

    def progress(self) -> tuple[int, int, int, float]:
        return (-1, 0, 0, 0.0)

    def process(self, unit: Unit) -> int:
        for attempt in range(100):
            try:
                os.close(os.open(self.diary / f"{unit.number}-{attempt}", os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                continue
        what, times = self.mischief.get(unit.number, ("", 0))
        if attempt < times:
            if what == "die":
                os._exit(1)
            if what == "model":
                raise ModelError("bad model")
            raise OSError(5, "Input/output error")
        time.sleep(0.01)
        return unit.number * 10


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path


def make(
    diary: Path, mischief: dict[int, tuple[str, int]], size: int = 2, **more: Any
) -> tuple[Pool, dict[int, list[int]]]:
    results: dict[int, list[int]] = {}

    def spawn(start: str = more.pop("start", ""), cpus: float = more.pop("cpus", 0.5)) -> Any:
        return ray.remote(Fake).options(num_cpus=cpus, max_restarts=0).remote(str(diary), mischief, start)

    def on_result(unit: int, value: int) -> None:
        results.setdefault(unit, []).append(value)

    return Pool(spawn, size, lambda n: Unit(n, (), None, 0), on_result=on_result, **more), results


def attempts(diary: Path, unit: int) -> int:
    return len(list(diary.glob(f"{unit}-*")))


def test_every_unit_has_one_result(diary: Path) -> None:
    workers, results = make(diary, {})
    workers.run(range(30))
    assert results == {n: [n * 10] for n in range(30)}
    assert all(attempts(diary, n) == 1 for n in range(30))


def test_errors_and_deaths_are_tried_again(diary: Path) -> None:
    workers, results = make(diary, {3: ("raise", 2), 7: ("die", 2), 8: ("die", 1)})
    workers.run(range(12))
    assert results == {n: [n * 10] for n in range(12)}
    assert attempts(diary, 3) == 3 and attempts(diary, 7) >= 3  # a result can be lost with its replica


def test_a_unit_that_raises_for_good_fails_the_job_with_its_cause(diary: Path) -> None:
    workers, _ = make(diary, {1: ("raise", 99)})
    with pytest.raises(UnitError, match=r"unit 1 failed 3 times, last with OSError: .*Input/output error"):
        workers.run(range(4))
    assert attempts(diary, 1) == 3


def test_our_own_errors_are_not_tried_again(diary: Path) -> None:
    workers, _ = make(diary, {1: ("model", 99)})
    with pytest.raises(ModelError, match="bad model"):
        workers.run(range(4))
    assert attempts(diary, 1) == 1


def test_a_replica_that_does_not_start_says_why(diary: Path) -> None:
    workers, _ = make(diary, {}, start="no weights here")
    with pytest.raises(ModelError, match="no weights here"):
        workers.run(range(4))


def test_replicas_that_die_while_starting_end_the_job(diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_IDLE_DEATHS", 2)
    workers, _ = make(diary, {}, size=1, start="die")
    with pytest.raises(ClusterError, match="2 replicas in a row died while starting"):
        workers.run(range(4))


def test_no_place_for_a_replica_is_said(diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PLACEMENT_SECONDS", 2.0)
    workers, _ = make(diary, {}, cpus=50.0)
    start: Callable[[], float] = time.monotonic
    begun = start()
    with pytest.raises(NoResourcesError, match="no replica found a place on the cluster in 2 s"):
        workers.run(range(4))
    assert start() - begun < 10


def test_a_pool_with_fewer_places_than_replicas_works_with_those(diary: Path) -> None:
    workers, results = make(diary, {}, size=3, cpus=1.0)
    workers.run(range(9))
    assert len(results) == 9
