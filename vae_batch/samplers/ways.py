"""Ways from one latent to another."""

from __future__ import annotations

import numpy as np

from vae_batch.samplers.density import F64

LEAST_SINE = 1e-6
"""Of the angle between two latents; below it they count as parallel."""


def lerp(a_ND: F64, b_ND: F64, t_N: F64) -> F64:
    """(1 - t)·a + t·b."""
    t = t_N[:, None]
    return (1 - t) * a_ND + t * b_ND


def slerp(a_ND: F64, b_ND: F64, t_N: F64) -> F64:
    """Give the point at t on the arc from a to b around 0, whose length goes evenly from that of a to that of b.

    The direction is (sin((1 - t)·angle)·a/|a| + sin(t·angle)·b/|b|) / sin(angle) (Shoemake, "Animating rotation with
    quaternion curves", 1985; for latents White, "Sampling generative networks", 2016, arXiv 1609.04468), the length
    (1 - t)·|a| + t·|b|. Where a or b is 0, or they point the same or the opposite way, it is `lerp`.
    """
    lengths = [np.sqrt((x**2).sum(1, keepdims=True)) for x in (a_ND, b_ND)]
    a, b = (x / np.where(length > 0, length, 1.0) for x, length in zip((a_ND, b_ND), lengths, strict=True))
    # Half the angle's sine and cosine, times two: exact for small angles too, where the arc cosine is not.
    angle = 2 * np.arctan2(np.sqrt(((a - b) ** 2).sum(1)), np.sqrt(((a + b) ** 2).sum(1)))[:, None]
    sine, t = np.sin(angle), t_N[:, None]
    round_ND = np.sin((1 - t) * angle) * a + np.sin(t * angle) * b
    curved = (sine > LEAST_SINE) & (lengths[0] > 0) & (lengths[1] > 0)
    arc = ((1 - t) * lengths[0] + t * lengths[1]) * round_ND / np.where(curved, sine, 1.0)
    return np.asarray(np.where(curved, arc, lerp(a_ND, b_ND, t_N)))
