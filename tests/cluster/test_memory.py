"""Out of memory: a model that raises it on purpose, and what the pool makes of that and of Ray's memory monitor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

import vae_batch
from tests.cluster.inline import replicas_here
from tests.cluster.test_poison import Lines, write_images
from tests.cluster.test_pool import make
from tests.conftest import FACES, snapshot, spec
from vae_batch.cluster import plan as planning
from vae_batch.cluster import pool
from vae_batch.cluster.memory import Memory, low_memory
from vae_batch.cluster.quarantine import Quarantine
from vae_batch.errors import DeviceMemoryError, UnitError
from vae_batch.latents.batch_size import load_batch_size, save_batch_size
from vae_batch.latents.footer import read_footer
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import open_plan
from vae_batch.types import Unit
from vae_batch.work.encode import UnitEncoder
from vae_batch.work.job import open_job, prepare
from vae_batch.work.recompute import recompute

HUNGRY = '''
"""Out of memory above `most` images at once. Its values move with their number, so that another one is found out."""
import torch
from torch import nn

class Hungry(nn.Module):
    image_size = 16

    def __init__(self, most=99, how="cuda"):
        super().__init__()
        self.most, self.how = most, how

    def encode(self, x):
        if len(x) > self.most and self.how == "cpu":
            torch.empty(1 << 60, dtype=torch.uint8)
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        mean = x.mean((2, 3)) + len(x)
        return mean, torch.zeros_like(mean)

    def decode(self, z):
        return torch.zeros(len(z), 3, 16, 16)
'''


@pytest.fixture(autouse=True)
def hungry(module_in_cwd: Callable[[str, str], None]) -> None:
    module_in_cwd("hungry", HUNGRY)


def batch_sizes(out: Path) -> list[int]:
    return [json.loads(read_footer(part).numerics)["batch_size"] for part in sorted((out / "data").iterdir())]


def test_the_batch_is_halved_and_a_later_run_begins_with_it(
    ray_session: None, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out, report = "hungry:Hungry?most=5", tmp_path / "out", Lines()
    summary = vae_batch.encode(spec(faces, model, out, units="0:2", batch_size=8, replicas=1), report)
    assert (summary.rows, summary.rejects, summary.units) == (40, 0, 2)
    assert batch_sizes(out) == [4, 4]
    assert report.count("ran out of memory; another takes its place and redoes unit") == 2
    assert report.count("encoding 8 images at once: CUDA out of memory. Tried to allocate 2.00 GiB. A fresh") == 1
    assert report.count("From now on replicas take 4 at once, until the job's end.") == 1
    summary = vae_batch.encode(spec(faces, model, out, batch_size=8, replicas=1), report)
    assert (summary.rows, set(batch_sizes(out))) == (FACES, {4})
    assert report.count("4 images at once, since an earlier run's replicas had no memory for more; another") == 1
    assert report.count("ran out of memory") == 2 and report.count("differ from those of the parts") == 0
    replicas_here(monkeypatch)
    vae_batch.encode(spec(faces, model, tmp_path / "small", batch_size=4))
    assert snapshot(out) == snapshot(tmp_path / "small")


@pytest.mark.parametrize(
    ("how", "words"), [("cuda", "CUDA out of memory"), ("cpu", "DefaultCPUAllocator: can't allocate memory")]
)
def test_an_encoder_says_that_it_is_out_of_memory(faces: Path, tmp_path: Path, how: str, words: str) -> None:
    file, job = open_job(prepare(spec(faces, f"hungry:Hungry?most=5&how={how}", tmp_path / "out")))
    encoder, unit = UnitEncoder(job, "cpu", 1), open_plan(Layout.of(tmp_path / "out"), file.plan)[0]
    with pytest.raises(DeviceMemoryError, match=f"on cpu while encoding 16 images at once: .*{words}") as caught:
        encoder.make(unit)
    assert caught.value.batch_size == 16
    assert Layout.of(tmp_path / "out").parts() == (set(), []) and not list((tmp_path / "out/.vae_batch/tmp").iterdir())
    assert encoder.make(unit, batch_size=5).rows == unit.seen and batch_sizes(tmp_path / "out") == [5]
    assert (encoder.forward.at_most(5), encoder.forward.at_most(None)) == (5, 16)


def test_a_model_without_memory_while_it_is_loaded(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = open_job(prepare(spec(faces, "hungry:Hungry", tmp_path / "out")))
    monkeypatch.setattr("hungry.Hungry.most", -1, raising=False)
    monkeypatch.setattr("hungry.Hungry.__init__", lambda self, **_: super(type(self), self).__init__())
    monkeypatch.setattr("hungry.Hungry.how", "cuda", raising=False)
    with pytest.raises(DeviceMemoryError, match="on cpu while loading the model: CUDA out of memory") as caught:
        UnitEncoder(job, "cpu", 1)
    assert caught.value.batch_size is None


def test_recomputing_takes_the_batch_size_of_each_footer(faces: Path, tmp_path: Path) -> None:
    """The values of this model show any other one."""
    file, job = open_job(prepare(spec(faces, "hungry:Hungry", tmp_path / "out")))
    encoder, plan = UnitEncoder(job, "cpu", 1), open_plan(Layout.of(tmp_path / "out"), file.plan)
    for number, batch_size in enumerate((None, 3, 7)):
        encoder.make(plan[number], batch_size=batch_size)
    assert batch_sizes(tmp_path / "out") == [16, 3, 7]
    assert [recompute(encoder, plan[number]) for number in range(3)] == [[], [], []]
    assert "column mean differs when made again, by up to" in recompute(encoder, plan[0], most=8)[0]


def test_the_batch_size_is_kept_for_what_was_asked(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path)
    layout.make()
    assert load_batch_size(layout, None) is None
    save_batch_size(layout, 32, None)
    assert (load_batch_size(layout, None), load_batch_size(layout, 64)) == (32, None)


def test_replicas_that_ran_out_before_the_batch_was_halved_count_no_more() -> None:
    kept: list[int] = []
    memory = Memory(keep=kept.append)
    assert memory.ran_out(1, 64, False, "x") and memory.ran_out(2, 64, False, "x")
    assert not memory.ran_out(2, 64, False, "x") and memory.most == 32
    assert not memory.ran_out(1, 64, False, "x") and memory.most == 32
    assert memory.ran_out(1, 32, False, "x") and not memory.ran_out(5, 32, True, "x")
    assert kept == [32, 16]


def test_a_batch_shrinks_no_further_than_the_model_allows() -> None:
    memory = Memory(least=6)
    assert not memory.ran_out(1, 8, True, "x") and memory.most == 6
    with pytest.raises(DeviceMemoryError, match="6 images at once, the model's least, are too much for a replica's"):
        memory.ran_out(1, 6, True, "x")


def pool_with(folder: Path, unit: int, mischief: tuple[str, int], **more: Any) -> tuple[Any, dict[int, list[int]], Any]:
    memory = more.pop("memory", None) or Memory()
    workers, results = make(folder, {unit: mischief}, memory=memory, quarantine=Quarantine(60), **more)
    return workers, results, memory


ALL = {n: [n * 10] for n in range(6)}


@pytest.mark.parametrize(("times", "most"), [(1, None), (3, 32)])
def test_a_unit_is_tried_twice_with_each_batch(ray_session: None, tmp_path: Path, times: int, most: int | None) -> None:
    """What happens once leaves the batch as it was."""
    lines: list[str] = []
    workers, results, memory = pool_with(tmp_path, 1, ("memory", times), on_loss=lines.append)
    workers.run(range(6))
    assert (results, memory.most) == (ALL, most)
    assert len(lines) == times and not list(tmp_path.glob("examined-*"))


def test_one_image_too_many_is_an_error_that_says_what_to_do(ray_session: None, tmp_path: Path) -> None:
    workers, _, _ = pool_with(tmp_path, 1, ("memory", 99), memory=Memory(2))
    with pytest.raises(DeviceMemoryError, match=r"one image at once is too much .*--gpus-per-replica 1.*smaller model"):
        workers.run(range(6))
    assert len(list(tmp_path.glob("1-*"))) == 4


def test_a_replica_without_room_for_the_model_is_started_again(ray_session: None, tmp_path: Path) -> None:
    lines: list[str] = []
    workers, results, memory = pool_with(tmp_path, 9, ("", 0), size=1, start="memory", on_loss=lines.append)
    workers.run(range(6))
    assert (results, memory.most) == (ALL, None)
    assert lines == ["A replica ran out of memory while starting; another takes its place."] * 2


def test_no_room_for_the_model_anywhere_is_an_error(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MAX_IDLE_DEATHS", 2)
    workers, _, _ = pool_with(tmp_path, 9, ("", 0), size=1, start="memory")
    with pytest.raises(DeviceMemoryError, match="out of memory while loading the model"):
        workers.run(range(6))


@pytest.fixture
def starving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every death pass for one by Ray's memory monitor."""
    monkeypatch.setattr(pool, "low_memory", lambda error: True)


