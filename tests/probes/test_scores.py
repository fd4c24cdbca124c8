from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch.probes import auc, r_squared
from vae_batch.probes.scores import platt, sigmoid


def test_auc_counts_pairs() -> None:
    scores, target = np.array([1.0, 2, 2, 3, 0]), np.array([0.0, 0, 1, 1, 1])
    pairs = [(p > n) + 0.5 * (p == n) for p in (2, 3, 0) for n in (1, 2)]
    assert auc(scores, target) == pytest.approx(np.mean(pairs))
    assert r_squared(target, target) == 1.0


def test_platt_finds_the_sigmoid_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(200_000)
    slope, offset = platt(scores, rng.random(len(scores)) < sigmoid(3 * scores - 1))
    assert (slope, offset) == (pytest.approx(3, abs=0.05), pytest.approx(-1, abs=0.03))


@given(st.integers(0, 10**6), st.floats(1e-6, 1e6), st.integers(1, 30), st.integers(1, 30))
def test_platt_is_finite_and_calibrated_where_scores_part_the_values(
    seed: int, scale: float, more: int, less: int
) -> None:
    rng = np.random.default_rng(seed)
    positive = np.arange(more + less) < more
    scores = scale * (rng.random(len(positive)) + positive)
    slope, offset = platt(scores, positive)
    probability = sigmoid(slope * scores + offset)
    assert slope > 0 and np.isfinite([slope, offset]).all()
    wanted = np.where(positive, (more + 1) / (more + 2), 1 / (less + 2)).mean()
    assert probability.mean() == pytest.approx(wanted, abs=1e-4)  # what a fitted offset always gives
