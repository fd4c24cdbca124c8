"""Numbers from an image's labels: where a face lies in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vae_batch.images.errors import ImageError


def numbers(labels: Mapping[str, Any] | None, names: Sequence[str], crop: str) -> list[float]:
    """The labels of some names as finite numbers.

    Raises:
        ImageError: stage "transform", class LabelError: one is missing, null, no number, or not finite.
    """
    labels = labels or {}
    missing = [name for name in names if labels.get(name) is None]
    if missing:
        raise _label_error(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing or null", crop)
    return [_number(name, labels[name], crop) for name in names]


def _number(name: str, value: Any, crop: str) -> float:
    try:
        number = math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _label_error(f"{name} is {str(value)[:40]!r}, no finite number", crop)
    return number


def _label_error(problem: str, crop: str) -> ImageError:
    return ImageError("transform", "LabelError", f"crop {crop} needs this image's labels, and {problem}")
