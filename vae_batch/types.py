"""The words of the package as types: what passes between sources, work and latents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["read", "decode", "transform", "encode", "generate"]
"""Where an image was lost: reading its bytes, decoding, crop and resize, or the model (encode, generate)."""

ShardFormat = Literal["folder", "tar", "zip", "parquet", "arrow", "listing", "indices"]
"""indices: no file, but the numbers of images that are generated."""

BOX_COLUMNS = ("x_1", "y_1", "width", "height")
"""Labels of a box, in pixels: its left and upper edge, its width and height. CelebA's names."""

LANDMARK_COLUMNS = tuple(
    f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
"""Labels of five points, in pixels; left and right as they appear in the image. CelebA's names."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How the file begins that git-LFS leaves in place of one that was not pulled."""


@dataclass(slots=True, frozen=True)
class ImageRecord:
    """One image as a source gives it: its encoded bytes and where they came from."""

    id: str
    """POSIX path in the source, with the extension; `shard-path/member-path` in an archive."""
    shard: str
    """The shard's path relative to the source; "." for the files of a folder."""
    row: int
    """Position in the shard, counted from 0 over all that the reader sees there."""
    data: bytes
    """The file's bytes, undecoded."""
    labels: Mapping[str, Any] | None = None
    """The JSON object of the sidecar, as parsed; None where there is none."""


@dataclass(slots=True, frozen=True)
class Reject:
    """An image that could not be encoded, and why."""

    id: str
    shard: str
    row: int
    stage: Stage
    error: str
    """Name of the error's class."""
    message: str
    sha256: str | None = None
    """Of the image's bytes, where they could be read."""


@dataclass(slots=True)
class Tally:
    """What a reader met in one unit; seen = rows + rejects + skipped + excluded must hold at the unit's end."""

    seen: int = 0
    """Images, damaged regions and other files; a sidecar that belongs to an image is not counted."""
    skipped: int = 0
    """Files that are no image, neither by extension nor by their first bytes."""
    excluded: int = 0
    """Images left out on purpose: by --exclude, or of another --split."""
    bytes: int = 0
    """Bytes of the images handed on."""
    sidecars: Counter[str] = field(default_factory=Counter)
    """Sidecars that gave no labels, by reason: `unreadable` (no JSON object), `too large`, `late` (too far behind its
    images), `alone` (in a tar, with no image of its key beside it)."""
    unmatched: Counter[str] = field(default_factory=Counter)
    """Images handed on that have no row in a label file, by file."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why images were left out; see `sources.labels.join`."""


@dataclass(slots=True, frozen=True)
class Scaling:
    """How latents become those that a diffusion model takes: (z - shift)·factor, by channel (the first axis)."""

    shift: tuple[float, ...]
    """One number for all channels, or one for each."""
    factor: tuple[float, ...]
    """Likewise; the variance is multiplied by its square."""

    @classmethod
    def of(cls, named: Mapping[str, Any]) -> Scaling:
        """Make it of what diffusers names: (z - shift_factor)·scaling_factor, or, where there are a mean and a
        standard deviation by channel, (z - latents_mean)·scaling_factor / latents_std."""
        factor, mean, std = (named.get(name) for name in ("scaling_factor", "latents_mean", "latents_std"))
        factor = 1.0 if factor is None else float(factor)
        if mean is not None and std is not None:
            return cls(tuple(map(float, mean)), tuple(factor / float(s) for s in std))
        return cls((float(named.get("shift_factor") or 0.0),), (factor,))


@dataclass(slots=True, frozen=True)
class Piece:
    """A contiguous run of one shard."""

    shard: str
    """Path relative to the source's root, POSIX; "." for the files of a folder."""
    format: ShardFormat
    first_row: int = 0
    """Row number of the first file in this piece."""
    start: int = 0
    """tar: offset of the first header to read, in bytes of the uncompressed archive; zip: entry of the directory;
    parquet, arrow: row; listing: byte offset, or row where it is a table; indices: number of an image."""
    end: int | None = None
    """Behind the last of these to read; None reads to the end of the shard."""
    files: tuple[str, ...] = ()
    """folder: paths of the files relative to the source's root, in order, percent-encoded where not UTF-8."""
    repeats: tuple[int, ...] = ()
    """Rows whose id an earlier row of the shard already has: rejects."""
    shard_bytes: int = 0
    """Size of the shard when it was planned: another one means another content. 0 for loose files."""


@dataclass(slots=True, frozen=True)
class Unit:
    """What one replica takes at a time and one part holds: a contiguous run of the source."""

    number: int
    pieces: tuple[Piece, ...]
    seen: int | None
    """What the reader will meet (`Tally.seen`), where the plan could count it; else None."""
    bytes: int
    """Size of the files or of the stretch of archive, compressed as it lies on disk."""


@dataclass(slots=True)
class Receipt:
    """What a replica tells the driver of a finished unit; the footer of the part says the same, less the times."""

    unit: int
    rows: int
    rejects: int
    skipped: int
    excluded: int
    seen: int
    bytes_in: int
    bytes_out: int
    seconds: dict[str, float]
    """Wall time by stage: read, decode, device, write, wait."""
    examples: list[Reject] = field(default_factory=list)
    """Up to three of the rejects, for messages."""
