"""What `encode` would do, before anything is spent: counts, sizes, and a timing on one replica."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ray

from vae_batch.cluster.connect import connect
from vae_batch.cluster.memory import Memory
from vae_batch.cluster.replica import spawn
from vae_batch.cluster.report import Report, Silent
from vae_batch.cluster.resources import choose
from vae_batch.cluster.signals import interruptible
from vae_batch.errors import DeviceMemoryError, VaeBatchError
from vae_batch.latents.batch_size import load_batch_size
from vae_batch.latents.schema import column_bytes
from vae_batch.models import module_sources
from vae_batch.specs import EncodeSpec
from vae_batch.types import Unit
from vae_batch.work.job import Prepared, prepare

PROBE_IMAGES = 256
PROBE_SECONDS = 300.0
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The plan in numbers."""

    shards: int
    units: int
    unit_size: int
    files: int
    """Images, and others that would be looked at."""
    exact: bool
    """Whether `files` was counted; else it is estimated from sizes in bytes."""
    bytes_in: int
    column_bytes: dict[str, int]
    """Of the output by column, uncompressed."""
    replicas: int
    images_per_second: float | None
    """Of one replica; None without a timing."""
    hours: float | None
    """On this cluster."""
    no_timing: str = ""
    """Why there is none, where one was tried."""


def plan(spec: EncodeSpec, report: Report | None = None, timing: bool = True) -> Estimate:
    """Say what `encode(spec)` would do; writes nothing to OUT.

    Args:
        spec: as for `encode`; `out` only has to be free or the same job's.
        report: takes the messages.
        timing: encode 256 images on one replica to estimate the hours.

    Raises:
        VaeBatchError: whatever would stop `encode` before its first unit.
    """
    report = report or Silent()
    with interruptible():
        prepared = prepare(spec)
        for remark in prepared.remarks:
            report.say(remark)
        replicas, rate, problem = _time(prepared, report) if timing else (0, None, "")
    extent, schema = prepared.extent, prepared.job.schema.arrow()
    hours = extent.files / (rate * replicas) / 3600 if rate else None
    return Estimate(
        shards=extent.shards,
        units=sum(1 for _ in prepared.units()),
        unit_size=prepared.unit_size,
        files=extent.files,
        exact=extent.exact,
        bytes_in=extent.bytes,
        column_bytes=column_bytes(schema, extent.files),
        replicas=replicas,
        images_per_second=rate,
        hours=hours,
        no_timing=problem,
    )


class _NoTimingError(Exception):
    """The replica did not come to an end with its images; says why."""


def _time(prepared: Prepared, report: Report) -> tuple[int, float | None, str]:
    """Encode the first images on one replica.

    Returns:
        The replicas there would be; images a second of one, or None; and why it is None.
    """
    spec = prepared.spec
    first = next(iter(prepared.units()))
    with tempfile.TemporaryDirectory() as folder, connect(spec.address) as cluster:
        join, _ = prepared.labelling.build(folder, folder)
        reading = replace(prepared.job.reading, join=join)
        report.say(cluster.line())
        size, resources = choose(cluster, spec.replicas, spec.gpus_per_replica, spec.cpus_per_replica)
        job, sources = replace(prepared.job, reading=reading, fingerprint="probe"), module_sources(spec.model)
        memory = Memory(load_batch_size(prepared.layout, spec.batch_size), job.card.least_batch, say=report.say)
        try:
            images, seconds = _probe(lambda: spawn(job, resources, sources), first, memory, spec.hang_seconds)
        except _NoTimingError as error:
            return size, None, str(error)
    return size, images / max(seconds, 1e-9), ""


def _probe(start: Callable[[], Any], unit: Unit, memory: Memory, hang_seconds: float) -> tuple[int, float]:
    """Images that a replica encoded, and the seconds that it took; with smaller batches where memory demands it."""
    again = False
    while True:
        replica = start()
        try:
            _wait(replica, replica.setup.remote(memory.most), hang_seconds)
            found: tuple[int, float] = _wait(
                replica, replica.probe.remote(unit, PROBE_IMAGES, memory.most), hang_seconds
            )
            return found
        except DeviceMemoryError as error:
            if error.batch_size is None:
                raise
            again = memory.ran_out(unit.number, error.batch_size, again, str(error))
        finally:
            ray.kill(replica)


def _wait(replica: Any, call: Any, hang_seconds: float) -> Any:
    """Wait for a call of the one replica; our own errors come as they are. Raises _NoTimingError."""
    end, asked = time.monotonic() + PROBE_SECONDS, replica.progress.remote()
    while call not in ray.wait([call, asked], num_returns=2, timeout=POLL_SECONDS)[0]:
        if ray.wait([asked], timeout=0)[0]:
            decoding, asked = _get(asked)[3], replica.progress.remote()
            if decoding > hang_seconds:
                raise _NoTimingError(
                    f"one of the first images takes longer than {hang_seconds:g} s to decode; `encode` finds it and "
                    "makes it a reject"
                )
        if time.monotonic() > end:
            raise _NoTimingError(
                f"it took more than {PROBE_SECONDS:.0f} s: no replica has a place, it hangs, or the model is very slow"
            )
    return _get(call)


def _get(call: Any) -> Any:
    try:
        return ray.get(call)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, VaeBatchError):
            raise error.cause from None
        raise _NoTimingError(f"the first images could not be encoded: {error.cause!r}") from None
    except ray.exceptions.RayError as error:
        raise _NoTimingError(
            "the replica died; if one of the first images did that, `encode` finds it and makes it a reject. Ray says: "
            + " ".join(str(error).split())
        ) from None
