"""Images that are left out: a list of ids and digests, kept as a table like labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vae_batch import storage
from vae_batch.errors import SourceError
from vae_batch.sources.labels.files import fetch, look_at
from vae_batch.sources.labels.table import build_table

_DIGEST = re.compile("[0-9a-f]{64}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A list of images to leave out."""

    name: str
    digest: str
    """sha256 of the file, hex."""
    entries: list[str]
    """Ids, and digests in small letters."""

    @property
    def by_digest(self) -> bool:
        """Whether images must be hashed to know if they are in it."""
        return any(_DIGEST.fullmatch(entry) for entry in self.entries)


def exclusion_table(folder: str, digest: str) -> str:
    """Where the table of a list is, by the list's digest."""
    return storage.join(folder, f"exclude-{digest[:16]}.arrow")


def find_exclusion(location: str, scratch: Path) -> Exclusion:
    """Read a list of images: an id or sha256 a line; blank lines and lines from # on are left out.

    Raises:
        SourceError: there is none, or it is no text.
        OSError: the storage fails.
    """
    system, info = look_at(location, "--exclude")
    if not info.is_file:
        raise SourceError(f"--exclude {location} is a folder: give a file of ids or sha256, one a line")
    file = fetch(system, info.path, scratch)
    try:
        lines = [line.strip() for line in file.path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise SourceError(f"--exclude {location} is not UTF-8 text: {error}") from None
    entries = (line.lower() if _DIGEST.fullmatch(line) else line for line in lines if line and line[0] != "#")
    return Exclusion(file.name, file.digest, list(dict.fromkeys(entries)))


def build_exclusion(db: Any, exclusion: Exclusion, final: str, tmp: str) -> None:
    """Publish a list as a table of keys."""
    db.register("excluded", pa.table({"key": pa.array(exclusion.entries, pa.string())}))
    facts = {"name": exclusion.name, "by_digest": exclusion.by_digest}
    build_table(db, "select key, 0 as file from excluded", (), facts, final, tmp)
