"""Load a model of a family that another package plugs in; see `families`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from vae_batch.errors import ModelError
from vae_batch.models.base import VAE, ModelCard
from vae_batch.models.entry_points import config_of, find_family
from vae_batch.models.reference import PluginReference
from vae_batch.models.shipping import sources_behind
from vae_batch.models.user_module import call, wrap


def load_plugin(reference: PluginReference, ref: str, image_size: int | None) -> VAE:
    """Call the family's loader, and try what it gives.

    Raises:
        ModelError: no package or two bring the family, its loader fails, or what it gives breaks the contract.
    """
    point = find_family(reference.family)
    loader = _loader(point, ref)
    given = call(lambda: loader(reference.argument, **reference.options), ref)
    if isinstance(given, VAE) and isinstance(given.card, ModelCard):
        given.card = _checked(given.card, reference.family, ref, image_size)
        return given
    config = config_of(reference.argument) if reference.argument else {}
    transform, extra = config.get("transform"), config.get("extra")
    return wrap(given, ref, image_size, reference.family, _identity(point, reference, config), transform, extra)


def _loader(point: EntryPoint, ref: str) -> Callable[..., Any]:
    try:
        loader = point.load()
    except Exception as error:
        raise ModelError(
            f"--model {ref}: the family {point.name} is to come from {point.value}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not callable(loader):
        raise ModelError(f"--model {ref}: the family {point.name} is {point.value}, which cannot be called")
    return loader  # type: ignore[no-any-return]


def _checked(card: ModelCard, family: str, ref: str, image_size: int | None) -> ModelCard:
    """Take the card of a whole `VAE`, which has to be complete."""
    missing = [name for name in ("digest", "image_size", "latent_shape") if not getattr(card, name)]
    if missing:
        raise ModelError(f"--model {ref}: the family {family} gave a VAE whose card lacks {', '.join(missing)}")
    if image_size not in (None, card.image_size):
        raise ModelError(f"the model {ref} takes images of {card.image_size} pixels a side, not {image_size}")
    return replace(card, family=family, reference=ref)


def _identity(point: EntryPoint, reference: PluginReference, config: dict[str, Any]) -> object:
    """Say what the values depend on beside the weights: not on where files lie, nor on how a model was trained."""
    is_path = reference.argument and Path(reference.argument).exists()
    relevant = {key: value for key, value in config.items() if key != "extra"}
    package = [point.dist.name, point.dist.version] if point.dist else []
    sources = sources_behind(point.module)
    return [point.value, package, None if is_path else reference.argument, relevant, reference.options, sources]
