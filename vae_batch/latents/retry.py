"""Units that are to be made anew, kept in OUT so that a retry that was killed goes on.

Until the new part takes the old one's place (one rename, as ever) the old one stays: nothing is lost meanwhile. The
list errs only by naming a unit that was made anew already, which makes the same part again.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.layout import Layout


def save_retry(layout: Layout, units: Collection[int]) -> None:
    """Write the list, whole; an empty one says that only the summary is still to be made."""
    storage.write_json(layout.retry, {"units": sorted(units)}, layout.tmp)


def load_retry(layout: Layout) -> set[int] | None:
    """Read the list; None where no retry is under way.

    Raises:
        OutputError: it is damaged.
    """
    try:
        return {int(unit) for unit in json.loads(storage.read_bytes(layout.retry))["units"]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{layout.retry} is damaged ({error}); delete it and run again with --retry-rejects"
        ) from None


def end_retry(layout: Layout) -> None:
    """Take the list away, when all of it is done and summed up."""
    storage.remove(layout.retry)