def test_rays_memory_monitor_is_known_by_its_error() -> None:
    assert low_memory(ray.exceptions.OutOfMemoryError("1 worker(s) were killed due to the node running low on memory"))
    assert not low_memory(ray.exceptions.ActorDiedError())


def test_a_node_low_on_memory_is_no_images_fault(ray_session: None, starving: None, tmp_path: Path) -> None:
    """On CPU batches live in main memory: a fresh replica, then smaller batches."""
    workers, results, memory = pool_with(tmp_path, 1, ("die", 4), size=1)
    workers.run(range(6))
    assert (results, memory.most) == (ALL, 16)
    assert not list(tmp_path.glob("examined-*"))


def test_where_batches_cannot_shrink_places_are_given_up(ray_session: None, starving: None, tmp_path: Path) -> None:
    lines: list[str] = []
    workers, results, _ = pool_with(tmp_path, 1, ("die", 6), memory=Memory(1), on_loss=lines.append)
    workers.run(range(6))
    assert results == ALL and workers.size == 1
    assert sum("Its place is given up, 1 are left." in line for line in lines) == 1
    assert not list(tmp_path.glob("examined-*"))


def test_a_node_without_memory_fails_the_job_at_last(
    ray_session: None, starving: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vae_batch.cluster.quarantine.MAX_DEATHS", 2)
    workers, _, _ = pool_with(tmp_path, 1, ("die", 99), memory=Memory(1), size=1)
    with pytest.raises(UnitError, match="unit 1 was in hand each of the 2 times its replica died"):
        workers.run([1])


class Probed:
    """A replica whose images are too many, or hang; without torch."""

    def __init__(self, most: int) -> None:
        self.most = most

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    def progress(self) -> tuple[int, int, int, float]:
        return 0, 0, 0, 0.0 if self.most else 100.0

    def setup(self, most: int | None) -> None:
        pass

    def probe(self, unit: Unit, images: int, most: int | None) -> tuple[int, float]:
        while not self.most:
            pass
        if (most or 64) > self.most:
            raise DeviceMemoryError("out of memory", most or 64)
        return most or 64, 1.0


def probe(most: int) -> tuple[int, float]:
    def start() -> Any:
        return ray.remote(concurrency_groups={"control": 1})(Probed).options(num_cpus=0).remote(most)

    return planning._probe(start, Unit(0, (), None, 0), Memory(), hang_seconds=50)


def test_a_plan_is_timed_with_the_batch_that_fits(ray_session: None) -> None:
    assert probe(40) == (32, 1.0)


def test_images_that_hang_end_the_timing(ray_session: None) -> None:
    with pytest.raises(planning._NoTimingError, match="one of the first images takes longer than 50 s to decode"):
        probe(0)


def test_a_plan_without_a_timing_gives_the_rest(ray_session: None, tmp_path: Path) -> None:
    write_images(tmp_path / "source", {3: "abort"})
    estimate = planning.plan(spec(tmp_path / "source", "hungry:Hungry", tmp_path / "out"))
    assert (estimate.files, estimate.images_per_second, estimate.hours) == (60, None, None)
    assert "the replica died; if one of the first images did that, `encode` finds it" in estimate.no_timing
