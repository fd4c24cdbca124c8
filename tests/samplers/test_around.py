from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samplers.stored import stored
from vae_batch.latents.posteriors import PosteriorPart, Posteriors
from vae_batch.latents.sampling import draw_samples
from vae_batch.samplers import Posterior, Reconstruct

ROWS, DIMS, SEED = 23, 3, 9
IDS = [f"face {i}" for i in range(ROWS)]
RNG = np.random.default_rng(0)
MEAN = RNG.standard_normal((ROWS, DIMS)).astype(np.float16).astype(np.float32)
VARIANCE = RNG.uniform(0, 2, (ROWS, DIMS)).astype(np.float32)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Posteriors]:
    """The same posteriors as three ways of encoding store them, in parts of 9 rows and row groups of 4."""
    ways = {"float32": (np.float32, VARIANCE), "float16": (np.float16, VARIANCE), "deterministic": (np.float32, None)}
    return {
        name: stored(tmp_path_factory.mktemp(name), MEAN.astype(kind), variance, IDS)
        for name, (kind, variance) in ways.items()
    }


@given(
    st.sampled_from(["float32", "float16", "deterministic"]), st.integers(1, 5), st.integers(0, 130), st.integers(1, 40)
)
def test_image_i_is_draw_i_mod_k_of_face_i_div_k(
    stores: dict[str, Posteriors], store: str, draws: int, first: int, count: int
) -> None:
    sampler = Posterior(stores[store], SEED, draws)
    mean = MEAN.astype(np.float16) if store == "float16" else MEAN
    variance = None if store == "deterministic" else VARIANCE
    wanted = draw_samples(mean, variance, SEED, IDS, draws).astype(np.float32).reshape(-1, DIMS)
    drawn = sampler.draw(first, count)
    there = max(0, min(first + count, ROWS * draws) - first)
    assert sampler.total == ROWS * draws and drawn.latents.shape == (count, DIMS)
    assert np.array_equal(drawn.latents[:there], wanted[first : first + there])
    places = [divmod(i, draws) for i in range(first, first + there)]
    assert drawn.origin["source_id"][:there] == [IDS[face] for face, _ in places]
    assert drawn.origin["draw"][:there] == [k for _, k in places]
    assert {len(values) for values in drawn.origin.values()} == {count}


@given(st.integers(0, 30), st.integers(1, 40))
def test_a_reconstruction_is_of_the_mean(stores: dict[str, Posteriors], first: int, count: int) -> None:
    drawn = Reconstruct(stores["float16"]).draw(first, count)
    there = max(0, min(first + count, ROWS) - first)
    assert drawn.latents.dtype == np.float32 and np.array_equal(drawn.latents[:there], MEAN[first : first + there])
    assert drawn.origin["source_id"][:there] == IDS[first : first + there] and len(drawn.origin["source_id"]) == count


def test_it_travels_small(tmp_path: Path) -> None:
    """A sampler of ten million rows in a thousand parts, a tenth of them chosen, is a megabyte and a bit."""
    import pickle

    chosen = np.packbits(np.arange(10_000) % 10 == 0).tobytes()
    parts = tuple(PosteriorPart(u, f"/faces/data/part-{u:06d}.parquet", 10_000, chosen) for u in range(1000))
    many = Posteriors("/faces", "m", 64, "d", parts, 1000, (1000,) * 1000)
    assert len(pickle.dumps(Posterior(many, 0, 4))) < 1_500_000
