"""`--model`: a folder or its URI, a name on the hub, exported programs, `module:callable?...`, `family:argument`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.entry_points import config_of, known_families, plugged_in
from vae_batch.models.families import FAMILIES
from vae_batch.models.folder import CONFIG
from vae_batch.models.hub import HUB_NAME, fetch_hub
from vae_batch.models.remote import ENCODER, fetch_model, names_program

_MODULE = re.compile(r"(?P<module>[^\W\d][\w.]*):(?P<callable>[^\W\d][\w.]*)(\?(?P<query>.*))?")
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


@dataclass(frozen=True, slots=True)
class SavedReference:
    """A folder that `save_model` or diffusers wrote; a copy of it, where the reference is a URI or a hub's."""

    folder: Path
    hub: str | None = None
    """`owner/name@commit`, where it is from the Hugging Face hub."""


@dataclass(frozen=True, slots=True)
class ModuleReference:
    """A class or function of a Python module, and what it is called with."""

    module: str
    callable: str
    """Dotted where it is an attribute of a class."""
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportedReference:
    """Exported programs."""

    location: str
    """A .pt2 file, the encoder, or a folder with encoder.pt2; a path or a URI."""


@dataclass(frozen=True, slots=True)
class PluginReference:
    """A model of a family that another package plugs in."""

    family: str
    argument: str
    """What the family's loader is called with."""
    options: dict[str, Any] = field(default_factory=dict)


Reference = SavedReference | ModuleReference | ExportedReference | PluginReference


def parse_reference(ref: str) -> Reference:
    """Tell what a reference names.

    Values of `key=value` are read as YAML scalars (`2` an int, `0.5` and `1e-3` floats, `true` a bool, `null`
    None), after percent-decoding (`%26` for an ampersand).

    Raises:
        ModelError: it is neither an existing folder, a program or a URI of one, a model of the hub, nor of the forms
            with a colon.
    """
    ref = storage.local(ref)
    if storage.is_remote(ref):
        return ExportedReference(ref) if _is_exported(ref) else _folder(fetch_model(ref))
    if Path(ref).exists() and _is_exported(ref):
        return ExportedReference(ref)
    if Path(ref).is_dir():
        return _folder(Path(ref))
    name, colon, rest = ref.partition(":")
    if colon and name in plugged_in():
        argument, _, query = rest.partition("?")
        return PluginReference(name, argument, _arguments(ref, query))
    if (hub := HUB_NAME.fullmatch(ref)) and not Path(ref).exists():
        folder = fetch_hub(ref)
        return SavedReference(folder, f"{hub['repo']}@{folder.name}")
    match = _MODULE.fullmatch(ref)
    if match is None:
        what = "is a file, not a folder" if Path(ref).exists() else "is no folder here"
        raise ModelError(
            f"--model {ref!r} {what}, and is not of the form module:callable?key=value; give a folder that "
            "`vae-batch train` or diffusers wrote, or name a torch module of your own, such as my_vae:MyVAE?width=64, "
            f"or an exported program (.pt2), or family:argument; families that are plugged in: {known_families()}"
        )
    return ModuleReference(match["module"], match["callable"], _arguments(ref, match["query"] or ""))


def absolute_reference(ref: str) -> str:
    """Name a model for processes that work in another folder; what is no path here stays what it is."""
    ref = storage.local(ref)
    if storage.is_remote(ref):
        return ref
    if Path(ref).exists():
        return str(Path(ref).absolute())
    family, _, rest = ref.partition(":")
    argument, mark, query = rest.partition("?")
    if argument and Path(argument).exists() and family in plugged_in():
        return f"{family}:{Path(argument).absolute()}{mark}{query}"
    return ref


def _is_exported(location: str) -> bool:
    """Whether a location holds programs; a config.json beside them says that it is something else."""
    if names_program(location):
        return True
    try:
        config, encoder = (storage.join(location, name) for name in (CONFIG, ENCODER))
        return not storage.exists(config) and storage.exists(encoder)
    except OSError as error:
        raise ModelError(f"the model {location} cannot be read: {error.strerror or error}") from error


def _folder(folder: Path) -> SavedReference | PluginReference:
    family = config_of(folder).get("family")
    if family not in FAMILIES and family in plugged_in():
        return PluginReference(family, str(folder))
    return SavedReference(folder)


def _arguments(ref: str, query: str) -> dict[str, Any]:
    return dict(_argument(ref, pair) for pair in query.split("&") if pair)


def _argument(ref: str, pair: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not equals or not key.isidentifier():
        raise ModelError(f"--model {ref!r}: {pair!r} is not key=value with a Python name as its key")
    return key, _scalar(unquote(text))


def _scalar(text: str) -> Any:
    if _EXPONENT.fullmatch(text):  # YAML 1.1 wants a point in the mantissa and would give a string
        return float(text)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, int | float | bool | None) else text
