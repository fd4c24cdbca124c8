"""How good a model is on images that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vae_batch.latents.moments import ACTIVE_THRESHOLD
from vae_batch.models.arrays import to_float
from vae_batch.training.draws import normals
from vae_batch.training.gradients import BatchGradients
from vae_batch.training.loss import Objective
from vae_batch.training.ssim import ssim

MOST = 10_000
"""Images looked at; more would not make the figures better."""
WORSE = 0.01
"""Share of the best ELBO of held-out images by which the last one may be worse before that is said."""
COLLAPSED_RATE = 0.1
"""Nats per image below which a posterior says as good as nothing of its image."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Means over the images held out; a line of metrics.jsonl with `"split": "validation"`."""

    images: int
    distortion: float
    """Nats per image, of one sample of the posterior."""
    rate: float
    """Nats per image."""
    elbo: float
    """-(distortion + rate), nats per image, whatever the weight of the rate in training."""
    distortion_bits: float
    """Bits per dimension."""
    rate_bits: float
    """Bits per dimension."""
    sigma: float | None
    """Of the likelihood; None for a Bernoulli."""
    mse: float
    """Of one sample of the posterior."""
    psnr: float
    """dB, of the reconstruction from the posterior mean; mean over images."""
    ssim: float
    """Of the same reconstruction."""
    active_units: int
    """Dimensions whose posterior mean varies."""
    active_threshold: float
    """The least variance of an active one."""
    mean_variance: list[float]
    """Variance over images of the posterior mean, by dimension."""
    kl: list[float]
    """Mean KL by dimension, nats."""


class Validator:
    """Looks at the held-out images, some at a time.

    Args:
        images_NHWC: uint8.
        index: the numbers of those held out, over all processes.
        gradients: has the model, the objective, the threads and the team of the training.
        batch_size: images at a time, over all processes.
        seed: of the samples; the same ones every time.
    """

    def __init__(
        self, images_NHWC: Tensor, index: Tensor, gradients: BatchGradients, batch_size: int, seed: int
    ) -> None:
        self.images, self.index, self.training, self.seed = images_NHWC, index[:MOST], gradients, seed
        self.batch_size = max(1, batch_size // gradients.team.size)
        self.shape = gradients.model.card.latent_shape

    def __call__(self) -> Validation:
        """Give the figures."""
        t = self.training
        total = torch.zeros(4 + 3 * math.prod(self.shape), dtype=torch.float64)
        eps = t.team.share(normals(self.seed, 0, (len(self.index), *self.shape)))
        index = t.team.share(self.index)
        for some, noise in zip(*(torch.split(all_, self.batch_size) for all_ in (index, eps)), strict=True):
            x = to_float(self.images[some].to(t.weights.values.device))
            parts = t.threads.map(self._sums, t.threads.split(x, noise.to(x.device)))
            total += torch.stack(parts).sum(0)
        return summarise(t.team.reduce(total), len(self.index), t.objective)

    @torch.no_grad()
    def _sums(self, x_BCHW: Tensor, eps: Tensor) -> Tensor:
        """Give the objective's sums, then those of PSNR, SSIM, and the mean and its square by dimension; float64."""
        t = self.training
        if not len(x_BCHW):
            return torch.zeros(4 + 3 * math.prod(self.shape), dtype=torch.float64)
        with torch.autocast(x_BCHW.device.type, t.dtype, enabled=t.dtype is not None):
            mean = t.model.encode(x_BCHW).mean
            y = t.model.decode(mean).float()
        error = (x_BCHW - y).square().mean((1, 2, 3)).double()
        psnr = -10.0 * error.clamp_min(1e-10).log10()
        mean_BZ = mean.flatten(1).double()
        return torch.cat([
            t.objective.sums(t.model, x_BCHW, eps, t.dtype).double(),
            torch.stack([psnr.sum(), ssim(x_BCHW, y).double().sum()]),
            mean_BZ.sum(0),
            mean_BZ.square().sum(0),
        ]).cpu()  # fmt: skip


def summarise(sums: Tensor, images: int, objective: Objective) -> Validation:
    """Make the figures from the sums over so many images."""
    dims = (len(sums) - 4) // 3
    elbo = objective.elbo(sums[: 2 + dims], images)
    distortion, rate, mse = (getattr(elbo, name).item() for name in ("distortion", "rate", "mse"))
    psnr, similarity = (sums[2 + dims : 4 + dims] / images).tolist()
    mean_Z, square_Z = (sums[4 + dims :] / images).chunk(2)
    variance_Z = square_Z - mean_Z.square()
    bits = objective.bits(distortion, rate)
    return Validation(
        images=images,
        distortion=distortion,
        rate=rate,
        elbo=-(distortion + rate),
        distortion_bits=bits[0],
        rate_bits=bits[1],
        sigma=objective.spread(mse),
        mse=mse,
        psnr=psnr,
        ssim=similarity,
        active_units=int((variance_Z >= ACTIVE_THRESHOLD).sum()),
        active_threshold=ACTIVE_THRESHOLD,
        mean_variance=variance_Z.tolist(),
        kl=(sums[2 : 2 + dims] / images).tolist(),
    )


def collapse(rate: float, found: Validation | None, terms: str) -> str | None:
    """Say that the posterior has collapsed, if it has.

    Args:
        rate: of the training at its end, nats per image.
        found: the last validation, where there was one.
        terms: as in the spec.
    """
    signs = [f"the rate is {rate:.3f} nats per image"] if rate < COLLAPSED_RATE else []
    if found is not None and not found.active_units:
        signs.append(
            f"no dimension of {len(found.kl)} is active (variance of the posterior mean >= {ACTIVE_THRESHOLD})"
        )
    if not signs:
        return None
    causes = {"kl": "as only the KL term was trained", "reconstruction": "without the KL term, train for longer"}
    asked = causes.get(terms, "try a lower beta, kl_warm_up or free_bits")
    return (
        f"Posterior collapse: {' and '.join(signs)}. Every posterior is about the prior N(0, I), and latents say "
        f"nothing about their images; {asked}."
    )


def overfitting(lines: Sequence[Mapping[str, Any]]) -> str | None:
    """Say that held-out images were better modelled earlier in the training, if they were.

    Args:
        lines: the validations, in order, with `step` and `elbo`, nats per image.
    """
    if not lines:
        return None
    best, last = max(lines, key=lambda line: line["elbo"]), lines[-1]
    lost = best["elbo"] - last["elbo"]
    if lost <= WORSE * abs(best["elbo"]):
        return None
    return (
        f"Overfitting: the ELBO of the held-out images was best at step {best['step']:,}, {best['elbo']:,.0f} nats per "
        f"image, and ends {lost:,.0f} lower. More images, a smaller network (--latent-dim, --width) or fewer --steps, "
        "into another folder, may do better on new images."
    )
