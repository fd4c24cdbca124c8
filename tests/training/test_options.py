"""What else a spec can ask for."""

from __future__ import annotations

import importlib.util
import json
import sys
import types

import pytest
import torch
from pydantic_core import PydanticUndefined

from tests.training.conftest import spec
from tests.training.test_train import Follow
from vae_batch import training
from vae_batch.cluster.train import train
from vae_batch.errors import SpecError
from vae_batch.models import load_model
from vae_batch.specs import TrainSpec
from vae_batch.training import Watch
from vae_batch.training.device import autocast_dtype
from vae_batch.training.metrics import Metrics
from vae_batch.work.cache import open_cache

SMALL = {"image_size": 16, "width": 8, "latent_dim": 4, "steps": 40}


def test_every_key_of_the_spec_is_an_option_with_the_same_default():
    from vae_batch.cli.train import command

    options = {p.name: p for p in command.params}
    assert options.keys() == TrainSpec.model_fields.keys() - {"kind"}
    for name, field in TrainSpec.model_fields.items():
        told = getattr(options.get(name), "default", None)
        if isinstance(told, int | float | str) and field.default is not PydanticUndefined:
            assert told == field.default, name


def test_a_spec_file_trains(source, tmp_path):
    from click.testing import CliRunner

    from vae_batch.cli.run import command

    file = tmp_path / "train.yaml"
    file.write_text(spec(source, tmp_path / "m", **{**SMALL, "steps": 2}).to_yaml())
    assert file.read_text().startswith("kind: train\n")
    done = CliRunner().invoke(command, [str(file)], catch_exceptions=False)
    assert done.exit_code == 0 and "2 steps" in done.stdout
    assert load_model(str(tmp_path / "m")).card.latent_shape == (4,)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"likelihood": "bernoulli", "sigma": 0.1}, "a bernoulli one has none"),
        ({"capacity": 3, "free_bits": 0.1}, "give capacity or free_bits, not both"),
        ({"capacity_steps": 3}, "give capacity too"),
        ({"terms": "reconstruction", "beta": 4}, "terms=reconstruction leaves the rate out of the loss, and beta is"),
        ({"terms": "reconstruction", "free_bits": 0.1}, "leaves the rate out of the loss, and free_bits is about it"),
        ({"beta": 0, "capacity": 3}, "beta=0 leaves the rate out of the loss, and capacity is about it"),
        ({"beta": 0, "kl_warm_up": 3}, "beta=0 leaves the rate out of the loss, and kl_warm_up is about it"),
        ({"beta": 0, "terms": "kl"}, "beta=0 leaves the rate out of the loss, and terms=kl is about it"),
    ],
)
def test_contradictions_are_refused(told, said):
    with pytest.raises(SpecError, match=said):
        TrainSpec(source="s", out="o", **told)


