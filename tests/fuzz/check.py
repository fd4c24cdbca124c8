"""What must hold of any collection, however damaged: it is refused as a whole, or every file of it is accounted for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from vae_batch.errors import SourceError
from vae_batch.images import ImageError, Transform, load_image
from vae_batch.sources import Reading, open_source, plan_units, sample_labels
from vae_batch.types import ImageRecord, Tally

SIZE = 16


def check_image(data: bytes) -> str:
    """Decode damaged bytes; gives "row" or the name of the reject's error. Anything else that is raised is a bug."""
    out = np.zeros((SIZE, SIZE, 3), np.uint8)
    try:
        width, height = load_image(data, Transform(SIZE), out)
    except ImageError as error:
        assert error.message and error.error
        return error.error
    assert width > 0 and height > 0
    return "row"


def check_source(location: Path, unit_size: int = 3) -> Counter[str]:
    """Read a damaged collection as a job would, and add up."""
    found: Counter[str] = Counter()
    try:
        source = open_source(str(location))
        list(sample_labels(source, 10))
        units = list(plan_units(source, unit_size))
    except SourceError as error:
        assert location.name in str(error) or "no files" in str(error), error
        return Counter(refused=1)
    reading = Reading(source.root, source.options)
    places = set()
    for unit in units:
        tally, handed = Tally(), 0
        for item in reading.read(unit, tally):
            handed += 1
            places.add((item.shard, item.row))
            if isinstance(item, ImageRecord):
                assert len(item.data) <= 256 << 20
                found[check_image(item.data)] += 1
            else:
                assert item.stage == "read" and item.error and item.message
                found[item.error] += 1
        assert handed + tally.skipped + tally.excluded == tally.seen, unit
        assert unit.seen in (None, tally.seen)
        found["skipped"] += tally.skipped
    assert len(places) == sum(found.values()) - found["skipped"]
    return found
