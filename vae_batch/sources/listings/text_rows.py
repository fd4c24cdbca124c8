"""Rows of a CSV, TSV or JSON Lines file, from any of its byte offsets on, with numbers told from text once."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from vae_batch.errors import SourceError
from vae_batch.sources.files import File
from vae_batch.sources.listings.line import SAMPLE_ROWS, Line, text_of
from vae_batch.sources.sniff import has_image_extension

_BLOCK = 1 << 20
_MAX_LINE = 16 << 20
_LEADING_ZERO = re.compile(r"[+-]?0\d")
_BOOLS = {"true": True, "false": False}
_Maker = Callable[[str], Any]
_DELIMITERS = ",;\t|"


class JsonRows:
    """An open JSON Lines file: an object a line; blank lines are passed over."""

    def __init__(self, file: File, title: str) -> None:
        self._file, self._title = file, title
        _refuse_utf16(file, title)
        sample = [line.values for line in islice(self.lines(0, None), SAMPLE_ROWS)]
        self.names: Sequence[str] = list(dict.fromkeys(key for values in sample for key in values))

    def choose(self, texts: Sequence[str], types: Mapping[str, str] | None) -> None:
        """See `Rows`; JSON says itself what its values are."""

    def lines(self, start: int, end: int | None) -> Iterator[Line]:
        """See `Rows`."""
        for at, raw in _raw_lines(self._file, start, end, self._title):
            if raw.strip(b" \t\r\n\xef\xbb\xbf"):
                yield _parsed(at, raw)


def _parsed(at: int, raw: bytes) -> Line:
    try:
        values = json.loads(raw.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        return Line(at, {}, f"the line is no JSON: {error}")
    return Line(at, values) if isinstance(values, dict) else Line(at, {}, "the line is no JSON object")


class CsvRows:
    """An open CSV or TSV file, with a header, or without one where its first row already names an image."""

    def __init__(self, file: File, title: str, tabs: bool) -> None:
        self._file, self._title = file, title
        _refuse_utf16(file, title)
        first = next((raw for _, raw in _raw_lines(file, 0, None, title) if raw.strip()), b"")
        self._delimiter = "\t" if tabs else max(_DELIMITERS, key=first.decode(errors="replace").count)
        self._begin = 0
        _, header, error = next(self._records(0, None), (0, [], ""))
        if error:
            raise SourceError(f"{title}: its header cannot be read: {error}")
        if any(has_image_extension(cell) for cell in header):
            self.names: Sequence[str] = [f"column{i}" for i in range(1, len(header) + 1)]
        else:
            self.names = [cell.strip() for cell in header]
            self._begin = next((at for at, _, _ in islice(self._records(0, None), 1, None)), file.size)
        self._makers: list[_Maker | None] = [*self._guess()]

    def choose(self, texts: Sequence[str], types: Mapping[str, str] | None) -> None:
        """See `Rows`."""
        named = {"string": _text, "json": _json, "float64": _number, "int64": _number, "bool": _bool}
        for i, name in enumerate(self.names):
            if name in texts:
                self._makers[i] = _text
            elif types is not None:
                self._makers[i] = named.get(types.get(name, ""))

    def lines(self, start: int, end: int | None) -> Iterator[Line]:
        """See `Rows`."""
        width = len(self.names)
        for at, cells, error in self._records(max(start, self._begin), end):
            if not error and any(cells[width:]):
                hint = f"a cell that holds {self._delimiter!r} wants quotes"
                error = f"{len(cells)} cells where the header has {width}; {hint}"
            found = zip(self.names, self._makers, cells, strict=False)
            values = {} if error else {name: make(cell) if cell else None for name, make, cell in found if make}
            yield Line(at, values, error)

    def _guess(self) -> list[_Maker]:
        """What makes values of each column's cells: numbers or bools where the first rows are nothing else."""
        rows = [cells for _, cells, error in islice(self._records(self._begin, None), SAMPLE_ROWS) if not error]
        makers: list[_Maker] = []
        for i in range(len(self.names)):
            cells = [row[i] for row in rows if i < len(row) and row[i]]
            fits = (make for make in (_bool, _number) if cells and not any(isinstance(make(c), str) for c in cells))
            makers.append(next(fits, _text))
        return makers

    def _records(self, start: int, end: int | None) -> Iterator[tuple[int, list[str], str]]:
        """Offset, cells and error of each record; blank ones are passed over.

        Raises:
            SourceError: a quote that is opened and not closed: nobody knows where the next row begins.
        """
        feed = _Feed(self._file, start, end, self._title)
        reader = csv.reader(feed, delimiter=self._delimiter, strict=True)
        while True:
            at, before = feed.offset, feed.count
            try:
                cells = next(reader, None)
            except csv.Error as error:
                if feed.count - before != 1 or "unexpected end" in str(error):
                    raise SourceError(
                        f"{self._title}: the row at byte {at:,} has a quote that is not closed as it should be "
                        f"({error}); correct it"
                    ) from error
                yield at, [], f"the row cannot be read: {error}"
                continue
            if cells is None:
                return
            if cells:
                yield at, cells, ""


class _Feed:
    """Lines as text for `csv.reader`, and how far they go."""

    def __init__(self, file: File, start: int, end: int | None, title: str) -> None:
        self._lines = _raw_lines(file, start, end, title)
        self.offset, self.count = start, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        at, raw = next(self._lines)
        self.offset = at + len(raw)
        self.count += 1
        return raw.decode("utf-8" if at else "utf-8-sig", "surrogateescape")


def _raw_lines(file: File, start: int, end: int | None, title: str) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line that begins before the end, a block of the file at a time."""
    rest, at, read = b"", start, start
    while end is None or at < end:
        block = file.pread(_BLOCK, read)
        read += len(block)
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            if end is not None and at >= end:
                return
            yield at, line + b"\n"
            at += len(line) + 1
        if not block:
            if rest and (end is None or at < end):
                yield at, rest
            return
        if len(rest) > _MAX_LINE:
            raise SourceError(f"{title}: the line at byte {at:,} is longer than {_MAX_LINE:,} bytes; is it a listing?")


def _refuse_utf16(file: File, title: str) -> None:
    if file.pread(2, 0) in (b"\xff\xfe", b"\xfe\xff"):
        raise SourceError(f"{title} is UTF-16; a listing is UTF-8: save it so")


def _text(cell: str) -> str:
    return text_of(cell) or ""


def _number(cell: str) -> Any:
    """The number; the text itself where it is none, or more than that, such as 007."""
    try:
        value = float(cell)
    except ValueError:
        return _text(cell)
    if "_" in cell or _LEADING_ZERO.match(cell.strip()):
        return _text(cell)
    return int(value) if math.isfinite(value) and value == int(value) and abs(value) < 2**53 else value


def _bool(cell: str) -> Any:
    return _BOOLS.get(cell.strip().lower(), _text(cell))


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return _text(cell)
