from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_batch.models import DiagonalGaussian
from vae_batch.specs import TrainSpec
from vae_batch.training.loss import Objective

DIMS = 3 * 6 * 6


class Fixed:
    """A model whose posterior and pixels are given."""

    def __init__(self, posterior, pixels):
        self.posterior, self.pixels = posterior, pixels

    def encode(self, x):
        return self.posterior

    def expected(self, z):
        return self.pixels


class WithLogits(Fixed):
    def logits(self, z):
        return self.pixels.logit()


def elbo_of(objective, x, pixels, posterior=None, model=Fixed, step=1):
    posterior = posterior or DiagonalGaussian(torch.zeros(len(x), 2), torch.zeros(len(x), 2))
    sums = objective.sums(model(posterior, pixels), x, torch.zeros_like(posterior.mean), None)
    return objective.elbo(sums, len(x), step)


def images(seed, spread):
    generator = torch.Generator().manual_seed(seed)  # float64: at some sigma the terms cancel to nothing
    x = torch.rand(4, 3, 6, 6, generator=generator, dtype=torch.float64)
    return x, x + spread * torch.randn(x.shape, generator=generator, dtype=torch.float64)


@settings(deadline=None)
@given(seed=st.integers(0, 100), spread=st.floats(0.01, 0.5))
def test_the_optimal_gaussian_is_that_of_the_best_sigma(seed, spread):
    x, pixels = images(seed, spread)
    error = (x - pixels).square()
    sums = torch.cat([torch.stack([error.sum(), torch.zeros(()).double()]), torch.zeros(2).double()])
    elbo = Objective(DIMS).elbo(sums, 4)
    sigma = error.mean().sqrt()

    def nll(scale):
        return -Normal(pixels, scale).log_prob(x).sum(dim=(1, 2, 3)).mean()

    torch.testing.assert_close(elbo.distortion, nll(sigma))
    assert nll(sigma) < nll(1.1 * sigma)
    assert nll(sigma) < nll(0.9 * sigma)
    torch.testing.assert_close(elbo.mse, sigma.square())
    fixed = Objective(DIMS, sigma=0.2)
    torch.testing.assert_close(fixed.elbo(sums, 4).distortion, nll(torch.tensor(0.2).double()), rtol=1e-6, atol=1e-6)
    assert fixed.spread(elbo.mse.item()) == 0.2
    assert Objective(DIMS).spread(elbo.mse.item()) == pytest.approx(sigma.item())


@pytest.mark.parametrize("model", [Fixed, WithLogits])
def test_bernoulli_is_the_cross_entropy(model):
    x, pixels = torch.rand(4, 3, 6, 6), torch.rand(4, 3, 6, 6).clamp(0.01, 0.99)
    objective = Objective(DIMS, "bernoulli")
    elbo = elbo_of(objective, x, pixels, model=model)
    wanted = -Bernoulli(pixels, validate_args=False).log_prob(x).sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(elbo.distortion, wanted)
    torch.testing.assert_close(elbo.mse, (x - pixels).square().mean())
    assert objective.spread(0.1) is None


def test_bernoulli_takes_pixels_beyond_the_limits():
    x = torch.rand(2, 3, 6, 6)
    pixels = (torch.rand(2, 3, 6, 6) * 2 - 0.5).requires_grad_()
    elbo = elbo_of(Objective(DIMS, "bernoulli"), x, pixels)
    elbo.loss.backward()
    assert elbo.loss.isfinite() and pixels.grad.isfinite().all()


def test_rate_is_the_mean_kl_in_nats_per_image():
    posterior = DiagonalGaussian(torch.randn(5, 3), torch.randn(5, 3))
    x = torch.rand(5, 3, 6, 6)
    elbo = elbo_of(Objective(DIMS), x, torch.rand_like(x), posterior)
    wanted = kl_divergence(Normal(posterior.mean, posterior.variance.sqrt()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(elbo.rate, wanted)
    torch.testing.assert_close(elbo.loss, elbo.rate + elbo.distortion)


def test_the_latent_of_many_axes_has_its_rate_by_number():
    posterior = DiagonalGaussian(torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3))
    x = torch.rand(2, 3, 6, 6)
    sums = Objective(DIMS).sums(Fixed(posterior, x), x, torch.zeros_like(posterior.mean), None)
    assert sums.shape == (2 + 36,)
    torch.testing.assert_close(sums[2:].sum(), posterior.kl().sum())


def test_a_perfect_reconstruction_is_finite():
    x = torch.rand(2, 3, 6, 6)
    assert elbo_of(Objective(DIMS), x, x).loss.isfinite()


def test_a_deterministic_autoencoder_has_no_elbo():
    x = torch.rand(2, 3, 6, 6)
    with pytest.raises(ValueError, match="needs a posterior with a variance"):
        elbo_of(Objective(DIMS), x, x, DiagonalGaussian(torch.zeros(2, 2)))


POSTERIOR = DiagonalGaussian(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.zeros(2, 2))  # 0.25 and 2.25 nats


@pytest.mark.parametrize(
    ("told", "step", "loss"),
    [
        ({"beta": 4.0}, 1, lambda d: d + 4 * 2.5),
        ({"beta": 4.0, "kl_warm_up": 10}, 1, lambda d: d),
        ({"beta": 4.0, "kl_warm_up": 10}, 6, lambda d: d + 2 * 2.5),
        ({"beta": 4.0, "kl_warm_up": 10}, 99, lambda d: d + 4 * 2.5),
        ({"free_bits": 0.5}, 1, lambda d: d + 0.5 + 2.25),
        ({"capacity": 10.0, "capacity_steps": 10, "beta": 3.0}, 5, lambda d: d + 3 * 2.5),
        ({"capacity": 10.0, "capacity_steps": 10, "beta": 3.0}, 50, lambda d: d + 3 * 7.5),
        ({"terms": "reconstruction"}, 1, lambda d: d),
        ({"terms": "kl"}, 1, lambda d: 2.5),
    ],
)
def test_what_is_minimised(told, step, loss):
    x = torch.rand(2, 3, 6, 6)
    elbo = elbo_of(Objective(DIMS, **told), x, torch.rand_like(x), POSTERIOR, step=step)
    assert elbo.rate.item() == pytest.approx(2.5)
    assert elbo.loss.item() == pytest.approx(loss(elbo.distortion.item()))


def test_free_bits_are_not_pressed_further():
    kl = torch.tensor([0.1, 0.1, 0.25, 2.25]).requires_grad_()
    (slopes,) = torch.autograd.grad(Objective(1, free_bits=0.5).elbo(kl, 1).loss, kl)
    assert slopes[2:].tolist() == [0.0, 1.0]


def test_bits_per_dimension():
    # a Gaussian as wide as a grey level's half: its entropy over 256 levels
    nats = 0.5 * math.log(2 * math.pi * math.e * (0.5 / 255) ** 2) * DIMS
    bits, rate = Objective(DIMS).bits(nats, DIMS * math.log(2.0))
    assert bits == pytest.approx(8 + math.log2(math.sqrt(2 * math.pi * math.e) * 0.5 / 255))
    assert rate == pytest.approx(1.0)
    assert Objective(DIMS, "bernoulli").bits(DIMS * math.log(2.0), 0.0) == (pytest.approx(1.0), 0.0)


def test_the_objective_of_a_spec():
    told = TrainSpec(source="s", out="o", capacity=5, beta=2, kl_warm_up=3, likelihood="bernoulli")
    assert Objective.of(told, 100, 12) == Objective(
        12, "bernoulli", beta=2, kl_warm_up=3, capacity=5, capacity_steps=50
    )
