"""How good predictions are, and how a score becomes a probability."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

PLATT_STEPS = 100
PLATT_TOLERANCE = 1e-10


def r_squared(predicted: F64, target: F64) -> float:
    """Share of the target's variance that the prediction explains; below 0 it is worse than the mean."""
    return float(1.0 - np.square(target - predicted).sum() / np.square(target - target.mean()).sum())


def auc(scores: F64, target: F64) -> float:
    """Area under the ROC curve: the chance that a row of the higher value scores above one of the lower.

    Mann and Whitney's U over the ranks, ties counted half.
    """
    positive = target == target.max()
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    pairs = float(positive.sum()) * float((~positive).sum())
    return float((ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2.0) / pairs)


def platt(scores: F64, positive: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Fit (slope, offset) so that sigmoid(slope·score + offset) is the probability of `positive`.

    Platt, "Probabilistic outputs for support vector machines" (1999): logistic regression on the score, with targets
    a little inside 0 and 1, so that it is finite where the scores part the two. Newton's steps, halved until the loss
    falls (Lin, Lin and Weng 2007).
    """
    more, less = float(positive.sum()), float((~positive).sum())
    target = np.where(positive, (more + 1) / (more + 2), 1 / (less + 2))
    inputs = np.stack([scores, np.ones_like(scores)], axis=1)
    line = np.array([0.0, np.log((more + 1) / (less + 1))])
    loss = _log_loss(inputs @ line, target)
    for _ in range(PLATT_STEPS):
        share = sigmoid(inputs @ line)
        hessian = (inputs * (share * (1 - share))[:, None]).T @ inputs + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, inputs.T @ (target - share))
        while (lower := _log_loss(inputs @ (line + step), target)) > loss and np.abs(step).max() > PLATT_TOLERANCE:
            step = step / 2
        if loss - lower < PLATT_TOLERANCE * len(scores):
            break
        line, loss = line + step, lower
    return float(line[0]), float(line[1])


def sigmoid(x: F64) -> F64:
    """1 / (1 + exp(-x)); no x overflows."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def _log_loss(logits: F64, target: F64) -> float:
    return float((np.logaddexp(0.0, logits) - target * logits).sum())
