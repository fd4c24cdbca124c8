from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch.analysis.frechet import frechet_distance
from vae_batch.latents.covariance import Covariance


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 12), st.sampled_from([0.0, 1e3]))
def test_it_is_its_formula(seed: int, dims: int, rows: int, far: float) -> None:
    """With the eigenvalues of the product itself, for singular covariances too."""
    rng = np.random.default_rng(seed)
    (m, a), (n, b) = (
        (x.mean(0) + far, np.atleast_2d(np.cov(x.T, bias=True)))
        for x in (rng.standard_normal((rows, dims)), rng.uniform(0, 2, (rows, dims)))
    )
    root = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    wanted = ((m - n) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * root
    assert frechet_distance(m, a, n, b) == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert frechet_distance(m, a, n, b) == pytest.approx(frechet_distance(n, b, m, a), rel=1e-5, abs=1e-5)


def test_of_diagonal_covariances_it_is_that_of_the_standard_deviations() -> None:
    a, b = np.diag([1.0, 4.0, 0.0]), np.diag([9.0, 4.0, 1.0])
    assert frechet_distance(np.zeros(3), a, np.array([2.0, 0, 0]), b) == pytest.approx(4 + 4 + 0 + 1)
    assert frechet_distance(np.ones(3), b, np.ones(3), b) == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 40), st.sampled_from([0.0, 1e4]))
def test_halves_put_together_are_the_whole(seed: int, rows: int, more: int, far: float) -> None:
    x = far + np.random.default_rng(seed).standard_normal((rows + more, 3))
    first, second = Covariance(3), Covariance(3)
    first.add(x[: rows // 2])
    first.add(x[rows // 2 : rows])
    second.add(x[rows:])
    for merged in (first.merged(second), second.merged(first)):
        mean, covariance = merged.moments()
        np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), atol=1e-8 if far == 0 else 1e-5)
