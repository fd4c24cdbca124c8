"""Labels from sidecars: a JSON object beside an image."""

from __future__ import annotations

import json
from typing import Any

MAX_SIDECAR_BYTES = 1 << 20
"""A larger JSON file is not read as a sidecar."""


def parse_labels(data: bytes | None) -> dict[str, Any] | None:
    """The JSON object in a sidecar; None for anything else, however it is broken."""
    if data is None or len(data) > MAX_SIDECAR_BYTES:
        return None
    try:
        labels = json.loads(data)
        if b"\\u" in data:  # half a surrogate pair is text that no column can hold
            json.dumps(labels, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return labels if isinstance(labels, dict) else None
