"""The places that a spec names, as they are kept and sent: the same in any working directory."""

from __future__ import annotations

from pathlib import Path

from vae_batch import storage
from vae_batch.models.reference import absolute_reference
from vae_batch.specs import EncodeSpec


def absolute(spec: EncodeSpec) -> EncodeSpec:
    """Name everything that a spec is made from absolutely; a model that is no path stays what it is."""
    places = {
        "source": _absolute(spec.source),
        "model": absolute_reference(spec.model),
        "out": storage.absolute(spec.out),
        "labels": tuple(map(_absolute, spec.labels)),
        "exclude": _absolute(spec.exclude) if spec.exclude else None,
    }
    return spec.model_copy(update=places)


def _absolute(location: str) -> str:
    location = storage.local(location)
    return storage.absolute(location if storage.is_remote(location) else Path(location).expanduser())


def lies_in(out: str, source: str) -> bool:
    """Whether OUT is the source's folder or in it; both absolute."""
    if storage.is_remote(out) or storage.is_remote(source):
        inner, outer = out.partition("?")[0], source.partition("?")[0]
        return f"{inner}/".startswith(f"{outer}/")
    return Path(source).is_dir() and Path(out).resolve().is_relative_to(Path(source).resolve())
