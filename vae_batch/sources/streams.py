"""Bytes of an archive in order: a plain file (which can leap) or a gzip stream (which must be read through)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from vae_batch.errors import SourceError
from vae_batch.sources.files import File, is_lasting, open_file

MAX_FILE_BYTES = 256 << 20
"""A file or member above this size is never read into memory: it is a reject."""
READ_BYTES = 1 << 20
"""How much a reader takes at a time; a walk over headers takes one block."""
_SKIP_BYTES = 1 << 20


def too_large(size: int) -> str:
    """Why a file of this size is not read."""
    return f"{size:,} bytes; files above {MAX_FILE_BYTES:,} bytes are not read"


class Stream:
    """What `tar.walk` reads from; `offset` counts bytes of the uncompressed archive from its start."""

    size: int | None = None
    """Bytes in all, where known before the end is reached."""
    problem: str | None = None
    """What ended the stream before its time, where something did."""
    offset = 0

    def read(self, n: int) -> bytes:
        """Up to n bytes; fewer only at the end. Raises OSError where the storage fails."""
        raise NotImplementedError

    def unread(self, n: int) -> None:
        """Give back the last n bytes of the read just made."""
        raise NotImplementedError

    def skip_to(self, offset: int) -> None:
        """Go forward to an offset, or to the end if that comes first."""
        raise NotImplementedError


class FileStream(Stream):
    """A plain file; skipping costs nothing."""

    size: int

    def __init__(self, file: File, start: int = 0, window: int = READ_BYTES) -> None:
        self.size = file.size
        self.offset = start
        self._file, self._window = file, window
        self._buffer, self._base = b"", start

    def read(self, n: int) -> bytes:
        """See Stream."""
        low = self.offset - self._base
        if low < 0 or low + n > len(self._buffer):
            self._fill(max(n, self._window))
            low = 0
        data = self._buffer[low : low + n]
        self.offset += len(data)
        return data

    def _fill(self, n: int) -> None:
        self._base = self.offset
        self._buffer = self._file.pread(n, self.offset)

    def unread(self, n: int) -> None:
        """See Stream."""
        self.offset -= n

    def skip_to(self, offset: int) -> None:
        """See Stream."""
        self.offset = max(self.offset, min(offset, self.size))


class GzipStream(Stream):
    """One or more gzip members, decompressed a bounded piece at a time and checked against their trailers.

    `problem` says what is wrong (cut, wrong checksum, invalid data, rubbish behind the end) and at which byte of
    the compressed file; all that could be decompressed before it has been given.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._buffer, self._at = b"", 0
        self._input, self._taken = b"", 0
        self._inflater = zlib.decompressobj(wbits=31)
        self._done = False

    @property
    def taken(self) -> int:
        """Compressed bytes used so far."""
        return self._taken - len(self._input)

    def read(self, n: int) -> bytes:
        """See Stream."""
        have = len(self._buffer) - self._at
        if have < n and not self._done:
            parts = [self._buffer[self._at :]]
            while have < n and not self._done:
                parts.append(self._inflate())
                have += len(parts[-1])
            self._buffer, self._at = b"".join(parts), 0
        data = self._buffer[self._at : self._at + n]
        self._at += len(data)
        self.offset += len(data)
        return data

    def unread(self, n: int) -> None:
        """See Stream."""
        self._at -= n
        self.offset -= n

    def skip_to(self, offset: int) -> None:
        """See Stream."""
        while self.offset < offset and self.read(min(offset - self.offset, _SKIP_BYTES)):
            pass

    def _inflate(self) -> bytes:
        """The next piece, up to a mebibyte; may be empty; sets `_done` at the end or at damage."""
        if not self._input:
            self._input = self._file.pread(READ_BYTES // 4, self._taken)
            self._taken += len(self._input)
        if self._inflater.eof:
            return self._next_member()
        if not self._input:
            if not (rest := self._inflater.decompress(b"", READ_BYTES)):
                self._end(f"cut at compressed byte {self.taken}")
            return rest
        before = self._inflater.copy()
        try:
            data = self._inflater.decompress(self._input, READ_BYTES)
        except zlib.error as error:
            return self._rescue(before, str(error))
        self._input = self._inflater.unconsumed_tail or self._inflater.unused_data
        return data

    def _rescue(self, inflater: zlib._Decompress, error: str) -> bytes:
        """What can be had of a damaged piece: the same bytes again, one at a time."""
        good: list[bytes] = []
        for i in range(len(self._input)):
            try:
                good.append(inflater.decompress(self._input[i : i + 1]))
            except zlib.error:
                self._input = self._input[i:]
                break
        self._end(f"damaged at compressed byte {self.taken}: {error}")
        return b"".join(good)

    def _next_member(self) -> bytes:
        """Behind a gzip member: another one, zero padding, the end, or rubbish."""
        self._input = self._input.lstrip(b"\0")
        if self._input[:1] == b"\x1f":
            self._inflater = zlib.decompressobj(wbits=31)
        elif self._input:
            self._end(f"has bytes behind its end that are no gzip, from compressed byte {self.taken}")
        elif not self._file.pread(1, self._taken):
            self._done = True
        return b""

    def _end(self, problem: str) -> None:
        self._done, self.problem = True, f"the gzip stream {problem}"


@contextmanager
def open_shard(root: str, path: str) -> Iterator[File]:
    """Open a shard. Raises SourceError when it is gone or must not be read, OSError when the storage fails."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_file(root, path))
        except OSError as error:
            if is_lasting(error):
                raise SourceError(f"shard {path} under {root} cannot be read: {error.strerror or error}") from error
            raise
        yield file


@contextmanager
def open_stream(root: str, path: str, start: int = 0, window: int = READ_BYTES) -> Iterator[Stream]:
    """Open an archive with the stream that its first bytes call for, whatever its name says.

    Args:
        root: the source's root.
        path: the shard, relative to it.
        start: where to begin in an uncompressed archive.
        window: bytes to read at a time from an uncompressed archive.

    Raises:
        SourceError: it is gone or must not be read.
        OSError: the storage fails.
    """
    with open_shard(root, path) as file:
        gzipped = file.pread(2, 0) == b"\x1f\x8b"
        yield GzipStream(file) if gzipped else FileStream(file, start, window)
