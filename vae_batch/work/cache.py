"""A collection decoded once, for training: the images that `encode` would take, into a folder that is mapped later."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_batch import storage
from vae_batch.errors import OutputError, SourceError, SpecError
from vae_batch.images import Transform
from vae_batch.images.cache import REJECTS, CacheWriter, ImageCache
from vae_batch.latents.job import VALUES_VERSION
from vae_batch.sources import (
    Labelling,
    Reading,
    Source,
    SourceOptions,
    broken_shards,
    count_images,
    default_unit_size,
    open_source,
    plan_units,
    sample_labels,
)
from vae_batch.specs import TrainSpec
from vae_batch.work.boxes import check_places
from vae_batch.work.decoders import Decoders
from vae_batch.work.decoding import Decoding

FORMAT = 1
"""Raised whenever a cache of this version could not be read, or would not be made, by the one before."""

UNIT_BYTES = 64 << 20
"""Pixels in a unit, at most: some units of each process lie beside the cache while it grows."""


def open_cache(
    spec: TrainSpec,
    folder: str | Path,
    on_read: Callable[[int], object] = lambda images: None,
    say: Callable[[str], object] = lambda line: None,
) -> ImageCache:
    """Find a collection's decoded images, or decode them: each in a process that it may kill, on all cores.

    In the folder each cache has a folder of its own, named by its fingerprint, that appears when it is whole: one
    folder serves several collections, sizes and trainings, also at the same time.

    Args:
        spec: says which images, as for `encode`, and the size.
        folder: for caches; here, since they are mapped into memory.
        on_read: called with the number of images decoded so far.
        say: takes lines for the user.

    Raises:
        SourceError: the collection cannot be read as named, or no image in it can be used.
        SpecError: labels contradict each other, do not tell the split, or do not belong to the images.
        OutputError: the folder has no room, or what is in it is damaged.
        UnitError: some of the source cannot be read for good.
    """
    if storage.is_remote(folder):
        raise SpecError(f"cache={folder}: decoded images are mapped into memory; give a folder of a mounted disk")
    folder = Path(folder)
    looked = _look(spec, folder)
    final = folder / f"images-{storage.json_sha256(looked.fields)[:16]}"
    if final.exists():
        cache = ImageCache.open(final)
        on_read(cache.count)
        return cache
    for line in (*looked.labelling.remarks, *broken_shards(looked.source)):
        say(line)
    folder.mkdir(parents=True, exist_ok=True)
    storage.sweep(folder)
    _check_room(spec, looked, folder)
    unfinished = storage.scratch(folder, final.name)
    try:
        _build(looked, unfinished, on_read, say)
        _publish(unfinished, final)
    except OSError as error:
        if not storage.is_full(error):
            raise
        raise OutputError(
            f"no room is left for decoded images in {folder}: free some, or give another --cache"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return ImageCache.open(final)


@dataclass(frozen=True, slots=True)
class _Looked:
    """A spec looked at against its source."""

    source: Source
    labelling: Labelling
    transform: Transform
    fields: dict[str, Any]

    @property
    def image_bytes(self) -> int:
        return self.transform.size**2 * 3


def _look(spec: TrainSpec, folder: Path) -> _Looked:
    transform = Transform(spec.image_size, spec.crop or "center", spec.fit or "cover", spec.decode or "exact")
    # without a split no label is needed but those that say where to cut
    needed = None if spec.split else dict.fromkeys(transform.columns, "float64")
    source = open_source(spec.source, SourceOptions(spec.image_column, spec.id_column, needed))
    keys = {key for labels in (sample_labels(source) if spec.split else ()) for key in labels}
    labelling = Labelling(spec, source, str(folder), sidecar_keys=sorted(keys))
    fields = {
        "format": FORMAT,
        "values_version": VALUES_VERSION,
        "source": source.digest(),
        "image_column": spec.image_column,
        "id_column": spec.id_column,
        **{f"transform.{k}": v for k, v in transform.to_dict().items()},
        **labelling.fingerprint,
    }
    return _Looked(source, labelling, transform, fields)


def _check_room(spec: TrainSpec, looked: _Looked, folder: Path) -> None:
    """Refuse a disk that is too small for what was counted; a split or an exclusion may leave little of it."""
    extent, free = count_images(looked.source), shutil.disk_usage(folder).free
    needed = extent.files * looked.image_bytes
    if extent.exact and not spec.split and not spec.exclude and needed > free:
        raise OutputError(
            f"{extent.files:,} images decoded at {looked.transform.size} pixels take {needed / 1e9:,.1f} GB, and "
            f"{folder} has {free / 1e9:,.1f} GB free: give --cache on a larger disk, or a smaller --image-size"
        )


def _build(looked: _Looked, unfinished: Path, on_read: Callable[[int], object], say: Callable[[str], object]) -> None:
    """Fill a new folder; all that is only needed meanwhile lies in one within it, and is removed."""
    work = unfinished / "work"
    work.mkdir(parents=True)
    join, remarks = looked.labelling.build(str(work), str(work))
    for remark in remarks:
        say(remark)
    reading = Reading(looked.source.root, looked.source.options, join)
    size = default_unit_size(count_images(looked.source).files)
    units = list(plan_units(looked.source, min(size, max(1, UNIT_BYTES // looked.image_bytes))))
    check_places(reading, units, looked.transform)
    cores = len(os.sched_getaffinity(0))
    processes = max(1, min(cores, len(units)))
    decoders = Decoders(Decoding(str(work), reading, looked.transform), processes, cores // processes)
    with CacheWriter(unfinished, looked.transform.size) as writer:
        for pixels, decoded in decoders.run(units, work, on_read):
            writer.add(pixels, decoded.ids, decoded.rejects)
            pixels.unlink()
        on_read(writer.count)
    if not writer.count:
        raise SourceError(f"no image of {looked.source.location} can be used{_because(unfinished)}")
    writer.finish(looked.fields)
    shutil.rmtree(work)


def _publish(unfinished: Path, final: Path) -> None:
    """Give the folder its name, when all of it is on the disk; of two that were made at once one stays."""
    for file in unfinished.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    try:
        unfinished.rename(final)
    except OSError:
        if not final.exists():
            raise


def _because(unfinished: Path) -> str:
    with (unfinished / REJECTS).open(encoding="utf-8") as file:
        rejects = [json.loads(line) for line in file]
    if not rejects:
        return ": it holds none"
    return f": all {len(rejects):,} were rejected, the first, {rejects[0]['id']}, since {rejects[0]['message']}"
