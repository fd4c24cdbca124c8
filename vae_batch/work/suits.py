"""Whether a model can do what a job asks of it."""

from __future__ import annotations

from vae_batch.errors import SpecError
from vae_batch.models import ModelCard
from vae_batch.specs import EncodeSpec


def check_model_suits(spec: EncodeSpec, card: ModelCard) -> list[str]:
    """Refuse what the model cannot do; give lines for the user about what it makes of the job.

    Raises:
        SpecError: diagnostics without a decoder, or batches that the model does not take.
    """
    if spec.diagnostics and not card.decodes:
        raise SpecError(
            f"diagnostics decode the posterior's mean, and {spec.model} has no decoder: leave them out, or give a "
            "folder with encoder.pt2 and decoder.pt2"
        )
    if card.batch_sizes is None:
        return []
    low, high = card.batch_sizes
    if spec.batch_size and spec.batch_size != card.nearest_batch(spec.batch_size):
        taken = f"{low}" if high == low else f"{low} and more" if high is None else f"{low} to {high}"
        raise SpecError(f"batch_size={spec.batch_size}: {spec.model} was exported for batches of {taken} images")
    return [f"Batches of {low} images: the model takes no others."] if low == high and not spec.batch_size else []
