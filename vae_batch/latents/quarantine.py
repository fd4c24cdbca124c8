"""What quarantine found: images whose decoding kills or hangs its process; a file for each unit that has any."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from vae_batch import storage
from vae_batch.latents.layout import Layout

HANG = "hang"


@dataclass(frozen=True, slots=True)
class Poison:
    """One image that killed or hung the process that decoded it, alone, three times."""

    id: str
    shard: str
    row: int
    sha256: str
    """Of its bytes: another content at the same place is another image."""
    happened: str
    """Name of the signal (SIGSEGV, SIGABRT, SIGKILL ...), `exit code N`, `out of memory`, or `hang`."""

    @property
    def error(self) -> str:
        """Class name for the reject."""
        return "Timeout" if self.happened == HANG else "ProcessCrash"

    @property
    def message(self) -> str:
        """Reason for the reject; without the signal, which may be another one the next time: equal bytes come first."""
        return "decoding it does not end" if self.happened == HANG else "decoding it kills the process"


def read_poison(layout: Layout, unit: int) -> list[Poison]:
    """Give what is known of a unit; empty if it was never found to hold poison."""
    try:
        return [Poison(**image) for image in json.loads(storage.read_bytes(layout.quarantine_file(unit)))]
    except FileNotFoundError:
        return []


def write_poison(layout: Layout, unit: int, images: Iterable[Poison]) -> None:
    """Keep what was found in a unit, in order of shard and row."""
    storage.make_folder(layout.quarantine)
    ordered = sorted(images, key=lambda image: (image.shard, image.row))
    storage.write_json(layout.quarantine_file(unit), [asdict(image) for image in ordered], layout.tmp)
