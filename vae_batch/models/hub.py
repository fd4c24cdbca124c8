"""A model of the Hugging Face hub: its name resolved to a commit, and its files fetched once, into the hub's cache."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from vae_batch.errors import ModelError
from vae_batch.models.diffusers_folder import PLAIN, SUBFOLDER, choose_weights, find_diffusers
from vae_batch.models.folder import CONFIG

T = TypeVar("T")

HUB_NAME = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")
"""`owner/name`, and behind an @ a branch, a tag or a commit."""

INSTALL = "pip install 'vae_batch[diffusers]'"


@lru_cache(maxsize=8)
def fetch_hub(name: str) -> Path:
    """Give the folder of a model's snapshot, with config.json and weights; its own name is the commit.

    What the cache has is not asked for again; with HF_HUB_OFFLINE=1 nothing is.

    Args:
        name: matches `HUB_NAME`.

    Raises:
        ModelError: there is no such model, it cannot be had, or diffusers did not write it.
    """
    try:
        import huggingface_hub as hub
    except ImportError:
        raise ModelError(
            f"--model {name!r} is no folder here; for a model of the Hugging Face hub: {INSTALL}"
        ) from None
    match = HUB_NAME.fullmatch(name)
    assert match is not None
    repo, configs = match["repo"], [CONFIG, f"{SUBFOLDER}/{CONFIG}"]
    root = Path(_asked(name, lambda: hub.snapshot_download(repo, revision=match["revision"], allow_patterns=configs)))
    folder = find_diffusers(root)
    if folder is None:
        raise ModelError(f"--model {name!r}: it has no {CONFIG} of diffusers, neither at its root nor in {SUBFOLDER}/")
    within = folder.relative_to(root)
    if not (folder / PLAIN).exists() and not hub.constants.HF_HUB_OFFLINE:
        paths = [Path(path) for path in _asked(name, lambda: hub.list_repo_files(repo, revision=root.name))]
        weights = within / choose_weights([path.name for path in paths if path.parent == within], name)
        _asked(name, lambda: hub.hf_hub_download(repo, weights.as_posix(), revision=root.name))
    return root


def _asked(name: str, question: Callable[[], T]) -> T:
    try:
        return question()
    except Exception as error:  # of the hub's, of HTTP's or of the operating system's; all say why in their first line
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(
            f"--model {name!r} is no folder here, and cannot be had from the Hugging Face hub: {reason}"
        ) from error
