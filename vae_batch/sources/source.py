"""A source: a collection of images as the user names it, looked at once and described compactly."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from vae_batch.errors import SourceError
from vae_batch.sources.listing import Entry, Listing, list_folder, no_files
from vae_batch.sources.names import is_compressed, is_tar, to_text

_SUPPORTED = "a folder (looked through with all folders in it), a .tar, .tar.gz or .tgz, or a pattern of such tars"


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar of a source."""

    path: str
    """Relative to the source's root, POSIX."""
    bytes: int
    """Size on disk."""
    compressed: bool
    """By its name; a reader goes by the first bytes."""


@dataclass(frozen=True, eq=False)
class Source:
    """A collection: its tars, and the loose files of a folder, in an order that only their names decide."""

    location: str
    """As the user named it."""
    root: str
    """Absolute folder that all paths are relative to."""
    files: Listing
    """Loose files; together they are the shard "."."""
    shards: tuple[Shard, ...]
    """Tars, behind the loose files in the order of the source."""

    @property
    def bytes(self) -> int:
        """Size on disk of all files and tars."""
        return int(self.files.sizes.sum()) + sum(shard.bytes for shard in self.shards)

    def digest(self) -> str:
        """sha256 over (path, size) of all files in order: the same wherever the collection is mounted."""
        digest = hashlib.sha256()
        for path, size, _ in self.files.entries():
            digest.update(f"{path}\0{size}\n".encode())
        for shard in self.shards:
            digest.update(f"{shard.path}\0{shard.bytes}\n".encode())
        return digest.hexdigest()


def open_source(location: str) -> Source:
    """Look at a collection of images.

    Args:
        location: a folder, one tar, or a pattern such as `faces/train-*.tar` (`**` goes through folders).

    Raises:
        SourceError: nothing is there, nothing is in it, or it is of a kind that is not read.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", location):
        raise SourceError(f"{location}: this version reads local paths only; copy or mount the collection first")
    path = Path(location).expanduser().absolute()
    try:
        root, files, tars = _look(location, path)
    except OSError as error:
        raise SourceError(f"{location}: {error.strerror}: {os.fsdecode(error.filename or str(path))}") from error
    shards = tuple(Shard(path, size, is_compressed(path)) for path, size in tars)
    if not shards and not files.seen:
        raise SourceError(f"{location}: there are no files in this folder")
    return Source(location, str(root), files, shards)


def _look(location: str, path: Path) -> tuple[Path, Listing, list[Entry]]:
    """Root, loose files and tars of what a path or a pattern names."""
    if path.is_dir():
        return path, *list_folder(path)
    if path.exists():
        if not path.is_file() or not is_tar(path.name):
            raise SourceError(f"{location} is neither a folder nor a tar; a source is {_SUPPORTED}")
        return path.parent, no_files(), _tars(path.parent, [str(path)])
    if not glob.has_magic(location):
        raise SourceError(f"{location}: no such file or folder; a source is {_SUPPORTED}")
    return _match(location, path)


def _match(location: str, pattern: Path) -> tuple[Path, Listing, list[Entry]]:
    """The tars that a pattern matches; its root is the folder before the first wildcard."""
    matches = glob.glob(str(pattern), recursive=True)
    if not matches:
        raise SourceError(f"{location}: the pattern matches nothing")
    for match in matches:
        if not is_tar(match) or not Path(match).is_file():
            raise SourceError(f"{location} matches {match}, which is no tar; a source is {_SUPPORTED}")
    root = next(folder for folder in pattern.parents if not glob.has_magic(str(folder)))
    return root, no_files(), _tars(root, matches)


def _tars(root: Path, paths: list[str]) -> list[Entry]:
    """Relative path and size of each tar, by the bytes of the paths."""
    found = sorted((os.fsencode(Path(path).relative_to(root)), Path(path).stat().st_size) for path in set(paths))
    return [(to_text(name), size) for name, size in found]
