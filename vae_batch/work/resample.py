"""Further draws from posteriors that are stored: no model, no images, the same values that `encode` would store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.errors import OutputError, SpecError
from vae_batch.images import Transform
from vae_batch.latents.arrays import to_array
from vae_batch.latents.footer import Footer, read_footer, read_footers
from vae_batch.latents.job import JobFile, check_same, encoded_job, existing_job
from vae_batch.latents.layout import Layout
from vae_batch.latents.moments import Moments
from vae_batch.latents.part import PartWriter
from vae_batch.latents.plan import Plan, open_plan
from vae_batch.latents.retry import load_retry
from vae_batch.latents.sampling import draw_samples
from vae_batch.latents.schema import EncodeSchema, rows_at_a_time
from vae_batch.latents.summary import Summary, finished_summary, remove_strays, summarise
from vae_batch.latents.take import numbers
from vae_batch.models import ModelCard
from vae_batch.specs import EncodeSpec
from vae_batch.work.schema import schema_of

_IDENTITY = ("fingerprint", "values_sha256")
"""In what the footer of a part differs from that of the part it was made from."""

_FOOTER = (
    "unit",
    "fingerprint",
    "numerics",
    "seen",
    "rejects",
    "skipped",
    "excluded",
    "notes",
    "fp32_rows",
    "rejects_file",
)
"""What a part says of itself beside its rows, in the order in which `encode` writes it."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What it takes to make any part."""

    before: Layout
    after: Layout
    fingerprint: str
    seed: int
    schema: EncodeSchema


class _Known(Moments):
    """The moments of the part that is read: means and variances stay what they are."""

    def update(self, batch: pa.RecordBatch) -> None:
        """Nothing: they have these rows."""


def resample(
    latents: str, out: str, samples: int, seed: int | None = None, say: Callable[[str], None] = lambda line: None
) -> Summary:
    """Draw from stored posteriors again, into a data set of its own.

    OUT is, to the byte, what the same `encode` with these samples and this seed would have written. Each part
    appears by one rename: stopped at any moment, the same call goes on.

    Args:
        latents: an encoded data set, finished; a folder or a URI.
        out: the new one, a folder or a URI: new, empty, or of the same call.
        samples: K >= 1 draws per image.
        seed: of the draws; None: that of `latents`.
        say: takes lines about what is done.

    Raises:
        SpecError: there is nothing to draw, or OUT is `latents`.
        OutputError: `latents` is no finished encoded data set, or a part of it is damaged.
        MismatchError: OUT belongs to another job.
    """
    before, after = Layout.of(latents), Layout.of(out)
    source = _finished(before)
    file = _job_file(source, after, samples, seed)
    if before.out == after.out:
        raise SpecError(f"--out {out} is the data set that is read: give a new folder")
    existing = existing_job(after)
    if existing:
        check_same(after, existing, file.fields)
    after.make()
    _copy_state(before, after)
    if existing is None:
        file.create(after)
        check_same(after, JobFile.load(after), file.fields)
    elif existing.plan != file.plan:
        file.save(after)
    units = list(range(source.plan.units))
    todo = _todo(before, after, units)
    finished = finished_summary(after, file)
    if not todo and finished:
        say(f"Already done: {finished.rows:,} rows. Nothing to do in {after.out}.")
        return finished
    say(f"{len(todo):,} of {len(units):,} parts to make, {samples} draws per image.")
    storage.sweep(after.tmp)
    _make_parts(_task(file, before, after), open_plan(before, source.plan), todo)
    summary = summarise(after, file, units)
    remove_strays(after, file, units)
    summary.save(after)
    say(f"Done: {summary.rows:,} rows in {summary.units:,} parts: {after.out}")
    return summary


def _finished(layout: Layout) -> JobFile:
    job = encoded_job(layout)
    missing = job.plan.units - len(layout.parts()[0] & set(range(job.plan.units)))
    if missing or load_retry(layout) is not None:
        raise OutputError(
            f"{layout.out} is not finished: {missing:,} parts are missing; let `encode` go on with it first"
        )
    return job


def _job_file(source: JobFile, after: Layout, samples: int, seed: int | None) -> JobFile:
    """Give the job file of an `encode` with so many samples."""
    seed = int(source.fields["seed"]) if seed is None else seed
    spec = EncodeSpec(**{**source.spec, "samples": samples, "seed": seed, "out": after.out})
    if not samples:
        raise SpecError("samples=0: give the number of draws per image, from 1")
    fields = {**source.fields, "samples": samples, "seed": seed}
    return replace(source, fields=fields, spec=spec.model_dump(mode="json"))


