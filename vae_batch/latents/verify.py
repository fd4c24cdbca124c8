"""Verify a data set from its files alone: footers, digests, counts, values, ids. Nothing is written."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.digest import Digests
from vae_batch.latents.footer import Footer, read_footers
from vae_batch.latents.generated import image_id
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.part import read_rejects
from vae_batch.latents.pictures import PictureReader, wrong_files, wrong_pictures
from vae_batch.latents.plan import Plan, open_plan
from vae_batch.latents.read import open_parts
from vae_batch.latents.retry import load_retry
from vae_batch.latents.sampling import draw_samples
from vae_batch.latents.schema import rows_at_a_time
from vae_batch.latents.summary import finished_summary

DUCKDB_MEMORY = "1GB"


@dataclass(slots=True)
class Verdict:
    """What `verify` found."""

    out: str
    units: int
    parts: int
    """Parts whose values were read."""
    rows: int
    findings: list[str] = field(default_factory=list)
    """One line for each thing that is wrong; empty if all is well."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and not wrong."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(out: str | Path, fraction: float = 1.0, seed: int = 0) -> Verdict:
    """Check every part's footer and, of a random fraction of the parts, every value.

    Args:
        out: the data set.
        fraction: of the parts whose values are read, 0 to 1.
        seed: chooses them.

    Raises:
        OutputError: no job's output, or its job file or plan cannot be read.
    """
    layout = Layout.of(out)
    job = JobFile.load(layout)
    plan, (present, strangers) = open_plan(layout, job.plan), layout.parts()
    verdict = Verdict(layout.out, len(plan), 0, 0)
    verdict.findings += [f"data/{name}: is no part of this data set" for name in strangers]
    verdict.findings += [f"{layout.part_name(u)}: no such unit in the plan" for u in sorted(present) if u >= len(plan)]
    units = [u for u in range(len(plan)) if u in present]
    verdict.findings += _missing(layout, plan, present)
    verdict.findings += _to_redo(layout)
    footers = dict(zip(units, read_footers([layout.part(u) for u in units]), strict=True))
    readable: dict[int, Footer] = {}
    for unit, footer in footers.items():
        if isinstance(footer, OutputError):
            verdict.findings.append(str(footer))
        else:
            readable[unit] = footer
            verdict.findings += [f"{layout.part_name(unit)}: {f}" for f in _footer(layout, job, plan, unit, footer)]
    verdict.rows = sum(f.rows for f in readable.values())
    chosen = sorted(random.Random(seed).sample(sorted(readable), round(fraction * len(readable)) or bool(readable)))
    verdict.parts = len(chosen)
    with ThreadPoolExecutor(4) as pool:
        for unit, found in zip(chosen, pool.map(lambda u: _values(layout, job, u, readable[u]), chosen), strict=True):
            verdict.findings += [f"{layout.part_name(unit)}: {f}" for f in found]
    verdict.findings += _repeated_ids(layout, sorted(readable))
    verdict.findings += _totals(layout, job, readable)
    numerics = {f.numerics for f in readable.values()}
    if len(numerics) > 1:
        verdict.notes.append(f"made with {len(numerics)} combinations of batch size, device and library versions")
    return verdict


def _missing(layout: Layout, plan: Plan, present: set[int]) -> Iterator[str]:
    missing = [u for u in range(len(plan)) if u not in present]
    if len(missing) > 20 and not storage.exists(layout.summary):
        yield f"{len(missing):,} of {len(plan):,} units have no part yet: the job is not finished"
        return
    for unit in missing:
        yield f"{layout.part_name(unit)}: missing"


def _to_redo(layout: Layout) -> Iterator[str]:
    units = load_retry(layout)
    if units:
        yield f"a retry was stopped with {len(units):,} units still to be made anew: run the same command to go on"


def _footer(layout: Layout, job: JobFile, plan: Plan, unit: int, footer: Footer) -> Iterator[str]:
    """Check a footer against plan and job; no row is read."""
    if footer.unit != unit:
        yield f"holds unit {footer.unit}"
    if footer.fingerprint != job.fingerprint:
        yield f"is another job's: fingerprint {footer.fingerprint[:16]}…, not {job.fingerprint[:16]}…"
    if footer.rows + footer.rejects + footer.skipped + footer.excluded != footer.seen:
        counts = (
            f"{footer.rows} rows + {footer.rejects} rejects + {footer.skipped} skipped + {footer.excluded} excluded"
        )
        yield f"{counts} is not {footer.seen} seen"
    planned = plan[unit].seen
    if planned is not None and planned != footer.seen:
        yield f"saw {footer.seen} files, the plan has {planned}"
    if bool(footer.rejects) != bool(footer.rejects_file):
        yield f"{footer.rejects} rejects and the rejects file {footer.rejects_file!r} do not go together"
    if footer.rejects_file:
        yield from _rejects(layout, unit, footer)
    yield from wrong_files(layout, footer.files)


