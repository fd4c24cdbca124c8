"""Pictures of a generated data set that lie beside its parts: what their files are called, and reading them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vae_batch import storage
from vae_batch.latents.layout import Layout

FOLDER_IMAGES = 1000
"""Pictures in a subfolder, at most."""

SHARDS, FOLDERS = "shards", "images"
"""Where in OUT the tars lie, and the subfolders."""


def shard_name(unit: int) -> str:
    """Give the path in OUT of a unit's tar."""
    return f"{SHARDS}/shard-{unit:06d}.tar"


def folder_name(unit: int, number: int) -> str:
    """Give the path in OUT of a subfolder of a unit."""
    return f"{FOLDERS}/{unit:06d}-{number:03d}"


class PictureReader:
    """Reads pictures by their path in OUT, `shards/shard-000000.tar/000000017.png` those in a tar.

    A context manager. One tar is open at a time, and one under a URI is fetched whole, not by a request for each
    picture: they are best asked for in the order of the rows.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout, self._path = layout, ""
        self._tar: tarfile.TarFile | None = None
        self._fetched: Path | None = None

    def __enter__(self) -> PictureReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def of(self, row: Mapping[str, Any]) -> bytes:
        """Give the picture of a row, wherever it is. Raises OSError."""
        return bytes(row["image"]["bytes"]) if "image" in row else self.read(row["file"])

    def read(self, path: str) -> bytes:
        """Give a picture.

        Raises:
            OSError: it is not there, or its tar is damaged.
        """
        folder, _, name = path.rpartition("/")
        if not folder.endswith(".tar"):
            return storage.read_bytes(storage.join(self._layout.out, path))
        try:
            member = self._open(folder).extractfile(name)
            if member is None:
                raise KeyError(name)
            return member.read()
        except KeyError:
            raise FileNotFoundError(f"{folder} has no member {name}") from None
        except tarfile.TarError as error:
            raise OSError(f"{folder} is damaged: {error}") from error

    def _open(self, path: str) -> tarfile.TarFile:
        if self._tar is None or path != self._path:
            self._close()
            file = storage.fetch(storage.join(self._layout.out, path))
            self._fetched = file if storage.is_remote(self._layout.out) else None
            self._tar, self._path = tarfile.open(file, "r:"), path  # noqa: SIM115
        return self._tar

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None
        if self._fetched is not None:
            self._fetched.unlink(missing_ok=True)
            self._fetched = None


def wrong_files(layout: Layout, files: Mapping[str, str]) -> Iterator[str]:
    """Say which files, by their path in OUT, are missing or have another sha256 than this."""
    for path, digest in files.items():
        try:
            if storage.file_sha256(storage.join(layout.out, path)) != digest:
                yield f"{path}: its content is not what the part says"
        except OSError as error:
            yield f"{path}: cannot be read: {error}"


def wrong_pictures(pictures: PictureReader, paths: list[str], digests: list[str]) -> Iterator[str]:
    """Say which pictures are missing or have another sha256 than this."""
    for path, digest in zip(paths, digests, strict=True):
        try:
            if storage.bytes_sha256(pictures.read(path)) != digest:
                yield f"{path}: its content is not what the part says"
        except OSError as error:
            yield f"{path}: cannot be read: {error}"