@pytest.mark.parametrize(
    "told",
    [
        {"likelihood": "bernoulli", "beta": 4.0},
        {"sigma": 0.1, "precision": "bf16"},
        {"capacity": 6.0, "beta": 10.0, "sigma": 0.1},
        {"free_bits": 0.5, "kl_warm_up": 10, "weight_decay": 0.1, "precision": "fp32"},
        {"terms": "reconstruction"},
    ],
)
def test_each_makes_images_better(source, tmp_path, told):
    trained = train(spec(source, tmp_path / "m", **SMALL, **told))
    lines = [json.loads(line) for line in (tmp_path / "m/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["mse"] < (0.06 if "terms" in told else 0.02) and lines[-1]["loss"] < lines[0]["loss"]
    assert (trained.last.sigma is None) == (told.get("likelihood") == "bernoulli")


def test_the_capacity_is_where_the_rate_ends(source, tmp_path):
    told = {"capacity": 6.0, "capacity_steps": 20, "beta": 100.0, "sigma": 0.2, "steps": 120}
    trained = train(spec(source, tmp_path / "m", **{**SMALL, **told}))
    assert trained.last.rate == pytest.approx(6.0, abs=2.0)


def test_beta_with_the_optimal_sigma_is_remarked(source, tmp_path):
    watch = Follow()
    train(spec(source, tmp_path / "a", **{**SMALL, "steps": 1}, beta=4.0), watch)
    assert watch.lines[0].startswith("Note: beta=4 with the optimal sigma is not the beta of the β-VAE papers")
    watch = Follow()
    train(spec(source, tmp_path / "b", **{**SMALL, "steps": 1}, beta=4.0, sigma=0.1), watch)
    assert watch.lines == []


@pytest.mark.parametrize("told", [{"kl_warm_up": 3}, {"capacity": 6.0, "capacity_steps": 3, "sigma": 0.1}])
def test_a_schedule_that_outlasts_the_training_is_remarked(source, tmp_path, told):
    watch = Follow()
    train(spec(source, tmp_path / "a", **{**SMALL, "steps": 2}, **told), watch)
    name = "kl_warm_up" if "kl_warm_up" in told else "capacity_steps"
    assert [line for line in watch.lines if line.startswith(f"Note: {name}=3, but there are only 2 steps: the ")]
    watch = Follow()
    train(spec(source, tmp_path / "b", **{**SMALL, "steps": 3}, **told), watch)
    assert watch.lines == []


def test_workers_that_nobody_started_are_refused(source, tmp_path):
    told = spec(source, tmp_path / "m", workers=2)
    with pytest.raises(SpecError, match="workers=2, but this training has 1"):
        training.train(told, open_cache(told, told.cache), Watch())


def test_precision():
    cpu = torch.device("cpu")
    assert autocast_dtype(cpu, "fp32") is None
    assert autocast_dtype(cpu, "bf16") is torch.bfloat16
    assert autocast_dtype(cpu, "auto") in (None, torch.bfloat16)


def test_tensorboard_has_the_figures(source, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(spec(source, tmp_path / "m", **{**SMALL, "steps": 20}, logger="tensorboard", validation=0.3))
    events = EventAccumulator(str(tmp_path / "m/tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "m/metrics.jsonl").read_text().splitlines()]
    assert [e.step for e in events.Scalars("train/distortion")] == [20]
    assert events.Scalars("validation/psnr")[0].value == pytest.approx(lines[-1]["psnr"], rel=1e-5)


def test_wandb_has_the_figures(source, tmp_path, monkeypatch):
    told = []
    run = types.SimpleNamespace(log=lambda values, step: told.append((step, values)), finish=lambda: told.append("end"))
    fake = types.ModuleType("wandb")
    fake.init = lambda **options: told.append(options) or run
    fake.__spec__ = importlib.util.spec_from_loader("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    train(spec(source, tmp_path / "m", **{**SMALL, "steps": 20}, logger=("wandb",)))
    assert told[0]["project"] == "vae_batch" and told[0]["config"]["steps"] == 20 and told[0]["resume"] == "allow"
    assert told[1][0] == 20 and told[1][1]["train/rate"] > 0 and told[2] == "end"


def test_a_logger_that_is_not_installed_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SpecError, match=r"logger=wandb: its package is not installed: pip install 'vae_batch\[wandb\]'"
    ):
        train(spec("no/such", tmp_path / "m", logger="wandb"))


def test_metrics_that_cannot_be_written_come_later(tmp_path):
    said = []
    metrics = Metrics(spec("s", "o"), tmp_path, b'{"split": "train", "step": 1}\n', 1, said.append)
    file = tmp_path / "metrics.jsonl"
    file.rename(tmp_path / "away")
    file.mkdir()
    for step in (2, 3):
        metrics.add({"split": "train", "step": step})
    assert len(said) == 1 and "Training goes on" in said[0]
    file.rmdir()
    (tmp_path / "away").rename(file)
    metrics.add({"split": "validation", "step": 4})
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 2, 3, 4]
    assert metrics.last("train") == {"step": 3}


def test_compile_that_fails_is_told_and_training_goes_on(source, tmp_path, monkeypatch):
    def no_compiler(function):
        def fail(*arguments):
            raise RuntimeError("no C++ compiler\nat all")

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    watch = Follow()
    train(spec(source, tmp_path / "m", **{**SMALL, "steps": 2}, compile=True), watch)
    assert watch.lines == ["torch.compile does not work here (no C++ compiler): training goes on without it."]
