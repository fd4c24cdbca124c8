"""Arrow IPC as a table: files (Feather V2 too) and streams, such as `datasets` keeps its caches in.

Both are a run of messages, a schema, dictionaries, record batches; a file has its magic before it and a footer behind
it. The messages are walked over by their headers, without their bodies, so that each batch can be read alone. See
"Serialization and Interprocess Communication (IPC)" in the Arrow columnar format, and `Message.fbs`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from vae_batch.sources.files import File
from vae_batch.sources.tables.handle import Handle

_MAGIC = b"ARROW1"
_CONTINUATION = 0xFFFFFFFF
_DICTIONARY, _BATCH = 2, 3
_MAX_HEADER = 64 << 20


def is_arrow(head: bytes) -> bool:
    """Whether a file that begins so is an Arrow file or stream."""
    return head.startswith((_MAGIC, b"\xff\xff\xff\xff"))


class ArrowTable:
    """An open Arrow file or stream. A record batch is read whole.

    Raises:
        ValueError: a header cannot be understood, or the end is missing.
        pa.ArrowException: what pyarrow raises for a damaged schema.
    """

    steps = (1,)

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        in_file = handle.file.pread(len(_MAGIC), 0) == _MAGIC
        if in_file and handle.file.pread(len(_MAGIC), handle.file.size - len(_MAGIC)) != _MAGIC:
            raise ValueError("an Arrow file without its end: it has been cut")
        self._start = 8 if in_file else 0
        self._batches: list[tuple[int, int]] = []
        self.group_rows: list[int] = []
        for kind, at, behind, rows in _messages(handle, self._start):
            if kind == _BATCH:
                self._batches.append((at, behind))
                self.group_rows.append(rows)
            elif kind == _DICTIONARY and self._batches:
                raise ValueError(f"dictionaries between its record batches (at byte {at}), which is not read")
        self._first = self._batches[0][0] if self._batches else handle.file.size
        with pa.ipc.open_stream(self._from(self._first)) as reader:
            self.schema: pa.Schema = reader.schema

    def read(self, group: int, names: Sequence[str], step: int) -> Iterator[pa.RecordBatch]:
        """See `Table`."""
        at, behind = self._batches[group]
        fields = [self.schema.get_field_index(name) for name in names]
        options = pa.ipc.IpcReadOptions(included_fields=fields or [0], use_threads=False)
        with pa.ipc.open_stream(self._from(at, behind), options=options) as reader:
            batch = reader.read_next_batch()
        arrays = [_checked(batch.column(name)) for name in names]
        yield pa.RecordBatch.from_arrays(arrays, list(names))

    def _from(self, at: int, behind: int | None = None) -> pa.NativeFile:
        """The stream as if its batches began there: schema and dictionaries first."""
        self._handle.seek(self._start)
        prefix = self._handle.read(self._first - self._start)
        return pa.PythonFile(Handle(_Spliced(prefix, self._handle, at, behind or at)), mode="r")


class _Spliced(File):
    """Some bytes, and behind them a stretch of a file."""

    def __init__(self, prefix: bytes, handle: Handle, start: int, end: int) -> None:
        self.size = len(prefix) + end - start
        self._prefix, self._handle, self._start = prefix, handle, start

    def pread(self, n: int, at: int) -> bytes:
        """See `File`."""
        n, own = min(n, self.size - at), self._prefix[at : at + n]
        if len(own) == n:
            return own
        self._handle.seek(self._start + max(0, at - len(self._prefix)))
        return own + self._handle.read(n - len(own))


def _checked(array: pa.Array) -> pa.Array:
    """An array whose offsets can be trusted; text need not be UTF-8. Raises pa.ArrowInvalid."""
    kind = array.type
    bytes_of = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    if kind in bytes_of:
        array.validate()
        array = pc.cast(array, bytes_of[kind])
    array.validate(full=True)
    return array


def _messages(handle: Handle, start: int) -> Iterator[tuple[int, int, int, int]]:
    """Kind, offset, end and (for record batches) rows of each message. Raises ValueError."""
    at, size = start, handle.file.size
    while at < size:
        handle.seek(at)
        head = handle.read(8)
        mark, length = struct.unpack("<II", head) if len(head) == 8 else (_CONTINUATION, 0)
        body = at + 8
        if mark != _CONTINUATION:  # before Arrow 0.15
            length, body = mark, at + 4
        if length == 0:
            return
        handle.seek(body)
        header = handle.read(min(length, _MAX_HEADER))
        try:
            kind, body_bytes, rows = _header(header)
        except struct.error:
            raise ValueError(f"the message at byte {at:,} has a damaged header") from None
        behind = body + length + body_bytes
        if behind > size or min(body_bytes, rows) < 0:
            raise ValueError(f"the message at byte {at:,} goes beyond the end of the file: it has been cut or damaged")
        yield kind, at, behind, rows
        at = behind


def _header(data: bytes) -> tuple[int, int, int]:
    """Kind, bytes of the body and rows, from a Message flatbuffer. Raises struct.error."""

    def field(table: int, number: int) -> int:
        vtable = table - int(struct.unpack_from("<i", data, table)[0])
        if 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
            return 0
        offset = int(struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0])
        return table + offset if offset else 0

    def value(form: str, at: int) -> int:
        return int(struct.unpack_from(form, data, at)[0]) if at else 0

    message = int(struct.unpack_from("<I", data)[0])
    kind, body_bytes = value("<B", field(message, 1)), value("<q", field(message, 3))
    if kind != _BATCH:
        return kind, body_bytes, 0
    at = field(message, 2)
    return kind, body_bytes, value("<q", field(at + value("<I", at), 0))
