"""Families of models that other packages plug in: entry points in the group `vae_batch.models`.

The package says in its pyproject.toml

    [project.entry-points."vae_batch.models"]
    my_family = "my_package:load"

and `load(argument, **options)` gives a torch module as `vae_batch.testing` describes it, or a whole
`vae_batch.models.VAE` with a complete card. It is called for

- `--model my_family:ARGUMENT?key=value`: ARGUMENT, all up to the `?`, is whatever the package makes of it (a path, a
  name, nothing); the options are read as those of `module:callable`;
- `--model FOLDER`, where FOLDER/config.json has `"family": "my_family"`: ARGUMENT is the folder. The keys `transform`
  (as `vae_batch.images.Transform.to_dict` gives it) and `extra` of that file go into the model's card. Under a URI,
  config.json and model.safetensors are fetched, and the folder is a copy.

A name that is plugged in goes before a module of the same name. The package has to be installed on every node.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from vae_batch.errors import ModelError

GROUP = "vae_batch.models"


def plugged_in() -> list[str]:
    """Give the names of the families that installed packages bring."""
    return sorted(entry_points(group=GROUP).names)


def known_families(built_in: Iterable[str] = ()) -> str:
    """List families for an error message."""
    return ", ".join([*built_in, *plugged_in()]) or f"none (no package here has an entry point in {GROUP})"


def find_family(name: str) -> EntryPoint:
    """Find what a package brings under a name.

    Raises:
        ModelError: nothing, or two packages bring different things.
    """
    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if len(found) > 1:
        raise ModelError(f"two packages bring a family of models called {name!r}: {' and '.join(sorted(found))}")
    if not found:
        raise ModelError(f"no installed package brings a family of models called {name!r}; known: {known_families()}")
    return next(iter(found.values()))


def config_of(folder: str | Path) -> dict[str, Any]:
    """Read the config.json of a folder; empty where there is none that is a JSON object."""
    try:
        value = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
