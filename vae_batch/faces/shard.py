"""One tar or one subfolder of drawn faces: the same bytes whoever draws it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import simplejpeg

from vae_batch.faces.attributes import attributes
from vae_batch.faces.draw import draw_face

QUALITY = 92

Member = tuple[str, bytes]
"""Name and content of a file in the shard."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous run of faces; a `name` that ends in `.tar` is an archive, any other a folder."""

    name: str
    first: int
    stop: int
    seed: int
    size: tuple[int, int]
    still: bool = False

    def write(self, folder: Path, on_face: Callable[[], None]) -> int:
        """Write the shard into `folder`; `on_face` is called after each face, and may raise to stop.

        Returns:
            The size of what was written, in bytes.
        """
        path = folder / self.name
        if path.suffix == ".tar":
            return _write_tar(path, self._members(on_face))
        return _write_files(path, self._members(on_face))

    def _members(self, on_face: Callable[[], None]) -> Iterator[Member]:
        """Picture and sidecar of each face, next to each other."""
        for index in range(self.first, self.stop):
            pixels = draw_face(self.seed, index, self.size, self.still)
            yield (
                f"{index:09d}.jpg",
                simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="RGB", colorsubsampling="444"),
            )
            yield f"{index:09d}.json", json.dumps(asdict(attributes(self.seed, index))).encode()
            on_face()


def _write_tar(path: Path, members: Iterator[Member]) -> int:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)  # owner 0, time 0: the same bytes on any day
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path.stat().st_size


def _write_files(folder: Path, members: Iterator[Member]) -> int:
    folder.mkdir()
    return sum((folder / name).write_bytes(content) for name, content in members)
