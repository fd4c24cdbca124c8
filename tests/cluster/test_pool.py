"""The pool alone, with actors that fail on purpose."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from vae_batch.cluster import pool, quarantine
from vae_batch.cluster.pool import Pool
from vae_batch.cluster.quarantine import Quarantine
from vae_batch.cluster.replica import ReplicaInfo
from vae_batch.errors import ClusterError, DeviceMemoryError, ModelError, NoResourcesError, UnitError
from vae_batch.latents.quarantine import Poison
from vae_batch.types import Unit

pytestmark = pytest.mark.usefixtures("ray_session")


class Fake:
    """A replica that keeps a diary of its calls in files and misbehaves as told."""

    def __init__(self, diary: str, mischief: dict[int, tuple[str, int]], start: str = "") -> None:
        self.diary, self.mischief, self.start = Path(diary), mischief, start
        self.since: float | None = None

    def place(self) -> str:
        return "here"

    def setup(self, most: int | None) -> ReplicaInfo:
        if self.start == "die":
            os._exit(1)
        if self.start == "memory":
            if len(list(self.diary.glob("born-*"))) >= 2:
                return ReplicaInfo("here", os.getpid(), "cpu", 64, "{}")
            (self.diary / f"born-{time.time_ns()}").touch()
            raise DeviceMemoryError("out of memory while loading the model")
        if self.start:
            raise ModelError(self.start)
        return ReplicaInfo("here", os.getpid(), "cpu", 64, "{}")

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    def progress(self) -> tuple[int, int, int, float]:
        return (-1, 0, 0, time.monotonic() - self.since if self.since else 0.0)

    def quarantine(self, unit: Unit, hang_seconds: float) -> list[Poison]:
        (self.diary / f"examined-{unit.number}-{time.time_ns()}").touch()
        return [Poison("a", "b", 0, "", "SIGABRT")] if self.mischief[unit.number][0] == "poison" else []

    def process(self, unit: Unit, most: int | None) -> int:
        for attempt in range(100):
            try:
                os.close(os.open(self.diary / f"{unit.number}-{attempt}", os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                continue
        what, times = self.mischief.get(unit.number, ("", 0))
        if attempt < times:
            if what in ("die", "poison"):
                time.sleep(0.3)  # the result before it is on its way
                os._exit(1)
            if what == "hang":
                self.since = time.monotonic()
                time.sleep(3600)
            if what == "slow":
                time.sleep(1.0)
                return unit.number * 10
            if what == "model":
                raise ModelError("bad model")
            if what == "memory":
                raise DeviceMemoryError("out of memory", most or 64)
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
        actor = ray.remote(concurrency_groups={"control": 1})(Fake)
        return actor.options(num_cpus=cpus, max_restarts=0, max_concurrency=2).remote(str(diary), mischief, start)

    def on_result(unit: int, value: int) -> None:
        results.setdefault(unit, []).append(value)

    more.setdefault("on_result", on_result)
    return Pool(spawn, size, lambda n: Unit(n, (), None, 0), **more), results


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


def test_results_may_come_in_another_order_than_their_units_went_out(diary: Path) -> None:
    workers, results = make(diary, {0: ("slow", 1)}, size=1)
    workers.run(range(6))
    assert results == {n: [n * 10] for n in range(6)}
    assert next(iter(results)) == 1


def test_a_unit_is_not_blamed_for_good_for_the_death_of_the_one_beside_it(diary: Path) -> None:
    """Unit 0 is still being published each time that unit 1 kills the replica, as long as both are there."""
    workers, results = make(diary, {0: ("slow", 99), 1: ("poison", 2)}, size=1, quarantine=Quarantine(60))
    workers.run(range(6))
    assert results == {n: [n * 10] for n in range(6)}
    assert examined(diary) == [1]


def test_the_driver_keeps_nothing_of_the_units_that_are_done(diary: Path) -> None:
    """Neither objects nor, once Ray's own buffers are full, memory."""
    counts: dict[int, int] = {}

    def look(unit: int, value: int) -> None:
        counts[len(counts)] = len(gc.get_objects()) if len(counts) in (500, 2000) else 0

    workers, _ = make(diary, {}, on_result=look)
    workers.run(range(2001))
    assert counts[2000] - counts[500] < 300


def examined(diary: Path) -> list[int]:
    return sorted(int(file.name.split("-")[1]) for file in diary.glob("examined-*"))


def test_a_unit_whose_replica_died_twice_is_examined_before_it_runs_again(diary: Path) -> None:
    lines: list[str] = []
    mischief = {2: ("poison", 2), 5: ("die", 4), 7: ("die", 1)}
    workers, results = make(diary, mischief, quarantine=Quarantine(60, lines.append))
    workers.run(range(9))
    assert results == {n: [n * 10] for n in range(9)}
    assert examined(diary) == [2, 5, 5]
    assert lines.count("Unit 2 leaves quarantine without its poison, which is rejected: a (SIGABRT).") == 1
    assert lines.count("Unit 5 leaves quarantine: none of its images does any harm. It is done again.") == 2


def test_a_replica_that_hangs_is_killed_and_its_unit_examined_at_once(diary: Path) -> None:
    lines: list[str] = []
    workers, results = make(diary, {2: ("hang", 1)}, on_loss=lines.append, quarantine=Quarantine(1.0))
    workers.run(range(6))
    assert results == {n: [n * 10] for n in range(6)}
    assert examined(diary) == [2]
    assert len(lines) == 1 and "hung for more than 1 s and was killed; another takes its place and redoes" in lines[0]


def test_a_unit_that_dies_without_poison_fails_the_job_at_last(diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_DEATHS", 3)
    workers, _ = make(diary, {1: ("die", 99)}, quarantine=Quarantine(60))
    with pytest.raises(UnitError, match=r"unit 1 was in hand each of the 3 times .* None of its images does any harm"):
        workers.run(range(4))
    assert examined(diary) == [1]


def test_a_lost_node_is_not_held_against_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_DEATHS", 2)
    deaths = Quarantine(60)
    for _ in range(5):
        deaths.died(0, "The actor died because its node has died. Node Id: 1f")
    assert not deaths.suspects(0)
    deaths.died(0, "The actor is dead because its worker process has died.")


def test_losing_every_replica_late_is_no_lack_of_room(diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts from the moment that nobody had a place, not from the start of the run."""
    passed = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed, sleep=time.sleep)
    monkeypatch.setattr(pool, "time", clock)
    made, results = make(diary, {3: ("die", 1)}, size=1)
    slow = made._took

    def later(worker: Any, what: str, unit: int, value: Any) -> None:
        nonlocal passed
        if what == "setup" and not results:
            passed = pool.PLACEMENT_SECONDS + 1.0
        slow(worker, what, unit, value)

    monkeypatch.setattr(made, "_took", later)
    made.run(range(6))
    assert passed and sorted(results) == list(range(6))


def test_a_replica_that_fails_again_and_again_is_replaced(diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "REST_SECONDS", 0.1)
    lines: list[str] = []
    made, results = make(diary, {0: ("raise", 2), 1: ("raise", 2)}, size=1, on_loss=lines.append)
    made.run(range(8))
    assert sorted(results) == list(range(8))
    assert any("failed 2 times in a row and was ended; another takes its place" in line for line in lines)
