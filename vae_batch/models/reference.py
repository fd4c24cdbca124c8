"""`--model`: a folder, here or under a URI, a name on the hub, or `module:callable?key=value&key=value`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.hub import HUB_NAME, fetch_hub
from vae_batch.models.remote import fetch_model

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


def parse_reference(ref: str) -> SavedReference | ModuleReference:
    """Tell what a reference names.

    Values of `key=value` are read as YAML scalars (`2` an int, `0.5` and `1e-3` floats, `true` a bool, `null`
    None), after percent-decoding (`%26` for an ampersand).

    Raises:
        ModelError: it is neither an existing folder, a URI of one or a model of the hub, nor of the form
            `module:callable?key=value`.
    """
    ref = storage.local(ref)
    if storage.is_remote(ref):
        return SavedReference(fetch_model(ref))
    if Path(ref).is_dir():
        return SavedReference(Path(ref))
    if (name := HUB_NAME.fullmatch(ref)) and not Path(ref).exists():
        folder = fetch_hub(ref)
        return SavedReference(folder, f"{name['repo']}@{folder.name}")
    match = _MODULE.fullmatch(ref)
    if match is None:
        what = "is a file, not a folder" if Path(ref).exists() else "is no folder here"
        raise ModelError(
            f"--model {ref!r} {what}, and is not of the form module:callable?key=value; give a folder that "
            "`vae-batch train` or diffusers wrote, or name a torch module of your own, such as my_vae:MyVAE?width=64"
        )
    arguments = dict(_argument(ref, pair) for pair in (match["query"] or "").split("&") if pair)
    return ModuleReference(match["module"], match["callable"], arguments)


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
