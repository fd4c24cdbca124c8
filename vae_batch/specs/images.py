"""Which images a job works on: common to all that reads a collection."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from vae_batch.specs.base import Spec


class ImagesSpec(Spec):
    """Which images, their labels, and how they are cut: common to all that reads a collection."""

    source: str
    """A folder, a shard (tar, zip, Parquet, Arrow), a pattern of shards, or a listing; a path or a URI."""
    image_column: str | None = None
    """Parquet, Arrow, listings: the column of images or paths; None: found by looking."""
    id_column: str | None = None
    """Parquet, Arrow, listings: the column of ids; None: `file#row`, or the path."""
    labels: tuple[str, ...] = ()
    """Files (or folders of them) with labels by image: CSV, Parquet, JSON Lines, CelebA's own."""
    split: Literal["train", "validation", "test"] | None = None
    """Only the images of this part, where labels say which; `valid` is taken for validation."""
    exclude: str | None = None
    """A file of ids or sha256, one a line: images that are left out."""
    crop: str | None = None
    """none, center, center:N, WxH+X+Y, landmarks or box; None: the model's own, else center."""
    fit: Literal["cover", "contain", "stretch"] | None = None
    """How what was cut becomes a square; None: the model's own, else cover."""
    decode: Literal["exact", "fast"] | None = None
    """fast: JPEGs are decoded at a reduced size where they are shrunk by two or more; None: the model's own."""

    @field_validator("labels", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("split", mode="before")
    @classmethod
    def _short_name(cls, value: object) -> object:
        return "validation" if value in ("valid", "val") else value
