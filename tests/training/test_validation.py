from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import spec
from vae_batch.cluster.train import train
from vae_batch.errors import SpecError
from vae_batch.models import load_model
from vae_batch.models.arrays import to_float
from vae_batch.training import Objective, Team, loop
from vae_batch.training.draws import batch_of, held_out, normals
from vae_batch.training.gradients import BatchGradients
from vae_batch.training.ssim import ssim
from vae_batch.training.threads import Threads
from vae_batch.training.validation import Validator, collapse, overfitting, summarise
from vae_batch.training.weights import Weights
from vae_batch.work.cache import open_cache


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("validation") / "model"
    return train(spec(source, out, width=8, validation=0.3, ema=0.5, steps=30))


def test_lines_and_config_have_it(trained):
    lines = [json.loads(line) for line in (trained.out / "metrics.jsonl").read_text().splitlines()]
    last = lines[-1]
    assert (last["split"], last["step"], last["images"]) == ("validation", 30, trained.held_out)
    assert 0 < trained.held_out < 20
    assert last["elbo"] == pytest.approx(-last["distortion"] - last["rate"])
    assert last["rate"] == pytest.approx(sum(last["kl"])) and len(last["kl"]) == 8
    assert last["active_units"] == sum(v >= last["active_threshold"] for v in last["mean_variance"])
    extra = json.loads((trained.out / "config.json").read_text())["extra"]["training"]
    assert extra["validation"] == {k: v for k, v in last.items() if k not in ("split", "step")}
    assert extra["images"] == 40 and extra["held_out"] == trained.held_out


def decoded(source):
    told = spec(source, "")
    return open_cache(told, told.cache)


def test_the_figures_are_those_of_the_saved_model_on_the_images_held_out(source, trained):
    """So the averaged weights are the ones that are validated and saved."""
    pixels = decoded(source)
    x = to_float(pixels.images[held_out(pixels.ids, 0.3)])
    model = load_model(str(trained.out))
    with torch.inference_mode():
        q = model.encode(x)
        y = model.decode(q.mean)
    psnr = -10 * (x - y).square().mean((1, 2, 3)).log10()
    found = trained.validation
    assert found.images == len(x)
    assert found.psnr == pytest.approx(psnr.mean().item(), abs=0.3)  # trained and validated in bfloat16 where it pays
    assert found.ssim == pytest.approx(ssim(x, y).mean().item(), abs=0.02)
    assert found.rate == pytest.approx(q.kl().mean().item(), rel=0.02)
    assert found.mean_variance == pytest.approx(q.mean.var(0, correction=0).tolist(), rel=0.05, abs=1e-3)


def test_a_team_finds_the_same_figures(source):
    from vae_batch.models.conv import ConvConfig, ConvVAE

    images = decoded(source).images
    torch.manual_seed(0)
    model = ConvVAE(ConvConfig(32, 8, 8))
    sums = []

    class Lone(Team):
        def reduce(self, tensor: torch.Tensor) -> torch.Tensor:
            sums.append(tensor)
            return tensor

    def look(rank: int, size: int):
        team = Lone()
        team.rank, team.size = rank, size
        with Threads(torch.device("cpu"), 8) as threads:
            gradients = BatchGradients(Weights(model, team=team), Objective(3072), threads)
            return Validator(images, torch.arange(3, 26), gradients, 8, seed=0)()

    alone = look(0, 1)
    for rank in range(3):
        look(rank, 3)
    together = summarise(sum(sums[1:]), 23, Objective(3072))
    assert together.psnr == pytest.approx(alone.psnr)
    assert together.kl == pytest.approx(alone.kl, abs=1e-7)  # float32 numbers about 1 less 1
    assert together.distortion == pytest.approx(alone.distortion)


