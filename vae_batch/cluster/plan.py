"""What `encode` would do, before anything is spent: counts, sizes, and a timing on one replica."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import Any

import ray

from vae_batch.cluster.connect import connect
from vae_batch.cluster.replica import spawn
from vae_batch.cluster.report import Report, Silent
from vae_batch.cluster.resources import choose
from vae_batch.cluster.signals import interruptible
from vae_batch.errors import ClusterError, VaeBatchError
from vae_batch.latents.schema import column_bytes
from vae_batch.models import module_sources
from vae_batch.specs import EncodeSpec
from vae_batch.work.job import Prepared, prepare

PROBE_IMAGES = 256
PROBE_SECONDS = 300.0


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
        replicas, rate = _time(prepared, report) if timing else (0, None)
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
    )


def _time(prepared: Prepared, report: Report) -> tuple[int, float]:
    """Encode the first images on one replica; give the replicas there would be, and images a second of one."""
    spec = prepared.spec
    first = next(iter(prepared.units()))
    with tempfile.TemporaryDirectory() as folder, connect(spec.address) as cluster:
        join, _ = prepared.labelling.build(folder, folder)
        reading = replace(prepared.job.reading, join=join)
        report.say(cluster.line())
        size, resources = choose(cluster, spec.replicas, spec.gpus_per_replica, spec.cpus_per_replica)
        replica = spawn(
            replace(prepared.job, reading=reading, fingerprint="probe"), resources, module_sources(spec.model)
        )
        try:
            _get(replica.setup.remote())
            images, seconds = _get(replica.probe.remote(first, PROBE_IMAGES))
        finally:
            ray.kill(replica)
    return size, images / max(seconds, 1e-9)


def _get(ref: Any) -> Any:
    """Wait for a call of the one replica; its own errors come as they are."""
    try:
        return ray.get(ref, timeout=PROBE_SECONDS)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, VaeBatchError):
            raise error.cause from None
        raise ClusterError(f"the timing failed: {error}") from None
    except ray.exceptions.GetTimeoutError:
        raise ClusterError(
            f"the timing took more than {PROBE_SECONDS:.0f} s: no replica found a place, or the model is very slow"
        ) from None
    except ray.exceptions.RayError as error:
        raise ClusterError(f"the replica of the timing died: {error}") from None