def _rejects(layout: Layout, unit: int, footer: Footer) -> Iterator[str]:
    path = storage.join(layout.rejects, Path(footer.rejects_file).name)
    try:
        if storage.name_of(layout.rejects_file(unit, storage.file_sha256(path))) != footer.rejects_file:
            yield f"rejects file {footer.rejects_file}: its content is not what its name says"
        elif len(read_rejects(path)) != footer.rejects:
            yield f"rejects file {footer.rejects_file}: {len(read_rejects(path))} rejects, not {footer.rejects}"
    except (OSError, pa.ArrowException) as error:
        yield f"rejects file {footer.rejects_file}: cannot be read: {error}"


def _values(layout: Layout, job: JobFile, unit: int, footer: Footer) -> list[str]:
    """Read a part's rows, a batch at a time, and check digests and values."""
    findings: dict[str, None] = {}
    try:
        with (
            storage.open_input(layout.part(unit)) as part,
            pq.ParquetFile(part) as file,
            PictureReader(layout) as pictures,
        ):
            digests = Digests(file.schema_arrow)
            for batch in file.iter_batches(rows_at_a_time(file), use_threads=False):
                digests.update(batch)
                findings.update(dict.fromkeys(_batch(job, batch, pictures)))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        return [*findings, f"its rows cannot be read: {type(error).__name__}: {error}"]
    if digests.ids_sha256() != footer.ids_sha256:
        findings["the ids are not those whose digest the footer has"] = None
    if digests.values_sha256() != footer.values_sha256:
        findings["the values are not those whose digest the footer has"] = None
    return list(findings)


def _batch(job: JobFile, batch: pa.RecordBatch, pictures: PictureReader) -> Iterator[str]:
    yield from _posteriors(job, batch) if job.kind == "encode" else _pictures(job, batch, pictures)


def _pictures(job: JobFile, batch: pa.RecordBatch, pictures: PictureReader) -> Iterator[str]:
    if "file" in batch.schema.names:
        yield from wrong_pictures(pictures, batch.column("file").to_pylist(), batch.column("sha256").to_pylist())
    if not np.isfinite(_floats(batch.column("latent"))).all():
        yield "latent is not finite in some rows"
    if batch.column("seed").to_pylist() != [job.fields["seed"]] * len(batch):
        yield "seed is not the job's in some rows"
    if batch.column("id").to_pylist() != list(map(image_id, batch.column("index").to_pylist())):
        yield "id is not index in some rows"


def _posteriors(job: JobFile, batch: pa.RecordBatch) -> Iterator[str]:
    mean = _floats(batch.column("mean"))
    variance = None
    if job.model["deterministic"]:
        if batch.column("variance").null_count != len(batch):
            yield "variance is not null throughout, though the model is deterministic"
            return
    elif batch.column("variance").null_count:
        yield "variance is null in some rows"
        return
    else:
        variance = _floats(batch.column("variance"))
        if not (variance >= 0).all():
            yield "variance is negative or not a number in some rows"
            return
    for name in ("mean", "variance", "sample", "kl", "mse", "psnr"):
        if name in batch.schema.names and not np.isfinite(_floats(batch.column(name))).all():
            yield f"{name} is not finite in some rows"
    samples = int(job.fields["samples"])
    if samples and len(batch):
        drawn = draw_samples(mean, variance, job.fields["seed"], batch.column("id").to_pylist(), samples)
        if not np.array_equal(_floats(batch.column("sample")), drawn.reshape(len(batch), -1), equal_nan=True):
            yield "sample is not mean + sqrt(variance)·noise in some rows"


def _floats(column: pa.Array) -> np.ndarray:
    """Give (N, …) numbers as (N, D); nulls are left out."""
    column = column.drop_null()
    rows, width = len(column), 1
    while pa.types.is_fixed_size_list(column.type):
        width *= column.type.list_size
        column = column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(rows, width)


def _repeated_ids(layout: Layout, units: list[int]) -> list[str]:
    """Find ids that occur twice in the whole data set, out of core."""
    if not units:
        return []
    with (
        tempfile.TemporaryDirectory() as spilled,
        duckdb.connect(config={"memory_limit": DUCKDB_MEMORY, "temp_directory": spilled}) as db,
    ):
        try:
            db.register("ids", open_parts(layout, units).scanner(columns=["id"]).to_reader())
            found = db.execute(
                "select id, count(*) from ids group by id having count(*) > 1 order by id limit 20"
            ).fetchall()
            return [f"id {i!r} occurs {n} times, in {_places(layout, units, i)}" for i, n in found]
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            return [f"whether an id occurs twice could not be checked: {error}"]


def _places(layout: Layout, units: list[int], image_id: str) -> str:
    """The parts that hold an id."""
    rows = open_parts(layout, units).to_table(columns=["__filename"], filter=pc.field("id") == image_id)
    return " and ".join(sorted({Path(name.as_py()).name for name in rows["__filename"]}))


def _totals(layout: Layout, job: JobFile, footers: dict[int, Footer]) -> list[str]:
    try:
        summary = finished_summary(layout, job)
    except OutputError as error:
        return [str(error)]
    if summary is None or len(footers) < job.plan.units:
        return []
    names = ("seen", "rows", "rejects", "skipped", "excluded")
    counts = {name: sum(getattr(f, name) for f in footers.values()) for name in names}
    return [
        f"summary.json says {getattr(summary, name)} {name}, the parts have {n}"
        for name, n in counts.items()
        if getattr(summary, name) != n
    ]
