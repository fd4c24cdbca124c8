"""The last lines of a job, and whether it ended well."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from vae_batch.cluster.report import duration
from vae_batch.cluster.signals import interruptible
from vae_batch.errors import InterruptedJobError, OutputError, TooManyRejectsError
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.retry import load_retry
from vae_batch.latents.summary import Summary


def totals(summary: Summary) -> str:
    """Count what there is, in words."""
    skipped = f", {summary.skipped:,} skipped" if summary.skipped else ""
    excluded = f", {summary.excluded:,} excluded" if summary.excluded else ""
    return f"{summary.rows:,} rows, {summary.rejects:,} rejects{skipped}{excluded} in {summary.units:,} parts"


def ending(summary: Summary, retries: bool = True) -> str:
    """Say where the time went, what was lost, and what there is now."""
    lines = []
    run = summary.run
    if run:
        stages = ", ".join(f"{k} {v:.1f} s" for k, v in run["stage_seconds"].items())
        lines.append(
            f"{run['images']:,} images in {duration(run['seconds'])}: {run['images_per_second']:,.0f} images/s. "
            f"Seconds of the replicas: {stages}. {run['bound_by']}"
        )
    for reason, count in summary.reject_reasons.items():
        lines.append(f"  rejects: {count:,} × {reason}")
    if summary.rejects:
        again = "; mended, --retry-rejects tries them again" if retries else ""
        lines.append(f"  {_rejects_command(summary)} lists them{again}")
    for group, what in (("nulls", "values that did not fit label"), ("sidecars", "sidecars without labels:")):
        lines += [f"  {count:,} {what} {name}" for name, count in summary.notes.get(group, {}).items()]
    if unforeseen := summary.notes.get("unforeseen"):
        lines.append(f"  keys of sidecars that have no column: {', '.join(list(unforeseen)[:8])}")
    if summary.complete:
        lines.append(f"Done: {totals(summary)}: {summary.out}")
    else:
        lines.append(
            f"Done with {totals(summary)}, of {summary.units_planned:,} units planned; "
            "run without --units to do the rest."
        )
    return "\n".join(lines)


def _rejects_command(summary: Summary) -> str:
    return f"vae-batch rejects {shlex.quote(summary.out)}"


def check_rejects(summary: Summary, most: float) -> Summary:
    """Refuse a share of rejects above `most`. Raises TooManyRejectsError; all else is in OUT."""
    if summary.reject_rate > most:
        raise TooManyRejectsError(
            f"{summary.rejects:,} of {summary.rows + summary.rejects:,} images are rejects "
            f"({summary.reject_rate:.1%}, allowed {most:.1%}); all the others are in {summary.out}. "
            f"`{_rejects_command(summary)}` lists them; --max-reject-rate allows more."
        )
    return summary


@contextmanager
def stoppable(out: str) -> Iterator[None]:
    """Let signals end what is done inside, as InterruptedJobError that says how to go on with OUT."""
    try:
        with interruptible():
            yield
    except InterruptedJobError as error:
        raise InterruptedJobError(_how_to_go_on(out, str(error))) from None


def _how_to_go_on(out: str, name: str) -> str:
    layout = Layout.of(out)
    try:
        done = layout.parts()[0] - (load_retry(layout) or set())
        total = JobFile.load(layout).plan.units
    except (OSError, OutputError):
        return f"stopped by {name} before anything was written; run the same command to start again"
    return f"stopped by {name}: {len(done):,} of {total:,} units are done; run the same command to go on"
