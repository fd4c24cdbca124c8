"""How far a job is, from OUT alone: needs neither Ray nor torch."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.footer import read_footers
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.retry import load_retry
from vae_batch.latents.summary import finished_summary

STALE_SECONDS = 30.0
"""A progress file older than this is a dead driver's."""


@dataclass(slots=True)
class Status:
    """The state of a job."""

    out: str
    state: str
    """`finished`, `running`, or `stopped` (run the same command to go on)."""
    units: int
    units_done: int
    units_to_redo: int
    """Of those done: to be made anew by a retry that is under way."""
    images: int | None
    """Files planned, where they could be counted."""
    seen: int
    rows: int
    rejects: int
    skipped: int
    excluded: int
    bytes: int
    images_per_second: float | None
    """Of the running or the last run."""
    seconds_left: float | None
    replicas: int | None


def status(out: str | Path) -> Status:
    """Read the state of a job from its folder.

    Raises:
        OutputError: no job's output, or a part of it is damaged.
    """
    layout = Layout.of(out)
    job = JobFile.load(layout)
    sizes, _ = layout.part_sizes()
    present = sorted(sizes)
    counts = {"seen": 0, "rows": 0, "rejects": 0, "skipped": 0, "excluded": 0}
    for footer in read_footers([layout.part(u) for u in present]):
        if isinstance(footer, OutputError):
            raise footer
        for name in counts:
            counts[name] += getattr(footer, name)
    progress = _progress(layout)
    running = bool(progress.get("running")) and time.time() - progress["time"] < STALE_SECONDS
    finished = len(present) == job.plan.units and finished_summary(layout, job) is not None
    return Status(
        out=layout.out,
        state="finished" if finished else "running" if running else "stopped",
        units=job.plan.units,
        units_done=len(present),
        units_to_redo=len(load_retry(layout) or ()),
        images=job.plan.seen,
        bytes=sum(sizes.values()),
        images_per_second=progress.get("images_per_second"),
        seconds_left=progress.get("seconds_left") if running and not finished else None,
        replicas=progress.get("replicas") if running and not finished else None,
        **counts,
    )


def _progress(layout: Layout) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(storage.read_bytes(layout.progress))
    except (OSError, ValueError):
        return {}
    return value
