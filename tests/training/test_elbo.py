from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

from vae_batch.models import DiagonalGaussian
from vae_batch.training import gaussian_elbo


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 0.3))
def test_distortion_is_the_negative_log_likelihood_at_the_batchs_own_sigma(seed, spread):
    generator = torch.Generator().manual_seed(seed)  # float64: at some sigma the terms cancel to nothing
    x = torch.rand(4, 3, 6, 6, generator=generator, dtype=torch.float64)
    mean = x + spread * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    elbo = gaussian_elbo(x, mean, DiagonalGaussian(torch.zeros(4, 2), torch.zeros(4, 2)))
    sigma = (x - mean).square().mean().sqrt()

    def nll(scale):
        return -Normal(mean, scale).log_prob(x).sum(dim=(1, 2, 3)).mean()

    torch.testing.assert_close(elbo.distortion, nll(sigma))
    assert nll(sigma) < nll(1.1 * sigma)
    assert nll(sigma) < nll(0.9 * sigma)
    torch.testing.assert_close(elbo.mse, sigma.square())


def test_rate_is_the_mean_kl_in_nats_per_image():
    mean = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    elbo = gaussian_elbo(torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4), DiagonalGaussian(mean, torch.zeros(2, 2)))
    assert elbo.rate.item() == pytest.approx((0.5 + 4.5) / 2)
    assert elbo.loss.item() == pytest.approx((elbo.rate + elbo.distortion).item())


def test_a_perfect_reconstruction_is_finite():
    x = torch.rand(2, 1, 4, 4)
    elbo = gaussian_elbo(x, x, DiagonalGaussian(torch.zeros(2, 2), torch.zeros(2, 2)))
    assert elbo.loss.isfinite()


def test_a_deterministic_autoencoder_has_no_elbo():
    x = torch.rand(2, 1, 4, 4)
    with pytest.raises(ValueError, match="needs a posterior with a variance"):
        gaussian_elbo(x, x, DiagonalGaussian(torch.zeros(2, 2)))
