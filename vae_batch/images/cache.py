"""Decoded images in a folder: uint8, mapped into memory, so that each image is decoded once and not every epoch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, overload

import pyarrow as pa
import torch
from torch import Tensor

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.types import Reject

PIXELS, IDS, REJECTS, FACTS = "pixels.u8", "ids.arrow", "rejects.jsonl", "cache.json"

_SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False)])


class Ids(Sequence[str]):
    """The ids of the images, in order, read from a mapped file as they are asked for."""

    def __init__(self, path: Path) -> None:
        self._column = pa.ipc.open_file(pa.memory_map(str(path))).read_all()["id"]

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found = self._column[index]
        values: str | list[str] = found.to_pylist() if isinstance(index, slice) else found.as_py()
        return values

    def __iter__(self) -> Iterator[str]:
        for chunk in self._column.chunks:
            yield from chunk.to_pylist()


@dataclass(frozen=True)
class ImageCache:
    """Images as a training takes them, in the order of their source; `open` finds them in a folder."""

    folder: Path
    size: int
    """Pixels a side."""
    count: int
    """N."""
    rejected: int
    """Images of the source that could not be read or decoded; `rejects.jsonl` in the folder has a line for each."""
    fields: Mapping[str, Any]
    """What determines the images: the source's digest, the transform, labels, split, exclusion."""

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a finished cache.

        Raises:
            FileNotFoundError: there is none.
            OutputError: it is damaged.
        """
        folder = Path(folder)
        text = (folder / FACTS).read_text(encoding="utf-8")
        try:
            cache = cls(folder, **json.loads(text))
            found = (folder / PIXELS).stat().st_size
            if found != cache.count * cache.size**2 * 3 or len(cache.ids) != cache.count:
                raise ValueError(f"{found:,} bytes and {len(cache.ids):,} ids for {cache.count:,} images")
        except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
            raise OutputError(f"the decoded images in {folder} are damaged ({error}): delete that folder") from None
        return cache

    @property
    def fingerprint(self) -> str:
        """The hash of `fields`: equal for equal images."""
        return storage.json_sha256(dict(self.fields))

    @property
    def transform(self) -> dict[str, Any]:
        """How the images were cut, as `Transform.from_dict` takes it."""
        mark = "transform."
        return {key.removeprefix(mark): value for key, value in self.fields.items() if key.startswith(mark)}

    @cached_property
    def images(self) -> Tensor:
        """uint8 (N, S, S, 3), mapped: what is not touched is not read. Not to be written to."""
        numbers = self.count * self.size**2 * 3
        flat = torch.from_file(str(self.folder / PIXELS), shared=False, size=numbers, dtype=torch.uint8)
        return flat.view(self.count, self.size, self.size, 3)

    @cached_property
    def ids(self) -> Ids:
        """N ids, in the images' order."""
        return Ids(self.folder / IDS)

    @property
    def examples(self) -> tuple[Reject, ...]:
        """Up to three of the rejects."""
        with (self.folder / REJECTS).open(encoding="utf-8") as lines:
            return tuple(Reject(**json.loads(line)) for line in islice(lines, 3))


class CacheWriter:
    """Writes a cache into a folder; it counts once the folder has its final name. Raises OSError, as when it is full.

    Args:
        folder: a new one.
        size: pixels a side.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self.count = self.rejected = 0
        self._pixels: BinaryIO = (folder / PIXELS).open("wb")
        self._ids = pa.ipc.new_file(str(folder / IDS), _SCHEMA)
        self._rejects = (folder / REJECTS).open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in (self._ids, self._rejects, self._pixels):
            file.close()

    def add(self, pixels: Path, ids: Sequence[str], rejects: Sequence[Reject]) -> None:
        """Append images, whose bytes are taken from a file, and what was rejected among them."""
        with pixels.open("rb") as file:
            shutil.copyfileobj(file, self._pixels, 1 << 20)
        self._ids.write_batch(pa.record_batch([pa.array(ids, pa.string())], schema=_SCHEMA))
        for reject in rejects:
            self._rejects.write(json.dumps(asdict(reject)) + "\n")
        self.count += len(ids)
        self.rejected += len(rejects)

    def finish(self, fields: Mapping[str, Any]) -> None:
        """Say what is in it; behind the last image."""
        facts = {"size": self._size, "count": self.count, "rejected": self.rejected, "fields": dict(fields)}
        (self._folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
