"""What the formats of listings have in common: rows as mappings, each at a place from which the file can be read on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vae_batch.sources.names import to_text

SAMPLE_ROWS = 1000
"""First rows that names and types of columns are learnt from: a function of the file, so that all readers agree."""


@dataclass(slots=True)
class Line:
    """A row of a listing."""

    at: int
    """Where it begins: byte offset in a text file, row number in a table."""
    values: Mapping[str, Any]
    error: str = ""
    """Why it cannot be understood; it has no values then."""


class Rows(Protocol):
    """An open listing."""

    @property
    def names(self) -> Sequence[str]:
        """Its columns."""

    def choose(self, texts: Sequence[str], types: Mapping[str, str] | None) -> None:
        """Say which columns are wanted: those of paths and ids, as text, and labels with their types if known."""

    def lines(self, start: int, end: int | None) -> Iterator[Line]:
        """Stream the rows that begin from `start` on and before `end`; the first call's start is 0.

        Raises:
            SourceError: it cannot be told where rows begin.
            OSError: the storage fails.
        """


def text_of(value: Any) -> str | None:
    """A value as a path or an id; None where it is null, nested or empty."""
    if not isinstance(value, str):
        return None if value is None or isinstance(value, dict | list) else str(value)
    if value.isascii() and "\0" not in value:
        return value
    try:
        return to_text(value.encode(errors="surrogateescape"))
    except UnicodeEncodeError:  # half a surrogate pair, from JSON
        return to_text(value.encode(errors="surrogatepass"))
