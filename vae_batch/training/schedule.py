"""How long a training is, and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vae_batch.specs import TrainSpec

DEFAULT_EPOCHS = 20
WARM_UP = 0.1
"""Share of the steps over which the learning rate rises: the convolutions start at nothing, and Adam would throw them
about."""
VALIDATION_STEPS = 100, 10_000
"""Least and most steps between two validations; else one an epoch."""


def total_steps(spec: TrainSpec, images: int) -> int:
    """Give the number of steps of a training on so many images."""
    if spec.steps is not None:
        return spec.steps
    return (spec.epochs or DEFAULT_EPOCHS) * steps_per_epoch(spec, images)


def steps_per_epoch(spec: TrainSpec, images: int) -> int:
    """Give the whole batches in a pass; a collection smaller than a batch is one batch."""
    return max(1, images // spec.batch_size)


def validation_steps(per_epoch: int) -> int:
    """Give the steps between two validations: a whole number of epochs, unless these are very long."""
    least, most = VALIDATION_STEPS
    return min(most, per_epoch * math.ceil(least / per_epoch))


def learning_rate_factor(step: int, steps: int) -> float:
    """Rise linearly over the first steps, then fall along half a cosine to zero (Loshchilov and Hutter 2017).

    Args:
        step: from 0.
        steps: in all.
    """
    warm = max(1.0, WARM_UP * steps)
    return min(1.0, (step + 1) / warm) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def cut_short(spec: TrainSpec, steps: int) -> Iterator[str]:
    """Say what of the rate's schedule is not over when the training is."""
    for name, rise, what in (
        ("kl_warm_up", spec.kl_warm_up, "weight of the rate"),
        ("capacity_steps", spec.capacity_steps or 0, "capacity"),
    ):
        if rise > steps:
            yield f"Note: {name}={rise:,}, but there are only {steps:,} steps: the {what} does not rise to its end."
