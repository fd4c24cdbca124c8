from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.training import Objective, Team
from vae_batch.training.gradients import BatchGradients
from vae_batch.training.threads import Threads
from vae_batch.training.weights import Weights

DIMS = 3 * 16 * 16
OBJECTIVES = [
    Objective(DIMS),
    Objective(DIMS, sigma=0.1, beta=2.0),
    Objective(DIMS, "bernoulli", capacity=3.0),
    Objective(DIMS, free_bits=0.02),
    Objective(DIMS, terms="kl"),
    Objective(DIMS, terms="reconstruction"),
]


def network() -> ConvVAE:
    torch.manual_seed(0)
    model = ConvVAE(ConvConfig(image_size=16, latent_dim=4, width=8))
    return model.to(memory_format=torch.channels_last)


def whole(objective: Objective, x: torch.Tensor, eps: torch.Tensor):
    model = network()
    elbo = objective.elbo(objective.sums(model, x, eps, None), len(x))
    (elbo.loss / DIMS).backward()
    return elbo, model


def check(gradients: BatchGradients, wanted: ConvVAE) -> None:
    for parameter, other in zip(gradients.model.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_gradients_of_the_parts_are_those_of_the_batch(parts: int, objective: Objective) -> None:
    torch.manual_seed(1)
    x, eps = torch.rand(24, 3, 16, 16), torch.randn(24, 4)
    elbo, wanted = whole(objective, x, eps)
    before = torch.get_num_threads()
    with Threads(torch.device("cpu"), 24) as threads:
        threads.parts = parts
        gradients = BatchGradients(Weights(network()), objective, threads)
        found = gradients(x, eps, 24)
    assert torch.get_num_threads() == before
    for name in ("distortion", "rate", "mse", "loss"):
        torch.testing.assert_close(getattr(found, name), getattr(elbo, name), rtol=1e-5, atol=1e-5)
    check(gradients, wanted)


def test_threads_share_the_weights_in_reduced_precision() -> None:
    """As an autocast in each thread gives them, but for the order of sums; the model keeps its own weights."""
    torch.manual_seed(1)
    x, eps = torch.rand(24, 3, 16, 16), torch.randn(24, 4)
    wanted, model = network(), network()
    objective = OBJECTIVES[0]
    elbo = objective.elbo(objective.sums(wanted, x, eps, torch.bfloat16), 24)
    (elbo.loss / DIMS).backward()
    before = dict(model.named_parameters())
    with Threads(torch.device("cpu"), 24) as threads:
        threads.parts = 2
        gradients = BatchGradients(Weights(model), objective, threads, torch.bfloat16)
        for _ in range(2):
            found = gradients(x, eps, 24)
            torch.testing.assert_close(found.loss, elbo.loss, rtol=1e-3, atol=0.1)
            for parameter, other in zip(model.parameters(), wanted.parameters(), strict=True):
                torch.testing.assert_close(parameter.grad, other.grad, rtol=0.05, atol=0.02 * other.grad.abs().max())
        assert all(p is before[name] and p.dtype == torch.float32 for name, p in model.named_parameters())
        with torch.no_grad():
            model.decoder.pixels.bias.add_(0.5)  # what a step changes, the next one sees
        assert gradients(x, eps, 24).mse > elbo.mse + 0.1


@pytest.mark.parametrize("objective", OBJECTIVES[:4])
def test_the_gradients_of_a_team_are_those_of_the_batch(objective: Objective) -> None:
    torch.manual_seed(1)
    x, eps = torch.rand(25, 3, 16, 16), torch.randn(25, 4)
    _, wanted = whole(objective, x, eps)
    barrier, held = threading.Barrier(2), {}

    class Pair(Team):
        size = 2

        def __init__(self, rank: int) -> None:
            self.rank = rank

        def reduce(self, tensor: torch.Tensor) -> torch.Tensor:
            held[self.rank] = tensor.clone()
            barrier.wait()
            tensor.copy_(held[0] + held[1])
            barrier.wait()
            return tensor

        add_up = reduce

    def member(rank: int) -> BatchGradients:
        with Threads(torch.device("cpu"), 12, single=True) as threads:
            weights = Weights(models[rank], team=Pair(rank))
            gradients = BatchGradients(weights, objective, threads)
            gradients(weights.team.share(x), weights.team.share(eps), 25)
            return gradients

    models = [network(), network()]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(member, range(2))
    check(first, wanted)
    assert torch.equal(first.weights.gradient, second.weights.gradient)


def test_an_error_in_a_part_comes_out() -> None:
    with Threads(torch.device("cpu"), 24) as threads, pytest.raises(RuntimeError):
        BatchGradients(Weights(network()), Objective(DIMS), threads)(torch.rand(24, 3, 16, 16), torch.randn(24, 5), 24)
