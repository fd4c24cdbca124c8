"""The loose files of a folder: one walk, held as an Arrow column of paths and not as an object per file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_batch import storage
from vae_batch.sources.files import is_lasting
from vae_batch.sources.folders.remote import Found, remote_folders
from vae_batch.sources.names import is_json, shard_format, stem_of, to_text
from vae_batch.sources.shard import Shard
from vae_batch.sources.sniff import has_image_extension

_CHUNK = 1 << 16

Entry = tuple[str, int]
"""A file's path relative to the root, as text, and its size in bytes."""


@dataclass(frozen=True, eq=False)
class LooseFiles:
    """Loose files in order. A sidecar stands right behind its image, and once behind each image that it has."""

    paths: pa.LargeStringArray
    sizes: npt.NDArray[np.int64]
    seen: int
    """How many of the entries are no sidecars."""

    def entries(self) -> Iterator[tuple[str, int, bool]]:
        """Path, size and whether it is a sidecar, a bounded number of them as Python objects at a time."""
        previous = ""
        for at in range(0, len(self.sizes), _CHUNK):
            paths = self.paths.slice(at, _CHUNK).to_pylist()
            for path, size in zip(paths, self.sizes[at : at + _CHUNK].tolist(), strict=True):
                sidecar = is_sidecar(path, previous)
                yield path, size, sidecar
                previous = path


def is_sidecar(path: str, previous: str) -> bool:
    """Whether a path in a listing is the sidecar of the one before it."""
    return is_json(path) and stem_of(path) == stem_of(previous) and has_image_extension(previous)


def list_folder(root: str) -> tuple[LooseFiles, list[Shard]]:
    """Walk a folder, here or under a URI: its loose files, and its shards.

    A folder's files come first, then its folders, both in the order of their names' bytes. Links are followed; a
    link to a folder that holds it is not. What cannot be looked at (a dangling link) is listed with size 0, and
    fails when it is read.

    Raises:
        OSError: a folder cannot be listed.
    """
    shards: list[Shard] = []
    folders = remote_folders(root) if storage.is_remote(root) else _folders(os.fsencode(root))
    files = loose_files(_loose(folders, shards))
    return files, shards


def loose_files(files: Iterable[Entry]) -> LooseFiles:
    """Hold files compactly; sidecars stand behind their images already."""
    chunks: list[pa.Array] = []
    sizes: list[npt.NDArray[np.int64]] = []
    seen = 0
    previous = ""
    rest = iter(files)
    while chunk := list(islice(rest, _CHUNK)):
        for path, _ in chunk:
            seen += not is_sidecar(path, previous)
            previous = path
        chunks.append(pa.array([path for path, _ in chunk], pa.large_string()))
        sizes.append(np.array([size for _, size in chunk], np.int64))
    paths = pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_string())
    return LooseFiles(paths, np.concatenate(sizes) if sizes else np.zeros(0, np.int64), seen)


def _loose(folders: Iterable[list[Found]], shards: list[Shard]) -> Iterator[Entry]:
    """Loose files with their sidecars behind them; shards go to the list."""
    for found in folders:
        loose: list[Entry] = []
        for path, size, regular in found:
            kind = shard_format(path) if regular else None
            if kind:
                shards.append(Shard(path, size, kind))
            else:
                loose.append((path, size))
        yield from _with_sidecars(loose)


def _with_sidecars(files: list[Entry]) -> list[Entry]:
    """One folder's files, each sidecar moved behind its image."""
    jsons = {stem_of(entry[0]): entry for entry in files if is_json(entry[0])}
    if not jsons:
        return files
    stems = {stem_of(path) for path, _ in files if has_image_extension(path)}
    ordered: list[Entry] = []
    for entry in files:
        stem = stem_of(entry[0])
        if is_json(entry[0]) and stem in stems:
            continue
        ordered.append(entry)
        if stem in jsons and has_image_extension(entry[0]):
            ordered.append(jsons[stem])
    return ordered


def _folders(root: bytes) -> Iterator[list[Found]]:
    """What lies in each folder: first its own files, then those of the folders in it."""
    stack = [(b"", frozenset([_identity(root)]))]
    while stack:
        folder, ancestors = stack.pop()
        with os.scandir(root + b"/" + folder) as entries:
            found = sorted((folder + entry.name, *_look(entry)) for entry in entries)
        yield [(to_text(path), size, kind == "file") for path, size, kind in found if kind != "folder"]
        for path in (path for path, _, kind in reversed(found) if kind == "folder"):
            identity = _identity(root + b"/" + path)
            if identity not in ancestors:
                stack.append((path + b"/", ancestors | {identity}))


def _look(entry: os.DirEntry[bytes]) -> tuple[int, str]:
    """Size and kind: a folder, a file, or something else (a pipe, a link to nowhere), which has no size."""
    try:
        if entry.is_dir():
            return 0, "folder"
        return (entry.stat().st_size, "file") if entry.is_file() else (0, "else")
    except OSError as error:
        if is_lasting(error):
            return 0, "else"
        raise


def _identity(path: bytes) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
