"""A source: a collection of images as the user names it, looked at once and described compactly."""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from vae_batch import storage
from vae_batch.errors import SourceError
from vae_batch.sources.clashes import check_shards
from vae_batch.sources.folders.loose import LooseFiles, list_folder, loose_files
from vae_batch.sources.folders.remote import remote_files, split_pattern
from vae_batch.sources.listings.read import content_digest, is_path_table
from vae_batch.sources.names import listing_kind, shard_format, to_text
from vae_batch.sources.shard import NO_OPTIONS, Shard, SourceOptions
from vae_batch.types import ShardFormat

_SUPPORTED = (
    "a folder (looked through with all folders in it), a shard (.tar, .tar.gz, .tgz, .zip, .parquet, .arrow, "
    ".feather), a pattern of such shards, or a listing of paths (.csv, .tsv, .jsonl, .ndjson, .parquet), "
    "each here or under a URI"
)


@dataclass(frozen=True, eq=False)
class Source:
    """A collection: its shards, and the loose files of a folder, in an order that only their names decide."""

    location: str
    """As the user named it."""
    root: str
    """Absolute folder, or URI of one, that all paths are relative to."""
    files: LooseFiles
    """Loose files; together they are the shard "."."""
    shards: tuple[Shard, ...]
    """Behind the loose files in the order of the source."""
    options: SourceOptions = NO_OPTIONS
    before: tuple[Shard, ...] = ()
    """Shards that are planned already, where this is what is new: an id that they have is a repeat here."""

    @property
    def bytes(self) -> int:
        """Size on disk of all files and shards."""
        return int(self.files.sizes.sum()) + sum(shard.bytes for shard in self.shards)

    def digest(self) -> str:
        """sha256 over (path, size) of all files in order: the same wherever the collection is mounted.

        Of the files in a listing nothing is asked, so the listing's own content stands for them.
        """
        digest = hashlib.sha256()
        for path, size, _ in self.files.entries():
            digest.update(f"{path}\0{size}\n".encode())
        for shard in self.shards:
            digest.update(f"{shard.path}\0{shard.bytes}\n".encode())
            if shard.format == "listing":
                digest.update(content_digest(self.root, shard.path))
        return digest.hexdigest()


def open_source(location: str, options: SourceOptions = NO_OPTIONS) -> Source:
    """Look at a collection of images.

    Args:
        location: a folder, one shard, or a pattern such as `faces/train-*.tar` (`**` goes through folders); each may
            be a URI.
        options: how to read it.

    Raises:
        SourceError: nothing is there, nothing is in it, it is of a kind that is not read, or images in it would
            share their ids.
        StorageError: the URI's scheme is not known.
    """
    location = storage.local(location)
    try:
        root, files, shards = _look_remote(location) if storage.is_remote(location) else _look(location)
        shards = _settled(location, root, shards, options)
    except OSError as error:
        where = os.fsdecode(error.filename) if error.filename else location
        raise SourceError(f"{where} cannot be read: {error.strerror or error}") from error
    if not shards and not files.seen:
        raise SourceError(f"{location}: there are no files in this folder")
    check_shards(location, files, shards)
    return Source(location, root, files, tuple(shards), options)


def _look(location: str) -> tuple[str, LooseFiles, list[Shard]]:
    """Root, loose files and shards of what a path or a pattern names."""
    path = Path(location).expanduser().absolute()
    if path.is_dir():
        return str(path), *list_folder(str(path))
    if path.is_file():
        return str(path.parent), loose_files([]), _named(location, path.parent, [str(path)])
    if path.exists():
        raise SourceError(f"{location} is neither a folder nor a shard; a source is {_SUPPORTED}")
    if not glob.has_magic(location):
        raise SourceError(f"{location}: no such file or folder; a source is {_SUPPORTED}")
    matches = glob.glob(str(path), recursive=True)
    if not matches:
        raise SourceError(f"{location}: the pattern matches nothing")
    root = next(folder for folder in path.parents if not glob.has_magic(str(folder)))
    return str(root), loose_files([]), _named(location, root, matches)


def _named(location: str, root: Path, paths: list[str]) -> list[Shard]:
    """The shards that a user named, by the bytes of their paths."""
    found = sorted((os.fsencode(Path(path).relative_to(root)), path) for path in set(paths))
    sizes = [Path(path).stat().st_size if Path(path).is_file() else None for _, path in found]
    return _shards(location, [(to_text(name), size) for (name, _), size in zip(found, sizes, strict=True)])


def _shards(location: str, files: list[tuple[str, int | None]]) -> list[Shard]:
    shards = []
    for path, size in files:
        kind: ShardFormat | None = shard_format(path) or ("listing" if listing_kind(path) else None)
        if kind is None or size is None:
            raise SourceError(f"{location} names {path}, which is no shard; a source is {_SUPPORTED}")
        shards.append(Shard(path, size, kind))
    return shards


def _settled(location: str, root: str, shards: list[Shard], options: SourceOptions) -> list[Shard]:
    """The shards with tables of paths known as listings, where the user named them; in a folder they are metadata."""
    tables = [shard for shard in shards if shard.format in ("parquet", "arrow")]
    named = options.image_column or options.id_column
    if named and not tables and not any(shard.format == "listing" for shard in shards):
        raise SourceError(f"{location} has no Parquet or Arrow file and is no listing, so there is no column {named}")
    folder = root.rstrip("/") == location.rstrip("/") or Path(location).is_dir()
    if folder or not tables or not is_path_table(root, tables[0].path, options):
        return shards
    return [replace(shard, format="listing") if shard in tables else shard for shard in shards]


def _look_remote(location: str) -> tuple[str, LooseFiles, list[Shard]]:
    """The same for a URI."""
    if set("*[") & set(location.partition("://")[2]):
        root, wanted = split_pattern(location)
        files = sorted((path, size) for path, size, _ in remote_files(root) if wanted.fullmatch(path))
        if not files:
            raise SourceError(f"{location}: the pattern matches nothing")
        return root, loose_files([]), _shards(location, list(files))
    system, path = storage.filesystem(location)
    info = storage.retried(lambda: system.get_file_info(path.rstrip("/")))
    base, mark, query = location.partition("?")
    folder, _, name = base.rpartition("/")
    if info.is_file and (shard_format(name) or listing_kind(name)):
        return folder + mark + query, loose_files([]), _shards(location, [(name, info.size)])
    try:
        return location, *list_folder(location)  # an object may have the name of a folder too
    except FileNotFoundError:
        what = f"no shard; a source is {_SUPPORTED}" if info.is_file else "no such file or folder"
        raise SourceError(f"{location}: {what}") from None
