"""Names of files: bytes to text and back, and the two ways in which names belong together."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_to_bytes

from vae_batch.types import ShardFormat

_NOT_UTF8 = re.compile("[%\udc80-\udcff]")


def to_text(name: bytes) -> str:
    """A path as text: itself where it is UTF-8, else with its other bytes (and its percent signs) as %XX.

    NUL, which no file system and few readers take, is %00.
    """
    try:
        text = name.decode()
    except UnicodeDecodeError:
        loose = name.decode(errors="surrogateescape")
        text = _NOT_UTF8.sub(lambda m: f"%{m[0].encode(errors='surrogateescape')[0]:02X}", loose)
    return text.replace("\0", "%00") if "\0" in text else text


def candidates(root: str, path: str) -> list[bytes]:
    """The files that a path from `to_text` may mean, likeliest first: as it reads, then with its %XX undone."""
    base = os.fsencode(root) + (b"/" if root else b"")
    plain = path.encode()
    found = [base + plain]
    if "%" in path and (undone := unquote_to_bytes(plain)) != plain and not _is_utf8(undone):
        found.append(base + undone)
    return found


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def stem_of(name: str) -> str:
    """The path without its last extension: what an image and its own sidecar share."""
    stem, dot, extension = name.rpartition(".")
    return stem if dot and "/" not in extension else name


def is_json(name: str) -> bool:
    """Whether a file may be a sidecar, going by its name."""
    return name.endswith(".json")


SHARD_EXTENSIONS: dict[str, ShardFormat] = {
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tgz": "tar",
    ".zip": "zip",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}


def shard_format(name: str) -> ShardFormat | None:
    """The format of a shard, going by its name; None for what is no shard."""
    lower = name.lower()
    if name.rpartition("/")[2].startswith("._"):  # metadata that macOS leaves behind
        return None
    return next((kind for extension, kind in SHARD_EXTENSIONS.items() if lower.endswith(extension)), None)


def listing_kind(name: str) -> str | None:
    """The kind of a listing in text, csv, tsv or json, going by its name; None for what is none."""
    extension = name.rpartition(".")[2].lower()
    return {"csv": "csv", "tsv": "tsv", "jsonl": "json", "ndjson": "json"}.get(extension)


def is_compressed(name: str) -> bool:
    """Whether a shard is compressed, going by its name."""
    return name.lower().endswith("gz")
