"""Whether a model can do what a job asks of it, and what becomes of the job where it can do a little less."""

from __future__ import annotations

from typing import TypeVar

from vae_batch.errors import SpecError
from vae_batch.models import ModelCard
from vae_batch.specs import EncodeSpec, WorkSpec

S = TypeVar("S", bound=WorkSpec)


def in_its_precision(spec: S, card: ModelCard) -> tuple[S, list[str]]:
    """Give the spec in a precision that the model runs in, and remarks on what changed."""
    precision = card.runs_in(spec.precision)
    if precision == spec.precision:
        return spec, []
    remark = (
        f"Precision: {precision} instead of {spec.precision}, which the model's activations do not fit (force_upcast "
        "in its config.json). bf16 has the range of fp32."
    )
    return spec.model_copy(update={"precision": precision}), [remark]


def check_encodes(spec: EncodeSpec, card: ModelCard) -> None:
    """Refuse what only another model could encode. Raises SpecError: nothing to scale by, or no decoder."""
    if spec.scaled and card.scaling is None:
        raise SpecError(
            f"--scaled: the model {spec.model} names no scaling_factor, shift_factor or latents_mean and latents_std; "
            "only autoencoders of diffusers do"
        )
    if spec.diagnostics and not card.decodes:
        raise SpecError(
            f"diagnostics decode the posterior's mean, and {spec.model} has no decoder: leave them out, or give a "
            "folder with encoder.pt2 and decoder.pt2"
        )


def check_batches(spec: WorkSpec, card: ModelCard) -> list[str]:
    """Refuse batches that the model does not take; give lines for the user about those that it takes.

    Raises:
        SpecError: it takes others.
    """
    if card.batch_sizes is None:
        return []
    low, high = card.batch_sizes
    if spec.batch_size and spec.batch_size != card.nearest_batch(spec.batch_size):
        taken = f"{low}" if high == low else f"{low} and more" if high is None else f"{low} to {high}"
        raise SpecError(f"batch_size={spec.batch_size}: {spec.model} was exported for batches of {taken} images")
    return [f"Batches of {low} images: the model takes no others."] if low == high and not spec.batch_size else []
