"""Shards: files that hold many images; what a plan knows of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from vae_batch.errors import SourceError
from vae_batch.types import Piece, ShardFormat


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a user may say about how a source is to be read."""

    image_column: str | None = None
    """Parquet and Arrow: the column of images; listings: the column of paths. None: found by looking."""
    id_column: str | None = None
    """Parquet, Arrow, listings: the column that holds the ids; None: `file#row`, or the path."""
    columns: Mapping[str, str] | None = None
    """Parquet, Arrow, listings: other columns that come along as labels, and their types (string, float64, int64,
    bool, json), by which a text file's cells are understood; None: all of plain type."""


NO_OPTIONS = SourceOptions()


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of a source that holds many images."""

    path: str
    """Relative to the source's root, POSIX."""
    bytes: int
    """Size on disk."""
    format: ShardFormat


class BrokenShardError(SourceError):
    """Nothing in a shard can be read: one reject among other shards, an error where there is nothing else.

    Args:
        path: the shard.
        error: class name for the reject.
        message: what is wrong and what to do; reads on from the shard's path.
    """

    def __init__(self, path: str, error: str, message: str) -> None:
        super().__init__(path, error, message)
        self.path, self.error, self.message = path, error, message

    def __str__(self) -> str:
        return f"{self.path} {self.message}"


@dataclass(frozen=True, slots=True)
class BrokenIndex:
    """The index of a shard in which nothing can be read."""

    rows: int = 1

    def split(self, shard: Shard, size: int) -> Iterator[Stretch]:
        """All of it in one piece."""
        yield Stretch(Piece(shard.path, shard.format, shard_bytes=shard.bytes), self.rows, shard.bytes)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a shard in the plan."""

    piece: Piece
    rows: int
    """What a reader will see in it."""
    bytes: int
    """Its share of the shard, on disk."""


class Index(Protocol):
    """A shard after a look at its directory, headers or footer."""

    @property
    def rows(self) -> int:
        """Files (or table rows) that a reader will see."""

    def split(self, shard: Shard, size: int) -> Iterator[Stretch]:
        """Cut into pieces of about `size` rows, in order; one piece where it cannot be split."""
