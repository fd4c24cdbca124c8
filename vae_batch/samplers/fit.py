"""Ex-post density estimation: a Gaussian, or a mixture, fitted to encoded posteriors that are streamed.

After Ghosh, Sajjadi, Vergari, Black and Schölkopf, "From Variational to Deterministic Autoencoders" (2020, arXiv
1903.12436), section 4: what the decoder was trained on is the aggregate posterior, not the prior. Here each image
counts with its whole posterior N(mean, diag(variance)), not with one draw from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from vae_batch.errors import SpecError
from vae_batch.latents.covariance import Covariance
from vae_batch.latents.posteriors import Posteriors
from vae_batch.latents.take import numbers
from vae_batch.noise import uniform
from vae_batch.samplers.density import F64, Density

MAX_DIMS = 2048
"""Numbers of a latent: a covariance of more would take minutes and more than 32 MB."""
MAX_BYTES = 1 << 30
"""Of all covariances together."""
MAX_PASSES = 100
TOLERANCE = 1e-4
"""EM ends when a pass adds less to the bound, nats per image."""
RIDGE = 1e-6
"""Added to the diagonal of each covariance, as a share of the mean variance of all."""
LEAST_RIDGE = 1e-12
START_ROWS = 4096
"""Images that the start of a mixture is found on, at most; fewer above 1,024 dimensions."""
START_PASSES = 20


class Batches(Protocol):
    """What streams posteriors: (N, D) means and variances, again at each call."""

    def __call__(self) -> Iterator[tuple[F64, F64]]:
        """Begin a pass."""


@dataclass(slots=True)
class _Mixture:
    """The parameters while they are fitted; covariances, and what follows from them."""

    weights: F64
    means: F64
    covariances: F64

    def scales(self) -> F64:
        return np.asarray(np.linalg.cholesky(self.covariances), np.float64)


def check_size(dims: int, components: int) -> None:
    """Refuse what is too large for full covariances. Raises SpecError."""
    if dims > MAX_DIMS:
        raise SpecError(
            f"--sampler fitted takes latents of at most {MAX_DIMS:,} numbers, and these have {dims:,}: a full "
            "covariance would not be known from any collection of faces. Use --sampler prior or posterior"
        )
    if components * dims * dims * 8 > MAX_BYTES:
        most = MAX_BYTES // (8 * dims * dims)
        raise SpecError(f"--components {components}: with latents of {dims:,} numbers at most {most} fit into 1 GB")


def fit(posteriors: Posteriors, components: int, seed: int, say: Callable[[str], None] = lambda line: None) -> Density:
    """Fit a density to posteriors, streamed as often as it takes.

    Args:
        posteriors: of N images.
        components: K; 1 is a Gaussian with the moments of the aggregate posterior, in one pass.
        seed: of a mixture's start.
        say: takes lines about how it went.

    Raises:
        SpecError: more components than images.
    """
    if components > posteriors.total:
        raise SpecError(f"--components {components}: there are {posteriors.total} images to fit them to")
    with threadpool_limits(1, "blas"):  # more threads wait for each other on a busy machine, and may round otherwise
        return _fitted(posteriors, components, seed, say)


def _fitted(posteriors: Posteriors, components: int, seed: int, say: Callable[[str], None]) -> Density:
    rows = posteriors.total
    mean, covariance = aggregate_moments(posteriors.batches, posteriors.dims)
    ridge = RIDGE * float(np.trace(covariance)) / len(mean) + LEAST_RIDGE
    mixture = _Mixture(np.ones(1), mean[None], _with_ridge(covariance[None], ridge))
    facts: dict[str, Any] = {"rows": rows, "components": components, "seed": seed}
    if components > 1:
        start = _start_rows(posteriors, seed)
        mixture = _start(start, components, seed, mixture, ridge)
        mixture, history = expectation_maximisation(posteriors.batches, mixture, ridge)
        facts |= {"passes": len(history), "bound": history[-1], "gain": history[-1] - history[0]}
        ended = "converged" if len(history) < MAX_PASSES else f"stopped after {MAX_PASSES} passes, not converged"
        say(
            f"Fitted {components} Gaussians to {rows:,} posteriors in {len(history)} passes ({ended}); bound "
            f"{history[-1]:.3f} nats per image, weights {_percent(mixture.weights)}."
        )
    else:
        say(f"Fitted a Gaussian to {rows:,} posteriors.")
    return Density(mixture.weights, mixture.means, mixture.scales(), facts)


def aggregate_moments(batches: Batches, dims: int) -> tuple[F64, F64]:
    """Give mean (D,) and covariance (D, D) of the aggregate posterior (1/N) sum_n N(mean_n, diag(variance_n)).

    The covariance is that of the means, divided by N, plus the mean of the variances on the diagonal.
    """
    spread, variances = Covariance(dims), np.zeros(dims)
    for mean_ND, variance_ND in batches():
        spread.add(mean_ND)
        variances += variance_ND.sum(0)
    mean, covariance = spread.moments()
    return mean, covariance + np.diag(variances / spread.count)


def expectation_maximisation(batches: Batches, mixture: _Mixture, ridge: float) -> tuple[_Mixture, list[float]]:
    """Fit a mixture to posteriors by EM; one pass over the data at a time.

    E: responsibilities from the expected log-density,
       E_q[log N(z; m, S)] = log N(mean; m, S) - tr(S^-1 diag(variance))/2.
    M: with the second moments mean·mean^T + diag(variance). Each pass raises the bound (but for the ridge).

    Returns:
        The mixture, and the bound in nats per image at the start of each pass.
    """
    history: list[float] = []
    while len(history) < MAX_PASSES:
        bound, better = _pass(batches, mixture, ridge)
        history.append(bound)
        if len(history) > 1 and bound - history[-2] < TOLERANCE:
            break
        mixture = better
    return mixture, history


def _pass(batches: Batches, mixture: _Mixture, ridge: float) -> tuple[float, _Mixture]:
    """Go through the data once; give the bound of the mixture as it is, and a better one."""
    components, dims = mixture.means.shape
    inverses = np.asarray(np.linalg.inv(mixture.scales()), np.float64)
    rows, bound = 0, 0.0
    shares, first, second = np.zeros(components), np.zeros((components, dims)), np.zeros((components, dims, dims))
    for mean_ND, variance_ND in batches():
        log_NK = _expected_log_density(mean_ND, variance_ND, mixture, inverses)
        top = log_NK.max(1, keepdims=True)
        total = top + np.log(np.exp(log_NK - top).sum(1, keepdims=True))
        share_NK = np.exp(log_NK - total)
        rows, bound = rows + len(mean_ND), bound + float(total.sum())
        shares += share_NK.sum(0)
        for k in range(components):
            centred = mean_ND - mixture.means[k]
            weighted = centred * share_NK[:, k, None]
            first[k] += weighted.sum(0)
            second[k] += centred.T @ weighted + np.diag(share_NK[:, k] @ variance_ND)
    return bound / rows, _maximised(mixture, rows, shares, first, second, ridge)


def _expected_log_density(mean_ND: F64, variance_ND: F64, mixture: _Mixture, inverses: F64) -> F64:
    """Give (N, K): log weights[k] + E_q[log N(z; means[k], covariances[k])]."""
    components, dims = mixture.means.shape
    out = np.empty((len(mean_ND), components))
    for k in range(components):
        standard = (mean_ND - mixture.means[k]) @ inverses[k].T
        precision = (inverses[k] ** 2).sum(0)  # the diagonal of S^-1
        log_root = np.log(np.diag(inverses[k])).sum()
        spread = (standard**2).sum(1) + variance_ND @ precision
        out[:, k] = np.log(mixture.weights[k]) + log_root - 0.5 * (dims * np.log(2 * np.pi) + spread)
    return out


def _maximised(mixture: _Mixture, rows: int, shares: F64, first: F64, second: F64, ridge: float) -> _Mixture:
    """The M-step; a component with less than half an image stays as it is, with the weight of one half."""
    means, covariances = mixture.means.copy(), mixture.covariances.copy()
    for k in np.flatnonzero(shares >= 0.5):
        away = first[k] / shares[k]
        means[k] += away
        covariance = second[k] / shares[k] - np.outer(away, away)
        covariances[k] = _with_ridge((covariance + covariance.T) / 2, ridge)
    held = np.maximum(shares, 0.5)
    return _Mixture(held / held.sum(), means, covariances)


def _with_ridge(covariance: F64, ridge: float) -> F64:
    return covariance + ridge * np.eye(covariance.shape[-1])


def _start_rows(posteriors: Posteriors, seed: int) -> F64:
    """Give the means of some images, the same for a seed."""
    most = min(START_ROWS, START_ROWS * 1024 // posteriors.dims)
    if posteriors.total <= most:
        positions = np.arange(posteriors.total)
    else:
        drawn = uniform(seed, [f"fit/row/{i}" for i in range(most)])
        positions = np.unique((drawn * posteriors.total).astype(np.int64))
    return numbers(posteriors.take(positions)["mean"], np.float64)


def _start(means_ND: F64, components: int, seed: int, whole: _Mixture, ridge: float) -> _Mixture:
    """Begin with the clusters of k-means on some of the means; all with one covariance.

    The start is k-means++ (Arthur and Vassilvitskii 2007).
    """
    centres, home = k_means(means_ND, components, seed)
    within = means_ND - centres[home]
    covariance = within.T @ within / len(within) + whole.covariances[0] / len(within)
    sizes = np.maximum(np.bincount(home, minlength=components), 1)
    return _Mixture(sizes / sizes.sum(), centres, np.repeat(_with_ridge(covariance[None], ridge), components, axis=0))


def k_means(x_ND: F64, components: int, seed: int) -> tuple[F64, npt.NDArray[np.int64]]:
    """Give (K, D) centres, and to which each row belongs, (N,)."""
    drawn = uniform(seed, [f"fit/centre/{k}" for k in range(components)])
    centres = x_ND[[int(drawn[0] * len(x_ND))]]
    nearest = _distances(x_ND, centres)[:, 0]
    for k in range(1, components):
        cumulated = np.cumsum(nearest)
        chosen = min(int(np.searchsorted(cumulated, drawn[k] * cumulated[-1], side="right")), len(x_ND) - 1)
        centres = np.vstack([centres, x_ND[chosen]])
        nearest = np.minimum(nearest, _distances(x_ND, centres[-1:])[:, 0])
    home = _distances(x_ND, centres).argmin(1)
    for _ in range(START_PASSES):
        held = np.unique(home)
        centres[held] = [x_ND[home == k].mean(0) for k in held]
        before, home = home, _distances(x_ND, centres).argmin(1)
        if np.array_equal(before, home):
            break
    return centres, home


def _distances(x_ND: F64, centres_KD: F64) -> F64:
    """Squared distances, (N, K)."""
    return np.stack([((x_ND - centre) ** 2).sum(1) for centre in centres_KD], axis=1)


def _percent(weights: F64) -> str:
    shown = ", ".join(f"{100 * w:.0f} %" for w in np.sort(weights)[::-1][:8])
    return shown + (", …" if len(weights) > 8 else "")
