"""A collection as one tensor in memory: every epoch after the first reading is bound by the model, not by JPEG."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch

from vae_batch.errors import SourceError
from vae_batch.images import ImageError, Transform, load_image
from vae_batch.sources import Labelling, Reading, SourceOptions, open_source, plan_units, sample_labels
from vae_batch.specs import TrainSpec
from vae_batch.types import ImageRecord, Reject, Tally

CHUNK = 256
"""Images decoded at a time."""


@dataclass(slots=True)
class Pixels:
    """The images that could be read, in the source's order."""

    images: torch.Tensor
    """uint8 (N, S, S, 3)."""
    ids: list[str] = field(default_factory=list)
    rejected: int = 0
    examples: list[Reject] = field(default_factory=list)
    """Up to three that could not be read, and why."""


def load_pixels(spec: TrainSpec, transform: Transform, on_progress: Callable[[int], None] | None = None) -> Pixels:
    """Read, crop and resize a whole collection.

    Args:
        spec: says which images, as for `encode`.
        transform: crop and size.
        on_progress: called with the number of images so far.

    Raises:
        SourceError: it cannot be read as named, or no image in it can be used.
        SpecError: labels contradict each other, or do not tell the split.
    """
    chunks: list[np.ndarray] = []
    ids: list[str] = []
    rejects: list[Reject] = []
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        records = _records(spec, transform, rejects)
        while chunk := list(islice(records, CHUNK)):
            out = np.empty((len(chunk), transform.size, transform.size, 3), np.uint8)
            verdicts = list(pool.map(lambda item, out=out: _load(item[1], transform, out[item[0]]), enumerate(chunk)))
            failed = [(slot, verdict) for slot, verdict in enumerate(verdicts) if verdict]
            rejects += [verdict for _, verdict in failed]
            ids += [record.id for record, verdict in zip(chunk, verdicts, strict=True) if not verdict]
            chunks.append(np.delete(out, [slot for slot, _ in failed], axis=0) if failed else out)
            done += len(chunks[-1])
            if on_progress:
                on_progress(done)
    if not done:
        raise SourceError(f"no image of {spec.source} can be used{_because(rejects)}")
    return Pixels(torch.from_numpy(np.concatenate(chunks)), ids, len(rejects), rejects[:3])


def _records(spec: TrainSpec, transform: Transform, rejects: list[Reject]) -> Iterator[ImageRecord]:
    """Read one after the other, with the labels, of the split and without the excluded, as `encode` does."""
    needed = None if spec.split else dict.fromkeys(transform.columns, "float64")
    source = open_source(spec.source, SourceOptions(spec.image_column, spec.id_column, needed))
    with tempfile.TemporaryDirectory() as folder:
        keys = {key for labels in (sample_labels(source) if spec.split else ()) for key in labels}
        join, _ = Labelling(spec, source, folder, sidecar_keys=sorted(keys)).build(folder, folder)
        reading = Reading(source.root, source.options, join)
        for unit in plan_units(source):
            for record in reading.read(unit, Tally()):
                if isinstance(record, Reject):
                    rejects.append(record)
                else:
                    yield record


def _load(record: ImageRecord, transform: Transform, out: np.ndarray) -> Reject | None:
    try:
        load_image(record.data, transform, out, record.labels)
    except ImageError as error:
        return Reject(record.id, record.shard, record.row, error.stage, error.error, error.message)
    return None


def _because(rejects: list[Reject]) -> str:
    if not rejects:
        return ": it holds none"
    return f": all {len(rejects):,} were rejected, the first, {rejects[0].id}, since {rejects[0].message}"
