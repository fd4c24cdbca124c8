"""A file of a source as Arrow wants to read it; what the storage does wrong is told apart from what the data does."""

from __future__ import annotations

import os
from typing import Any

from vae_batch.sources.files import File


class Handle:
    """What `pyarrow.PythonFile` reads from. Nothing is mapped: a file that shrinks must not kill the process."""

    closed = False

    def __init__(self, file: File) -> None:
        self.file = file
        self._at = 0
        self._error: OSError | None = None

    def raise_transport_error(self) -> None:
        """Raise what the storage raised, if that is why a read of Arrow's failed."""
        if self._error is not None:
            raise self._error

    def read(self, n: int = -1) -> bytes:
        """Read n bytes, or all to the end."""
        try:
            data = self.file.pread(self.file.size - self._at if n is None or n < 0 else n, self._at)
        except OSError as error:
            self._error = error
            raise
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.file.size}[whence]
        return self._at

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def size(self) -> int:
        """Bytes in all."""
        return self.file.size

    def readable(self, *_: Any) -> bool:
        """It is."""
        return True

    seekable = readable

    def writable(self) -> bool:
        """It is not."""
        return False

    def close(self) -> None:
        """The file is closed by who opened it."""

    flush = close
