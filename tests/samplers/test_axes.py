from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samplers.stored import stored
from vae_batch import storage
from vae_batch.samplers import Centre, Grid, Traverse, mean_and_active
from vae_batch.samplers.density import F64

POINT = np.array([0.5, -1.0, 2.0, 0.25])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where a centre is, and its digest."""
    content = Centre(POINT, np.array([2, 0]), {"model": "m"}).to_bytes()
    file = tmp_path_factory.mktemp("kept") / "fit.safetensors"
    file.write_bytes(content)
    return {"file": str(file), "sha256": storage.bytes_sha256(content)}


@given(st.integers(0, 12), st.integers(1, 20))
def test_one_number_is_set_and_the_others_stay(kept: dict[str, str], first: int, count: int) -> None:
    sampler = Traverse((2, 0), 5, 2.0, **kept)
    drawn = sampler.draw(first, count)
    assert sampler.total == 10 and drawn.latents.shape == (count, 4)
    for i in range(min(count, 10 - first)):
        place, step = divmod(first + i, 5)
        wanted = POINT.astype(np.float32)
        wanted[(2, 0)[place]] = step - 2
        assert np.array_equal(drawn.latents[i], wanted)
        assert (drawn.origin["dimension"][i], drawn.origin["value"][i]) == ((2, 0)[place], step - 2)
    assert "source_id" not in drawn.origin
    assert Traverse((2,), 5, 2.0, "a.jpg", **kept).draw(0, 2).origin["source_id"] == ["a.jpg"] * 2


@given(st.integers(0, 12), st.integers(1, 20))
def test_a_grid_has_equal_shares_of_the_prior_between_its_lines(kept: dict[str, str], first: int, count: int) -> None:
    sampler = Grid((1, 3), 3, **kept)
    drawn = sampler.draw(first, count)
    assert sampler.total == 9
    for i in range(min(count, 9 - first)):
        down, across = divmod(first + i, 3)
        share = {name: NormalDist().cdf(drawn.origin[name][i]) for name in ("value_x", "value_y")}
        assert share == pytest.approx({"value_x": (across + 0.5) / 3, "value_y": (down + 0.5) / 3})
        values = np.float32([drawn.origin["value_x"][i], drawn.origin["value_y"][i]])
        assert np.array_equal(drawn.latents[i][[1, 3]], values)
        assert np.array_equal(drawn.latents[i][[0, 2]], POINT[[0, 2]].astype(np.float32))
    assert drawn.origin["dimension_x"] == [1] * count and drawn.origin["dimension_y"] == [3] * count


def means(spread: list[float]) -> F64:
    """21 rows around (7, 7, ...) whose variances are these, uncorrelated enough."""
    columns = [np.roll(np.linspace(-1, 1, 21), 5 * i) for i in range(len(spread))]
    unit = np.stack([column / column.std() for column in columns], 1)
    return 7.0 + unit * np.sqrt(spread)


def test_active_dimensions_by_falling_kl(tmp_path: Path) -> None:
    mean = means([0.5, 0.009, 0.011, 0.5])
    variance = np.broadcast_to([0.9, 0.1, 0.9, 0.001], mean.shape)
    found, active = mean_and_active(stored(tmp_path, mean, variance, [str(i) for i in range(21)]))
    np.testing.assert_allclose(found, mean.mean(0), rtol=1e-12)
    assert active.tolist() == [3, 0, 2]


def test_those_of_a_deterministic_model_by_falling_variance(tmp_path: Path) -> None:
    mean = means([0.02, 0.5, 0.3])
    assert mean_and_active(stored(tmp_path, mean, None, [str(i) for i in range(21)]))[1].tolist() == [1, 2, 0]


def test_a_collapsed_posterior_has_none(tmp_path: Path) -> None:
    mean = means([1e-4, 1e-3])
    assert mean_and_active(stored(tmp_path, mean, mean, [str(i) for i in range(21)]))[1].tolist() == []
