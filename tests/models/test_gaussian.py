from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from vae_batch.models import DiagonalGaussian


def test_kl_is_that_of_torch_distributions_summed_over_all_latent_axes():
    generator = torch.Generator().manual_seed(0)
    mean, logvar = torch.randn(2, 5, 4, 3, 3, generator=generator)
    expected = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(dim=(1, 2, 3))
    kl = DiagonalGaussian(mean, logvar).kl()
    assert kl is not None
    assert kl.shape == (5,)
    torch.testing.assert_close(kl, expected)


def test_kl_of_the_prior_is_zero():
    zero = torch.zeros(2, 7)
    assert DiagonalGaussian(zero, zero).kl().tolist() == [0.0, 0.0]


def test_sample_is_mean_plus_sigma_times_noise():
    mean, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2.0]])
    posterior = DiagonalGaussian(mean, logvar)
    torch.testing.assert_close(posterior.sample(torch.tensor([[1.0, -1.0]])), torch.tensor([[2.0, -2.0 - torch.e]]))
    torch.testing.assert_close(posterior.variance, torch.tensor([[1.0, torch.e**2]]))


def test_a_deterministic_autoencoder_has_no_variance_and_no_kl():
    posterior = DiagonalGaussian(torch.ones(2, 3))
    assert posterior.variance is None
    assert posterior.kl() is None
    assert posterior.sample(torch.randn(2, 3)) is posterior.mean
