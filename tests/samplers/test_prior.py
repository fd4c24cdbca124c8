from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch.noise import noise
from vae_batch.samplers import Prior


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(1, 9), st.sampled_from([None, 0.5, 1.5]))
def test_a_latent_depends_on_seed_and_number_alone(seed: int, first: int, count: int, truncation: float | None) -> None:
    prior = Prior(5, seed, 0.7, truncation)
    together = prior.draw(first, count).latents
    alone = [prior.draw(first + i, 1).latents[0] for i in range(count)]
    assert together.dtype == np.float32 and np.array_equal(together, alone)


def test_it_is_the_noise_of_its_number() -> None:
    assert np.array_equal(Prior(8, 3).draw(17, 1).latents, noise(3, ["prior/17"], 8)[:, 0])
    assert np.array_equal(Prior(8, 3, 0.5).draw(17, 1).latents, Prior(8, 3).draw(17, 1).latents * np.float32(0.5))


def test_its_moments_are_those_of_a_standard_normal() -> None:
    z = Prior(16, 1).draw(0, 20_000).latents.astype(np.float64)
    assert np.abs(z.mean(0)).max() < 5 / np.sqrt(20_000)
    assert np.abs(np.cov(z.T) - np.eye(16)).max() < 0.05


@pytest.mark.parametrize("limit", [0.1, 1.0, 2.0])
def test_truncated_it_is_a_normal_within_the_limit(limit: float) -> None:
    z, whole = Prior(4, 1, truncation=limit).draw(0, 5000).latents, Prior(4, 1).draw(0, 5000).latents
    assert np.abs(z).max() <= limit
    kept = np.abs(whole) <= limit
    assert np.array_equal(z[kept], whole[kept])  # only what lies beyond is drawn anew
    values = np.sort(z.ravel().astype(np.float64))
    below, above = (0.5 * (1 + math.erf(x / math.sqrt(2))) for x in (-limit, limit))
    wanted = (np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in values]) - below) / (above - below)
    found = (np.arange(len(values)) + 0.5) / len(values)
    assert np.abs(wanted - found).max() * math.sqrt(len(values)) < 2.2  # Kolmogorov and Smirnov: one in 8,000
