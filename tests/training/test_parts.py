from __future__ import annotations

import pytest
import torch

from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.training import gaussian_elbo
from vae_batch.training.parts import BatchGradients


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_gradients_of_the_parts_are_those_of_the_batch(parts: int) -> None:
    torch.manual_seed(0)
    model = ConvVAE(ConvConfig(image_size=16, latent_dim=4, width=8))
    x, eps = torch.rand(24, 3, 16, 16), torch.randn(24, 4)
    posterior = model.encode(x)
    whole = gaussian_elbo(x, model.expected(posterior.sample(eps)), posterior)
    expected = torch.autograd.grad(whole.loss / x[0].numel(), list(model.parameters()))
    threads = torch.get_num_threads()
    with BatchGradients(model, 24, None) as gradients:
        gradients.parts = parts
        elbo = gradients(x, eps)
    assert torch.get_num_threads() == threads
    for name in ("distortion", "rate", "mse", "loss"):
        torch.testing.assert_close(getattr(elbo, name), getattr(whole, name), rtol=1e-5, atol=1e-5)
    for parameter, wanted in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)


def test_an_error_in_a_part_comes_out() -> None:
    model = ConvVAE(ConvConfig(image_size=16, latent_dim=4, width=8))
    with BatchGradients(model, 24, None) as gradients, pytest.raises(RuntimeError):
        gradients(torch.rand(24, 3, 16, 16), torch.randn(24, 5))
