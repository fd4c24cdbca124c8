from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.training.weights import BETAS, Weights


def network(seed: int = 0) -> ConvVAE:
    torch.manual_seed(seed)
    model = ConvVAE(ConvConfig(image_size=16, latent_dim=4, width=8))
    return model.to(memory_format=torch.channels_last)


def gradients(weights: Weights, step: int) -> None:
    drawn = torch.Generator().manual_seed(step)
    for p in weights.model.parameters():
        p.grad.copy_(torch.randn(p.shape, generator=drawn))


def test_a_step_is_that_of_adamw_whose_matrices_alone_decay() -> None:
    ours, theirs = network(), network()
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.3},
        {"params": [p for p in theirs.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=BETAS)
    weights = Weights(ours, weight_decay=0.3)
    for step in range(1, 5):
        gradients(weights, step)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * step
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            q.grad = p.grad.clone()
        weights.step(step, 0.01 * step)
        optimizer.step()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6, msg=name)
        assert p.stride() == q.stride()


def test_the_average_is_its_formula_and_gives_the_weights_back() -> None:
    weights = Weights(network(), ema=0.9)
    parameter = weights.model.head.weight
    wanted = parameter.detach().clone()
    for step in range(1, 40):
        gradients(weights, step)
        weights.step(step, 0.01)
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * parameter.detach()
    last = parameter.detach().clone()
    with weights.final():
        torch.testing.assert_close(weights.model.head.weight.detach(), wanted)
        assert not torch.equal(weights.model.state_dict()["head.weight"], last)
    assert torch.equal(weights.model.head.weight, last)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_what_is_kept_goes_on_to_the_same_bits(ema: float) -> None:
    undisturbed = Weights(network(), 0.1, ema)
    for step in range(1, 7):
        gradients(undisturbed, step)
        undisturbed.step(step, 0.01)
        if step == 3:
            kept = load(save({name: tensor.contiguous() for name, tensor in undisturbed.tensors().items()}))
    again = Weights(network(seed=1), 0.1, ema)
    again.load(kept, 3)
    for step in range(4, 7):
        gradients(again, step)
        again.step(step, 0.01)
    found = again.tensors()
    for name, tensor in undisturbed.tensors().items():
        assert torch.equal(tensor, found[name]), name


def test_clipping_shortens_the_gradient_and_gives_its_length() -> None:
    weights = Weights(network())
    gradients(weights, 1)
    wanted = torch.stack([p.grad.norm() for p in weights.model.parameters()]).norm().item()
    assert weights.clip(2 * wanted) == pytest.approx(wanted) == weights.gradient.norm().item()
    assert weights.clip(wanted / 2) == pytest.approx(wanted)
    assert weights.gradient.norm().item() == pytest.approx(wanted / 2)
