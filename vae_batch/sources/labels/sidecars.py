"""Labels from sidecars: a JSON object beside an image."""

from __future__ import annotations

import json
from typing import Any

from vae_batch.types import Tally

MAX_SIDECAR_BYTES = 64 << 10
"""A larger JSON file is not read as a sidecar."""
MAX_VALUES = 5000
"""One of more values (counted by the signs between them) is not either: each may take a hundred bytes of memory."""


def parse_labels(data: bytes | None) -> dict[str, Any] | None:
    """The JSON object in a sidecar; None for anything else, however it is broken, and for one that is too large."""
    if data is None or _is_large(data):
        return None
    try:
        labels = json.loads(data)
        if b"\\u" in data:  # half a surrogate pair is text that no column can hold
            json.dumps(labels, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return labels if isinstance(labels, dict) else None


def count_failure(tally: Tally, data: bytes | None, size: int = 0) -> None:
    """Count a sidecar that gave no labels, by its reason.

    Args:
        tally: of the unit.
        data: the sidecar's bytes, where they were read.
        size: what it has of them.
    """
    large = size > MAX_SIDECAR_BYTES or (data is not None and _is_large(data))
    tally.sidecars["too large" if large else "unreadable"] += 1


def _is_large(data: bytes) -> bool:
    return len(data) > MAX_SIDECAR_BYTES or sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES
