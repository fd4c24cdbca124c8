from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vae_batch import noise as module
from vae_batch.noise import noise, uniform

ids = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5)


def test_philox_is_philox() -> None:
    """Known answers of Random123 (kat_vectors): counter and key zero, and all ones."""

    def words(seed: int, fill: int) -> list[int]:
        block, hashed = np.array([fill], np.uint64), np.array([(fill << 32) | fill], np.uint64)
        return [int(w[0, 0]) for w in module._philox(seed, block, block, hashed)]

    assert words(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert words(2**64 - 1, 2**32 - 1) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_golden_values() -> None:
    """These bits are stored in people's files: they never change."""
    drawn = noise(7, ["faces-000000.tar/000000012.jpg", "é"], dims=5, draws=2)
    assert [x.hex() for x in drawn[:, :, 0].astype(np.float64).ravel()] == GOLDEN_FIRST
    assert [x.hex() for x in drawn[:, :, 4].astype(np.float64).ravel()] == GOLDEN_LAST


@given(ids, st.integers(0, 2**64 - 1), st.integers(1, 20), st.integers(1, 3))
def test_a_value_depends_on_seed_id_and_draw_alone(names: list[str], seed: int, dims: int, draws: int) -> None:
    together = noise(seed, names, dims, draws)
    assert together.shape == (len(names), draws, dims)
    alone = noise(seed, names[-1:], dims + 3, draws + 2)
    np.testing.assert_array_equal(together[-1], alone[0, :draws, :dims])


def test_chunks_do_not_show() -> None:
    names = [str(i) for i in range(40)]
    whole = noise(1, names, dims=module._CHUNK)
    np.testing.assert_array_equal(whole[17], noise(1, names[17:18], dims=module._CHUNK)[0])


def test_it_is_standard_normal() -> None:
    z = noise(3, [f"id {i}" for i in range(4000)], dims=100, draws=1).ravel().astype(np.float64)
    n = len(z)
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    ordered = np.sort(z)
    cdf = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in ordered[:: n // 1000]])
    assert np.abs(cdf - np.arange(0, n, n // 1000) / n).max() < 1.95 / math.sqrt(n)  # Kolmogorov–Smirnov, 0.1 %


def test_dimensions_draws_and_seeds_are_independent() -> None:
    names = [f"id {i}" for i in range(5000)]
    a, b = noise(0, names, 8, 2), noise(1, names, 8, 1)
    columns = np.hstack([a[:, 0], a[:, 1], b[:, 0]])
    correlation = np.corrcoef(columns.T) - np.eye(24)
    assert np.abs(correlation).max() < 5 / math.sqrt(5000)


def test_logarithm_sine_and_cosine_are_right() -> None:
    words = np.concatenate([np.arange(1000), np.arange(2**32 - 1000, 2**32), np.arange(0, 2**32, 2**20 + 7)])
    word = words.astype(np.uint64)
    u = (words + 1.0) * 2.0**-32
    assert np.abs(module._log(u) - np.log(u)).max() < 1e-14
    sine, cosine = module._sincos_2pi(word)
    assert np.abs(sine - np.sin(2 * np.pi * (words * 2.0**-32))).max() < 1e-14
    assert np.abs(cosine - np.cos(2 * np.pi * (words * 2.0**-32))).max() < 1e-14


def test_uniform_golden_values() -> None:
    """They too decide what people's files hold."""
    assert [x.hex() for x in uniform(7, ["fitted/0/component", "é"]).tolist()] == GOLDEN_UNIFORM
    assert len(uniform(7, [])) == 0


def test_it_is_uniform_and_a_function_of_seed_and_id() -> None:
    u = uniform(3, [f"id {i}" for i in range(20_000)])
    assert u.dtype == np.float64 and u.min() >= 0 and u.max() < 1
    assert np.abs(np.sort(u) - np.arange(20_000) / 20_000).max() < 1.95 / math.sqrt(20_000)
    assert u[17] == uniform(3, ["id 17"])[0] != uniform(4, ["id 17"])[0]


GOLDEN_UNIFORM = ["0x1.5893d38fe1320p-2", "0x1.75277638b5b84p-1"]
GOLDEN_FIRST = ["-0x1.95619a0000000p-2", "-0x1.ac1b5e0000000p-5", "0x1.3351ca0000000p-1", "0x1.e457f00000000p-2"]
GOLDEN_LAST = ["-0x1.c9308a0000000p-1", "-0x1.b9fe6c0000000p-2", "-0x1.cc26a60000000p+0", "-0x1.562dc00000000p+0"]
