"""`load_model` and `describe_model`: from a reference to a model, or to its card alone."""

from __future__ import annotations

from vae_batch.models.base import VAE, ModelCard
from vae_batch.models.folder import describe_saved
from vae_batch.models.reference import SavedReference, parse_reference


def load_model(ref: str, image_size: int | None = None) -> VAE:
    """Load a model.

    Args:
        ref: a folder that `vae-batch train` wrote, or `module:callable?key=value&...`, where the callable (a class
            or a function) gives a `torch.nn.Module` with `encode` and `decode`; the module is looked for in the
            working directory and in the environment.
        image_size: pixels a side that images will have; None: the model's own.

    Returns:
        The model, float32 on the CPU; call `prepare` before a long run.

    Raises:
        ModelError: there is no such model, it is damaged, or it does not keep the contract.
    """
    reference = parse_reference(ref)
    if isinstance(reference, SavedReference):
        from vae_batch.models.save import load_saved

        return load_saved(reference.folder, ref, image_size)
    from vae_batch.models.user_module import load_module

    return load_module(reference, ref, image_size)


def describe_model(ref: str, image_size: int | None = None) -> ModelCard:
    """Describe a model: without torch for a saved folder, by trying it on one black image for a user's module.

    Raises:
        ModelError: as `load_model`.
    """
    reference = parse_reference(ref)
    if isinstance(reference, SavedReference):
        return describe_saved(reference.folder, ref, image_size)
    return load_model(ref, image_size).card
