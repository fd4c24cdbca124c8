"""The batch size of a job whose replicas ran out of memory: kept in OUT, so that a later run begins with it.

It moves values by rounding only, so it is no part of the fingerprint; the footers say what each part was made with.
"""

from __future__ import annotations

import json

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.layout import Layout


def save_batch_size(layout: Layout, most: int, asked: int | None) -> None:
    """Keep how many images at once fit, and how many were asked for when that was found (None: the default)."""
    storage.write_json(layout.batch_size, {"most": most, "asked": asked}, layout.tmp)


def load_batch_size(layout: Layout, asked: int | None) -> int | None:
    """Read how many images at once fit; None where that is not known, or where another number is asked for now.

    Raises:
        OutputError: the file is damaged.
    """
    try:
        value = json.loads(storage.read_bytes(layout.batch_size))
        return int(value["most"]) if value["asked"] == asked else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{layout.batch_size} is damaged ({error}); delete it and run again") from None
