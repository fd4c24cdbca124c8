from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_batch.errors import ModelError
from vae_batch.models.conv import ConvConfig, ConvVAE


def model_of(**config) -> ConvVAE:
    torch.manual_seed(1)
    model = ConvVAE(ConvConfig(**config))
    model.start_from(torch.rand(20, model.config.in_channels, model.config.image_size, model.config.image_size))
    for parameter in model.parameters():  # as if trained: every path contributes
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 8).map(lambda n: 16 * n), st.integers(1, 9), st.sampled_from([1, 3]))
def test_shapes_and_ranges_at_every_size(image_size, latent_dim, channels):
    model = model_of(image_size=image_size, latent_dim=latent_dim, width=4, in_channels=channels)
    x = torch.rand(2, channels, image_size, image_size)
    with torch.inference_mode():
        posterior = model.encode(x)
        image = model.decode(3 * torch.randn(2, latent_dim))
    assert posterior.mean.shape == posterior.logvar.shape == (2, latent_dim)
    assert image.shape == x.shape
    assert image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize("size", [0, 15, 17, 24, 100])
def test_sizes_that_do_not_divide_are_refused(size):
    with pytest.raises(ModelError, match=f"image_size={size}: the conv network takes multiples of 16"):
        ConvConfig(image_size=size)


def test_the_default_encoder_has_about_two_million_parameters():
    model = ConvVAE(ConvConfig())
    used = [*model.encoder.parameters(), *model.head.parameters(), model.linear.loadings]
    assert 1.8e6 < sum(t.numel() for t in used) < 2.6e6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_at_a_fixed_shape_an_image_has_the_same_bits_wherever_it_lies(precision):
    torch.set_num_threads(1)
    model = model_of(image_size=32, latent_dim=8).prepare("cpu", precision)
    x = torch.rand(16, 3, 32, 32)
    order = torch.randperm(16)
    with torch.inference_mode():
        plain, permuted = model.encode(x), model.encode(x[order])
        padded = model.encode(torch.cat([x[:5], torch.zeros(11, 3, 32, 32)]))
        strided = model.encode(x.contiguous(memory_format=torch.channels_last))
    for name in ("mean", "logvar"):
        values = getattr(plain, name)
        assert values.dtype == torch.float32
        assert torch.equal(values[order], getattr(permuted, name))
        assert torch.equal(values[:5], getattr(padded, name)[:5])
        assert torch.equal(values, getattr(strided, name))


def test_reduced_precision_is_near_full_precision():
    x = torch.rand(8, 3, 32, 32)
    with torch.inference_mode():
        full = model_of(image_size=32, latent_dim=8).prepare("cpu", "fp32").encode(x)
        half = model_of(image_size=32, latent_dim=8).prepare("cpu", "bf16").encode(x)
    assert not torch.equal(full.mean, half.mean)
    assert (full.mean - half.mean).abs().max() < 0.05 * full.mean.abs().max()


def test_logvar_is_clamped():
    model = model_of(image_size=16, latent_dim=2, width=4)
    with torch.no_grad():
        model.head.bias[2:] = torch.tensor([1e4, -1e4])
    assert model.encode(torch.rand(1, 3, 16, 16)).logvar[0].tolist() == [6.0, -14.0]


def test_the_linear_start_is_the_closed_form_of_probabilistic_pca():
    """Images made from three components and noise: they are found, and the log-variance is log(sigma²/spread)."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.linalg.qr(torch.randn(3 * 16 * 16, 3, generator=generator)).Q
    scale, noise = torch.tensor([2.0, 1.0, 0.5]), 0.01
    z = torch.randn(2000, 3, generator=generator)
    flat = 0.5 + (z * scale) @ patterns.T + noise * torch.randn(2000, 768, generator=generator)
    x = flat.view(2000, 16, 16, 3).permute(0, 3, 1, 2)
    model = ConvVAE(ConvConfig(image_size=16, latent_dim=5, width=4))
    model.start_from(x)
    with torch.inference_mode():
        posterior = model.encode(x)
        rebuilt = model.expected(posterior.mean)
    torch.testing.assert_close(posterior.mean[:, :3].std(0), torch.ones(3), atol=0.02, rtol=0)
    expected = (noise**2 / scale**2).log()
    torch.testing.assert_close(posterior.logvar[0, :3], expected, atol=0.2, rtol=0)
    assert (rebuilt - x).square().mean() < 1.02 * noise**2
    assert posterior.logvar[:, 3:].abs().max() == 0  # nothing left to tell: the prior
    assert posterior.mean[:, 3:].abs().max() == 0


def test_fewer_images_than_dimensions_leave_the_rest_at_the_prior():
    model = ConvVAE(ConvConfig(image_size=16, latent_dim=8, width=4))
    model.start_from(torch.rand(3, 3, 16, 16))
    assert model.encode(torch.rand(2, 3, 16, 16)).logvar.isfinite().all()
    model.start_from(torch.full((1, 3, 16, 16), 0.3))
    torch.testing.assert_close(model.decode(torch.randn(1, 8)), torch.full((1, 3, 16, 16), 0.3))