def _copy_state(before: Layout, after: Layout) -> None:
    """Copy what the parts and the job file name: plan, list of the source's files, rejects, labels, quarantine."""
    folders = [(before.state, after.state), (before.rejects, after.rejects)]
    folders += [(before.labels, after.labels), (before.quarantine, after.quarantine)]
    for old, new in folders:
        storage.make_folder(new)
        there = storage.list_files(new)
        for name, size in storage.list_files(old).items():
            if there.get(name) != size and (name.endswith(".arrow") or old == before.quarantine):
                here = storage.fetch(storage.join(old, name))
                _copy(here, storage.join(new, name), after.tmp)
                if storage.is_remote(old):
                    here.unlink()


def _copy(file: Any, final: str, tmp: str) -> None:
    storage.write_bytes(final, file.read_bytes(), tmp)


def _todo(before: Layout, after: Layout, units: list[int]) -> list[int]:
    """The units whose part is missing, or was made from one that has been made anew since."""
    present = after.parts()[0]
    done = [unit for unit in units if unit in present]
    pairs = zip(read_footers(map(before.part, done)), read_footers(map(after.part, done)), strict=True)
    kept = {unit for unit, (old, new) in zip(done, pairs, strict=True) if _told(old) == _told(new) is not None}
    return [unit for unit in units if unit not in kept]


def _told(footer: Footer | OutputError) -> dict[str, Any] | None:
    if isinstance(footer, OutputError):
        return None
    return {key: value for key, value in asdict(footer).items() if key not in _IDENTITY}


def _task(file: JobFile, before: Layout, after: Layout) -> _Task:
    spec, card = EncodeSpec(**file.spec), ModelCard.from_dict(file.model)
    transform = {key.removeprefix("transform."): v for key, v in file.fields.items() if key.startswith("transform.")}
    schema = schema_of(spec, card, Transform.from_dict(transform), file.labels)
    return _Task(before, after, file.fingerprint, spec.seed, schema)


def _make_parts(task: _Task, plan: Plan, todo: list[int]) -> None:
    """Make the parts on all cores; numpy, zstd and the disk leave Python to the others."""
    threads = os.cpu_count() or 1
    waiting = iter(todo)
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(waiting, threads)):  # no more than these are in hand when one fails
            list(pool.map(partial(_make_part, task, plan), some))


def _make_part(task: _Task, plan: Plan, unit: int) -> None:
    """Make one part and publish it."""
    footer = read_footer(task.before.part(unit))
    unfinished = storage.scratch(task.after.tmp, f"part-{unit:06d}")
    moments = _Known(task.schema.latent_shape, task.schema.scaling)
    moments.add(footer.moments)
    schema = task.schema.arrow()
    shards = pa.array(dict.fromkeys(piece.shard for piece in plan[unit].pieces), pa.string())
    try:
        with PartWriter(unfinished, schema, task.schema.row_group_rows, moments) as part:
            for batch in _batches(task.before.part(unit)):
                part.write(_drawn(task, schema, shards, batch))
            part.finish(_footer(task, footer))
        if part.rows != footer.rows:
            raise OutputError(f"{task.before.part(unit)} has {part.rows} rows, its footer says {footer.rows}")
        storage.publish(unfinished, task.after.part(unit), task.after.tmp)
    finally:
        unfinished.unlink(missing_ok=True)


def _batches(location: str) -> Iterator[pa.RecordBatch]:
    """Iterate over a part's rows without its samples."""
    with storage.open_input(location) as source, pq.ParquetFile(source) as file:
        columns = [name for name in file.schema_arrow.names if name != "sample"]
        yield from file.iter_batches(rows_at_a_time(file), columns=columns, use_threads=False)


def _drawn(task: _Task, schema: pa.Schema, shards: pa.Array, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Put draws beside the posteriors; the dictionary of shards is the unit's, as `encode` has it."""
    ids = batch.column("id").to_pylist()
    mean = numbers(batch.column("mean"))
    variance = None if batch.column("variance").null_count else numbers(batch.column("variance"), np.float32)
    index = pc.index_in(batch.column("shard").dictionary_decode(), value_set=shards)
    made: dict[str, Any] = {
        "shard": pa.DictionaryArray.from_arrays(index.cast(pa.int32()), shards),
        "sample": draw_samples(mean, variance, task.seed, ids, task.schema.samples),
    }
    columns = [made[field.name] if field.name in made else batch.column(field.name) for field in schema]
    arrays = [to_array(column, field.type, len(batch)) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _footer(task: _Task, footer: Footer) -> dict[str, str]:
    """Say of the new part what the old one says, with the job's own fingerprint."""
    told = {**asdict(footer), "fingerprint": task.fingerprint}
    return {key: told[key] if isinstance(told[key], str) else json.dumps(told[key]) for key in _FOOTER}
