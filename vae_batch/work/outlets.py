"""Where the pictures of a unit go: into the part itself, into a tar, or into folders; the part is the receipt."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol

from vae_batch import storage
from vae_batch.latents.layout import Layout
from vae_batch.latents.pictures import FOLDER_IMAGES, folder_name, shard_name
from vae_batch.specs import PictureFormat

WRITERS = 16
"""Pictures that are written at once, each a file of its own."""

Columns = dict[str, list[Any]]


class Outlet(Protocol):
    """Takes the pictures of one unit; a context manager, which removes what is unfinished."""

    def __enter__(self) -> Outlet: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, names: Sequence[str], pictures: Sequence[bytes], facts: Sequence[Mapping[str, Any]]) -> Columns:
        """Take pictures with their names and what is known of each; give the columns that say where they are."""

    def finish(self) -> dict[str, str]:
        """Publish all; give the sha256 of each file that holds more than one picture's bytes, by its path in OUT."""


def outlet(kind: PictureFormat, layout: Layout, unit: int) -> Outlet:
    """Give the outlet of a format."""
    if kind == "webdataset":
        return TarOutlet(layout, unit)
    return FolderOutlet(layout, unit) if kind == "folder" else PartOutlet()


class PartOutlet:
    """The part holds the pictures."""

    def __enter__(self) -> PartOutlet:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left behind."""

    def write(self, names: Sequence[str], pictures: Sequence[bytes], facts: Sequence[Mapping[str, Any]]) -> Columns:
        """See `Outlet`."""
        return {"image": [{"bytes": data, "path": name} for name, data in zip(names, pictures, strict=True)]}

    def finish(self) -> dict[str, str]:
        """See `Outlet`."""
        return {}


class TarOutlet:
    """One tar a unit, in the WebDataset convention: each picture and its JSON; no times, no owners, no compression."""

    def __init__(self, layout: Layout, unit: int) -> None:
        self._layout, self._path = layout, shard_name(unit)
        self._unfinished = storage.scratch(layout.tmp, f"shard-{unit:06d}")
        self._tar = tarfile.open(self._unfinished, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def __enter__(self) -> TarOutlet:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()
        self._unfinished.unlink(missing_ok=True)

    def write(self, names: Sequence[str], pictures: Sequence[bytes], facts: Sequence[Mapping[str, Any]]) -> Columns:
        """See `Outlet`."""
        for name, data, known in zip(names, pictures, facts, strict=True):
            add_member(self._tar, name, data)
            add_member(self._tar, f"{name.rpartition('.')[0]}.json", json.dumps(known).encode())
        return _where([f"{self._path}/{name}" for name in names], pictures)

    def finish(self) -> dict[str, str]:
        """See `Outlet`."""
        self._tar.close()
        digest = storage.file_sha256(self._unfinished)
        final = storage.join(self._layout.out, self._path)
        storage.make_folder(storage.join(self._layout.out, self._path.rpartition("/")[0]))
        storage.publish(self._unfinished, final, self._layout.tmp)
        return {self._path: digest}


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Put a file into a tar: owner 0, time 0, the same bytes on any day."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    tar.addfile(header, io.BytesIO(data))


class FolderOutlet:
    """Subfolders of at most `FOLDER_IMAGES` pictures, each with its metadata.csv: the ImageFolder convention."""

    def __init__(self, layout: Layout, unit: int) -> None:
        self._layout, self._unit = layout, unit
        self._facts: list[dict[str, Any]] = []
        self._files: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="pictures")

    def __enter__(self) -> FolderOutlet:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    @property
    def _folder(self) -> str:
        return folder_name(self._unit, len(self._files))

    def write(self, names: Sequence[str], pictures: Sequence[bytes], facts: Sequence[Mapping[str, Any]]) -> Columns:
        """See `Outlet`."""
        paths: list[str] = []
        for name, known in zip(names, facts, strict=True):
            if not self._facts:
                storage.make_folder(storage.join(self._layout.out, self._folder))
            paths.append(f"{self._folder}/{name}")
            self._facts.append({"file_name": name, **known})
            if len(self._facts) == FOLDER_IMAGES:
                self._end_folder()
        list(self._pool.map(self._publish, paths, pictures))
        return _where(paths, pictures)

    def _publish(self, path: str, data: bytes) -> None:
        storage.write_bytes(storage.join(self._layout.out, path), data, self._layout.tmp)

    def _end_folder(self) -> None:
        sink = io.StringIO()
        rows = csv.DictWriter(sink, list(self._facts[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows(self._facts)
        path, data = f"{self._folder}/metadata.csv", sink.getvalue().encode()
        self._publish(path, data)
        self._files[path] = storage.bytes_sha256(data)
        self._facts = []

    def finish(self) -> dict[str, str]:
        """See `Outlet`."""
        if self._facts:
            self._end_folder()
        return self._files


def _where(paths: list[str], pictures: Sequence[bytes]) -> Columns:
    return {"file": paths, "sha256": [hashlib.sha256(data).hexdigest() for data in pictures]}