def naive_ssim(x, y):
    at = np.arange(11) - 5
    g = np.exp(-(at**2) / 4.5)
    w = np.outer(g, g) / g.sum() ** 2
    values = []
    for c in range(x.shape[0]):
        for i in range(x.shape[1] - 10):
            for j in range(x.shape[2] - 10):
                a, b = x[c, i : i + 11, j : j + 11], y[c, i : i + 11, j : j + 11]
                ma, mb = (w * a).sum(), (w * b).sum()
                va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
                cov = (w * (a - ma) * (b - mb)).sum()
                values.append((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    return np.mean(values)


def test_ssim_is_that_of_its_formula():
    x = torch.rand(2, 3, 14, 16)
    y = (x + 0.2 * torch.randn_like(x)).clamp(0, 1)
    wanted = [naive_ssim(a.double().numpy(), b.double().numpy()) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ssim(x, y).numpy(), wanted, rtol=1e-4)
    torch.testing.assert_close(ssim(x, x), torch.ones(2))


@given(st.lists(st.text(), unique=True, max_size=30), st.text(), st.floats(0, 0.99))
def test_an_image_stays_on_its_side_when_others_come(ids, more, share):
    assert held_out([*ids, more], share)[:-1].tolist() == held_out(ids, share).tolist()


def test_the_share_held_out_is_about_the_one_asked_for():
    ids = [f"faces-{i // 1000:06}.tar/{i:09}.jpg" for i in range(20_000)]
    assert held_out(ids, 0.05).float().mean().item() == pytest.approx(0.05, abs=0.005)
    assert not held_out(ids, 0).any()
    assert (held_out(ids, 0.05) <= held_out(ids, 0.1)).all()


def test_all_held_out_is_refused(tmp_path, source):
    one = tmp_path / "one"
    one.mkdir()
    (one / "a.jpg").write_bytes((source / "001.jpg").read_bytes())
    with pytest.raises(SpecError, match=r"validation=0\.99 holds out all 1 images"):
        train(spec(one, tmp_path / "m", validation=0.99))


def test_every_pass_has_each_image_once_but_for_the_rest():
    first, second = ([batch_of(3, step, 23, 5) for step in steps] for steps in (range(1, 5), range(5, 9)))
    assert len(torch.cat(first).unique()) == 20 == len(torch.cat(second).unique())
    assert torch.cat(first).tolist() != torch.cat(second).tolist()
    assert torch.equal(batch_of(3, 2, 23, 5), first[1]) and not torch.equal(batch_of(4, 2, 23, 5), first[1])


def test_the_normals_of_a_step_are_its_own():
    assert torch.equal(normals(0, 1, (4, 3)), normals(0, 1, (4, 3)))
    assert not torch.equal(normals(0, 1, (4, 3)), normals(0, 2, (4, 3)))
    many = normals(7, 1, (100_000,))
    assert abs(many.mean()) < 0.02 and abs(many.std() - 1) < 0.02


def test_only_the_kl_term_ends_in_collapse_and_it_is_named(source, tmp_path):
    from tests.training.test_train import Follow

    watch = Follow()
    trained = train(spec(source, tmp_path / "m", image_size=16, width=8, terms="kl", validation=0.3, steps=100), watch)
    assert trained.validation.active_units == 0 and trained.last.rate < 0.1
    assert watch.lines[-1].startswith("Posterior collapse: the rate is 0.0")
    assert "no dimension of 8 is active" in watch.lines[-1] and "only the KL term" in watch.lines[-1]


def test_collapse_is_told_only_where_there_is_one(trained):
    assert collapse(5.0, trained.validation, "elbo") is None
    assert "try a lower beta" in collapse(0.01, None, "elbo")
    assert collapse(0.01, None, "reconstruction").endswith("; without the KL term, train for longer.")
    assert math.isfinite(trained.validation.distortion)


@pytest.mark.parametrize("elbos", [[], [5.0], [-10.0, 3.0, 4.0], [100.0, 99.5], [-100.0, -100.9]])
def test_overfitting_is_told_only_where_there_is_some(elbos):
    assert overfitting([{"step": step, "elbo": elbo} for step, elbo in enumerate(elbos)]) is None


def test_overfitting_names_the_best_step():
    told = overfitting([{"step": 10, "elbo": 900.0}, {"step": 20, "elbo": 1000.0}, {"step": 30, "elbo": 950.0}])
    assert told.startswith(
        "Overfitting: the ELBO of the held-out images was best at step 20, 1,000 nats per image, and "
    )
    assert "ends 50 lower" in told and "fewer --steps" in told


def test_a_training_says_at_its_end_that_it_overfits(source, tmp_path, monkeypatch):
    from tests.training.test_train import Follow

    look, elbos = Validator.__call__, iter([800.0, 1000.0, 950.0])
    monkeypatch.setattr(Validator, "__call__", lambda self: replace(look(self), elbo=next(elbos)))
    monkeypatch.setattr(loop, "validation_steps", lambda per_epoch: 2)
    values = {"image_size": 16, "width": 8, "validation": 0.3, "steps": 6}
    watch = Follow()
    train(spec(source, tmp_path / "m", **values), watch)
    assert "was best at step" in watch.lines[-1] and "1,000 nats per image, and ends 50 lower" in watch.lines[-1]
    elbos = iter([800.0, 1000.0, 950.0])
    train(spec(source, tmp_path / "other", **values, beta=2.0), watch)  # the ELBO is not what it minimised
    assert sum(line.startswith("Overfitting") for line in watch.lines) == 1
