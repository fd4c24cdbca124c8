"""The folder that an export is written to: one data set in one format, each file whole or not at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from vae_batch import storage
from vae_batch.errors import MismatchError, OutputError
from vae_batch.latents.layout import Layout

ExportFormat = Literal["hf", "npy", "webdataset"]

PAUSES = (1.0, 4.0, 16.0)
"""Seconds between attempts at a file."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A folder here, or a URI. `.vae_batch/export.json` says what is exported into it; it is written first."""

    folder: str
    fields: dict[str, Any]
    """What decides every byte: format, digest of the data set, rows of a file."""
    say: Callable[[str], None]

    @property
    def _receipt(self) -> str:
        return storage.join(Layout(self.folder).state, "export.json")

    @property
    def tmp(self) -> str:
        """Unfinished files."""
        return Layout(self.folder).tmp

    def begin(self) -> None:
        """Take the folder, or go on in it.

        Raises:
            OutputError: something else is in it.
            MismatchError: it has another export.
        """
        try:
            there = storage.list_files(self.folder)
            found = json.loads(storage.read_bytes(self._receipt))
        except FileNotFoundError:
            if set(there) - {".vae_batch"} or storage.exists(Layout(self.folder).job):
                raise OutputError(f"{self.folder} is not empty, and no export: give a new or empty folder") from None
            storage.make_folder(self.tmp)
            storage.write_json(self._receipt, self.fields, self.tmp)
            return
        except NotADirectoryError:
            raise OutputError(f"{self.folder} is a file: give a folder") from None
        except ValueError as error:
            raise OutputError(f"{self._receipt} is damaged ({error}): give another folder") from None
        if found != self.fields:
            keys = [key for key in {**found, **self.fields} if found.get(key) != self.fields.get(key)]
            told = "\n".join(f"  {k}: {found.get(k)} there, {self.fields.get(k)} asked for" for k in keys)
            raise MismatchError(f"{self.folder} has another export:\n{told}\nGive a new folder.")
        storage.make_folder(self.tmp)
        storage.sweep(self.tmp)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Give the files that are not there; those that are, are whole."""
        folders = {name.rpartition("/")[0] for name in names}
        there = {
            f"{folder}/{name}".lstrip("/")
            for folder in folders
            for name in storage.list_files(storage.join(self.folder, folder))
        }
        return [name for name in names if name not in there]

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary file to fill; it gets its name when nothing failed."""
        unfinished = storage.scratch(self.tmp, storage.name_of(name))
        try:
            yield unfinished
            storage.make_folder(storage.join(self.folder, name.rpartition("/")[0]))
            storage.publish(unfinished, storage.join(self.folder, name), self.tmp)
        finally:
            unfinished.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file."""
        storage.write_bytes(storage.join(self.folder, name), data, self.tmp)


def on_all_cores(make: Callable[[str], None], names: Sequence[str]) -> None:
    """Make files, some at a time; no more than these are in hand when one fails."""
    threads = os.cpu_count() or 1
    waiting = iter(names)
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(waiting, threads)):
            list(pool.map(partial(patiently, make), some))


def patiently(make: Callable[[str], None], name: str) -> None:
    """Make a file, again after errors of the way to the storage, which may pass. Raises OSError: they do not."""
    for pause in PAUSES:
        try:
            return make(name)
        except OSError as error:
            if storage.is_lasting(error) or storage.is_full(error):
                raise
        time.sleep(pause)
    return make(name)
