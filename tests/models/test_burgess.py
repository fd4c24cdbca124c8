"""The network against the paper's description: Burgess et al. 2018, arXiv 1804.03599, appendix A.1."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vae_batch.errors import ModelError
from vae_batch.models.burgess import BurgessConfig, BurgessVAE


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def convolution(inputs: int, outputs: int) -> int:
    return 4 * 4 * inputs * outputs + outputs


def full(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_the_parameters_are_those_of_the_description():
    model = BurgessVAE(BurgessConfig())
    inner = 3 * convolution(32, 32)
    assert count(model.encoder) == convolution(3, 32) + inner + full(32 * 4 * 4, 256) + full(256, 256)
    assert count(model.head) == full(256, 20)
    decoder = full(10, 256) + full(256, 256) + full(256, 32 * 4 * 4) + inner + convolution(32, 3)
    assert count(model.decoder) == decoder
    assert count(model) == model.card.parameters == 504_055


def test_the_layers_are_those_of_the_description():
    model = BurgessVAE(BurgessConfig())
    halving = [m for m in model.encoder if isinstance(m, nn.Conv2d)]
    doubling = [m for m in model.decoder if isinstance(m, nn.ConvTranspose2d)]
    for layers in (halving, doubling):
        assert [(m.kernel_size, m.stride) for m in layers] == [((4, 4), (2, 2))] * 4
    assert [m.out_channels for m in halving] == [32, 32, 32, 32]
    assert [m.out_channels for m in doubling] == [32, 32, 32, 3]
    x, sides = torch.rand(1, 3, 64, 64), []
    for layer in model.encoder:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            sides.append(x.shape[-1])
    assert sides == [32, 16, 8, 4]
    nonlinear = [m for half in (model.encoder, model.decoder) for m in half if isinstance(m, nn.ReLU)]
    assert len(nonlinear) == 4 + 2 + 3 + 3  # none after the logits


@pytest.mark.parametrize("size", [32, 65, 128])
def test_other_sizes_are_refused(size):
    with pytest.raises(
        ModelError, match=f"^image_size={size}: the burgess network takes 64, the size it was published"
    ):
        BurgessConfig(image_size=size)


def test_the_mean_of_the_pixels_is_the_sigmoid_of_the_logits():
    model = BurgessVAE(BurgessConfig(latent_dim=6))
    z = 50 * torch.randn(5, 6)
    with torch.inference_mode():
        logits, expected = model.logits(z), model.expected(z)
        reduced = model.prepare("cpu", "bf16").logits(z)
    assert logits.shape == (5, 3, 64, 64)
    assert torch.equal(expected, torch.sigmoid(logits))
    assert logits.min() < 0 < logits.max()
    assert reduced.dtype == torch.float32 and not torch.equal(reduced, logits)


def test_logvar_is_clamped():
    model = BurgessVAE(BurgessConfig(latent_dim=2))
    with torch.no_grad():
        model.head.bias[2:] = torch.tensor([1e4, -1e4])
    assert model.encode(torch.rand(1, 3, 64, 64)).logvar[0].tolist() == [6.0, -14.0]
