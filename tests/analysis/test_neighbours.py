"""Precision, recall, density, coverage and nearest neighbours against what their formulas say, point by point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch.analysis import neighbours
from vae_batch.analysis.neighbours import Nearest, Prdc, prdc
from vae_batch.errors import SpecError

Points = np.ndarray


def grid(least: int) -> st.SearchStrategy[Points]:
    """Few whole numbers: ties and equal points abound, and squares are exact."""
    row = st.tuples(*[st.integers(-2, 2)] * 2)
    return st.lists(row, min_size=least, max_size=14).map(lambda rows: np.array(rows, np.float64).reshape(-1, 2))


def naive(real: Points, generated: Points, k: int) -> Prdc:
    def far(x: Points, y: Points) -> float:
        return float(((x - y) ** 2).sum())

    def radii(points: Points) -> list[float]:
        return [sorted(far(x, y) for j, y in enumerate(points) if j != i)[k - 1] for i, x in enumerate(points)]

    of_real, of_generated = radii(real), radii(generated)
    inside = [[far(x, y) < r for x, r in zip(real, of_real, strict=True)] for y in generated]
    recalled = [any(far(x, y) < r for y, r in zip(generated, of_generated, strict=True)) for x in real]
    return Prdc(
        precision=sum(map(any, inside)) / len(generated),
        recall=sum(recalled) / len(real),
        density=sum(map(sum, inside)) / len(generated) / k,
        coverage=sum(any(row[i] for row in inside) for i in range(len(real))) / len(real),
    )


@given(grid(4), grid(4), st.integers(1, 3), st.integers(1, 5))
def test_prdc_is_that_of_its_definition(real: Points, generated: Points, k: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK", block)
        found, wanted = prdc(real, generated, k), naive(real, generated, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name)), name


def test_samples_of_one_distribution_are_alike_and_a_narrow_one_lacks_variety() -> None:
    rng = np.random.default_rng(0)
    real, same, narrow = (s * rng.standard_normal((800, 4)) for s in (1.0, 1.0, 0.2))
    alike, dull = prdc(real, same), prdc(real, narrow)
    assert alike.density == pytest.approx(1, abs=0.1) and alike.coverage > 0.9
    assert dull.precision > 0.99 and dull.density > 1.1 and dull.recall < 0.1 and dull.coverage < 0.3


@pytest.mark.parametrize("sizes", [(5, 9), (9, 5)])
def test_more_neighbours_than_there_are_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(SpecError, match="k=5 neighbours want more than 5 images in each set, and one has 5"):
        prdc(*(np.zeros((size, 2)) for size in sizes), k=5)


@given(grid(1), st.lists(grid(1), min_size=1, max_size=4))
def test_the_nearest_of_a_stream_is_that_of_all_at_once(points: Points, batches: list[Points]) -> None:
    nearest, every = Nearest(points), np.concatenate(batches)
    names = [f"p{i}" for i in range(len(every))]
    ends = np.cumsum([0, *map(len, batches)])
    for number, batch in enumerate(batches):
        nearest.add(names[ends[number] : ends[number + 1]], batch)
    far = np.sqrt(((points[:, None] - every) ** 2).sum(2))
    np.testing.assert_array_equal(nearest.distance, far.min(1))
    assert [far[i, names.index(name)] for i, name in enumerate(nearest.ids)] == far.min(1).tolist()


def test_what_is_equal_is_at_a_distance_of_zero_far_from_the_origin() -> None:
    points = 1e3 + np.random.default_rng(0).standard_normal((50, 7))
    nearest = Nearest(points)
    nearest.add([str(i) for i in range(50)], points)
    assert not nearest.distance.any() and nearest.ids == [str(i) for i in range(50)]
