"""Models: what a VAE is to the rest of the package, the built-in networks, those of others, save and load.

`--model` is a folder, a name on the hub, `module:callable?key=value`, an exported program, or `family:argument`;
`describe_model` and `load_model` take each. Nothing here imports torch until a model is loaded.
"""

from vae_batch.models.base import VAE, ModelCard, Precision
from vae_batch.models.gaussian import DiagonalGaussian
from vae_batch.models.load import describe_model, load_model, resolve_model
from vae_batch.models.memory import memory_watched, out_of_memory
from vae_batch.models.shipping import install_sources, module_sources

__all__ = [
    "VAE",
    "DiagonalGaussian",
    "ModelCard",
    "Precision",
    "describe_model",
    "install_sources",
    "load_model",
    "memory_watched",
    "module_sources",
    "out_of_memory",
    "resolve_model",
]
