"""Training on two workers by Ray Train, against one process; and workers that die or cannot go on."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

import vae_batch
from tests.conftest import image_bytes
from vae_batch.errors import InterruptedJobError, ModelError, NoResourcesError, OutputError, SpecError
from vae_batch.specs import TrainSpec
from vae_batch.training import Progress, Validation, Watch

TOLERANCE = 1e-3
"""Of each weight, as a share of the largest of its tensor, after so many steps in fp32 on one or two workers."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers") / "source"
    folder.mkdir()
    for i in range(60):
        (folder / f"{i:02}.png").write_bytes(image_bytes(i, "PNG"))
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def spec(source: Path, out: Path, **more: Any) -> TrainSpec:
    values = {"image_size": 16, "latent_dim": 4, "batch_size": 16, "steps": 40, "device": "cpu", "precision": "fp32"}
    shared = {"cache": str(source.parent / "cache"), "validation": 0.1}
    return TrainSpec(source=str(source), out=str(out), **{**values, **shared, **more})


class Seen(Watch):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[int] = []
        self.found: list[Validation] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, state: Progress, steps: int) -> None:
        self.steps.append(state.step)

    def validated(self, step: int, found: Validation) -> None:
        self.found.append(found)


@pytest.fixture(scope="module")
def alone(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("workers") / "alone"
    vae_batch.train(spec(source, out))
    return out


def assert_near(out: Path, other: Path) -> None:
    ours, theirs = (load_file(path / "model.safetensors") for path in (out, other))
    for name, tensor in ours.items():
        scale = max(1.0, tensor.abs().max().item())
        assert (tensor - theirs[name]).abs().max() <= TOLERANCE * scale, name


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_workers_end_where_one_does(ray_session: None, source: Path, alone: Path, tmp_path: Path) -> None:
    seen, out = Seen(), tmp_path / "two"
    trained = vae_batch.train(spec(source, out, workers=2), seen)
    assert_near(out, alone)
    assert seen.steps == [20, 40] and seen.found[-1] == trained.validation
    assert (trained.out, trained.images, trained.rejected, trained.last.step) == (out, 60, 1, 40)
    assert [(r.id, r.stage) for r in trained.examples] == [("bad.png", "decode")]
    for ours, theirs in zip(lines(out), lines(alone), strict=True):
        assert ours["elbo"] == pytest.approx(theirs["elbo"], rel=1e-4)
    names = ["README.md", "config.json", "metrics.jsonl", "model.safetensors", "rejects.jsonl"]
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in alone.iterdir()) == names
    assert not Path("~/ray_results").expanduser().exists()


class Killer(Seen):
    """Kills one of the workers with SIGKILL once they have come so far."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step: int | None = step

    def progress(self, state: Progress, steps: int) -> None:
        super().progress(state, steps)
        if self.step is not None and state.step >= self.step:
            self.step = None
            victims = []
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "RayTrainWorker" in " ".join(process.cmdline()):
                        victims.append(process)
            assert len(victims) == 2
            victims[0].kill()


def test_a_killed_worker_is_replaced_and_the_end_is_the_same(
    ray_session: None, source: Path, alone: Path, tmp_path: Path
) -> None:
    seen = Killer(40)
    vae_batch.train(spec(source, tmp_path / "quiet", workers=2, steps=250, batch_size=8))
    vae_batch.train(spec(source, tmp_path / "m", workers=2, steps=250, batch_size=8, checkpoint_seconds=0.2), seen)
    assert seen.step is None
    assert sum("all begin again from the last checkpoint" in line for line in seen.lines) >= 1
    assert sum("Going on from the checkpoint of step" in line for line in seen.lines) == 1
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("quiet", "m")]
    assert same[0] == same[1]


class Stopper(Seen):
    def stopped_by(self) -> str | None:
        return "SIGTERM" if self.steps else None


def test_an_interrupted_training_goes_on_with_another_number_of_workers(
    ray_session: None, source: Path, tmp_path: Path
) -> None:
    out, seen = tmp_path / "m", Seen()
    with pytest.raises(InterruptedJobError, match="SIGTERM: stopped after step"):
        vae_batch.train(spec(source, out, workers=2, steps=300), Stopper())
    assert (out / ".training" / "checkpoint.safetensors").exists() and not (out / ".training" / "ray").exists()
    vae_batch.train(spec(source, out, steps=300), seen)
    assert any("Going on from the checkpoint" in line for line in seen.lines)
    assert seen.steps[-1] == 300


def test_an_error_of_ours_ends_the_run_at_once(ray_session: None, source: Path, tmp_path: Path) -> None:
    seen = Seen()
    with pytest.raises(ModelError, match="is not finite"):
        vae_batch.train(spec(source, tmp_path / "m", workers=2, learning_rate=1e30), seen)
    assert not any("begin again" in line for line in seen.lines)


def test_a_cache_that_a_worker_does_not_see_is_told(
    ray_session: None, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vae_batch.cluster import workers

    real = workers._trainer

    def elsewhere(spec: Any, images: Any, *more: Any) -> Any:
        shutil.move(images.folder, tmp_path / "gone")
        return real(spec, images, *more)

    monkeypatch.setattr(workers, "_trainer", elsewhere)
    with pytest.raises(OutputError, match=r"is not there: with workers on several nodes, --cache must be a folder"):
        vae_batch.train(spec(source, tmp_path / "m", workers=2, cache=str(tmp_path / "cache")))


def test_what_cannot_be_is_refused_before(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="workers=20 for batches of 16 images"):
        vae_batch.train(spec(source, tmp_path / "m", workers=20))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_the_cluster_has_not_got(ray_session: None, source: Path, tmp_path: Path) -> None:
    with pytest.raises(NoResourcesError, match="device=cuda, but the cluster has no GPU"):
        vae_batch.train(spec(source, tmp_path / "m", workers=2, device="cuda"))
