"""`load_model` and `describe_model`: from a reference to a model, or to its card alone."""

from __future__ import annotations

from vae_batch.models.base import VAE, ModelCard
from vae_batch.models.diffusers_folder import describe_diffusers, find_diffusers
from vae_batch.models.folder import describe_saved
from vae_batch.models.reference import ExportedReference, PluginReference, SavedReference, parse_reference


def load_model(ref: str, image_size: int | None = None, trust_model_code: bool = False) -> VAE:
    """Load a model.

    Args:
        ref: a folder that `vae-batch train` wrote; a folder or `owner/name[@revision]` on the Hugging Face hub with an
            autoencoder of diffusers, or with a pipeline's in `vae/`; or `module:callable?key=value&...`, where the
            callable (a class or a function) gives a `torch.nn.Module` with `encode` and `decode`, and the module is
            looked for in the working directory and in the environment; or exported programs, see `models.exported`; or
            `family:argument?key=value&...` or a folder of a family that is plugged in, see `models.entry_points`.
        image_size: pixels a side that images will have; None: the model's own.
        trust_model_code: load a file that can run code when it is loaded: an exported program.

    Returns:
        The model, float32 on the CPU; call `prepare` before a long run.

    Raises:
        ModelError: there is no such model, it is damaged, it is not trusted, or it does not keep the contract.
    """
    reference = parse_reference(ref)
    if isinstance(reference, SavedReference):
        if folder := find_diffusers(reference.folder):
            from vae_batch.models.diffusers_vae import load_diffusers

            return load_diffusers(folder, ref, image_size)
        from vae_batch.models.save import load_saved

        return load_saved(reference.folder, ref, image_size)
    if isinstance(reference, ExportedReference):
        from vae_batch.models.exported import load_exported

        return load_exported(reference, ref, image_size, trust_model_code)
    if isinstance(reference, PluginReference):
        from vae_batch.models.plugin import load_plugin

        return load_plugin(reference, ref, image_size)
    from vae_batch.models.user_module import load_module

    return load_module(reference, ref, image_size)


def describe_model(ref: str, image_size: int | None = None, trust_model_code: bool = False) -> ModelCard:
    """Describe a model: without torch for a folder, by trying it on a black image for others.

    Raises:
        ModelError: as `load_model`.
    """
    reference = parse_reference(ref)
    if isinstance(reference, SavedReference):
        if folder := find_diffusers(reference.folder):
            return describe_diffusers(folder, ref, image_size)
        return describe_saved(reference.folder, ref, image_size)
    return load_model(ref, image_size, trust_model_code).card


def resolve_model(ref: str) -> str:
    """Name a model of the hub by its commit, `owner/name@commit`, so that all mean the same; others stay as they are.

    Raises:
        ModelError: there is no such model.
    """
    reference = parse_reference(ref)
    return reference.hub if isinstance(reference, SavedReference) and reference.hub else ref
