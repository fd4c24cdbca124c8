"""The main job: plan, replicas, summary."""

from __future__ import annotations

import shlex

from vae_batch import storage
from vae_batch.cluster import connect as connecting
from vae_batch.cluster.report import Report, Silent, duration
from vae_batch.cluster.run import Run
from vae_batch.cluster.signals import interruptible
from vae_batch.errors import (
    InterruptedJobError,
    OutputError,
    SourceError,
    SpecError,
    TooManyRejectsError,
)
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import open_plan
from vae_batch.latents.retry import end_retry, load_retry
from vae_batch.latents.summary import Summary, finished_summary, remove_strays, summarise
from vae_batch.specs import EncodeSpec
from vae_batch.work.job import Prepared, open_job, prepare


def encode(spec: EncodeSpec, report: Report | None = None, verbose: bool = False) -> Summary:
    """Encode a collection: every unit to its part, exactly once; continues what is there.

    Args:
        spec: what to do.
        report: takes the messages; None: silent.
        verbose: let Ray's own log through.

    Returns:
        The totals of OUT; without those of units that `spec.units` left out.

    Raises:
        TooManyRejectsError: finished, with more rejects than `spec.max_reject_rate`.
        InterruptedJobError: SIGINT or SIGTERM; running again goes on.
        VaeBatchError: see `vae_batch.errors`; what was published stays.
    """
    report = report or Silent()
    try:
        with interruptible():
            return _encode(prepare(spec), report, verbose)
    except InterruptedJobError as error:
        raise InterruptedJobError(_how_to_go_on(spec, str(error))) from None


def _encode(prepared: Prepared, report: Report, verbose: bool) -> Summary:
    spec, layout = prepared.spec, prepared.layout
    for remark in prepared.remarks:
        report.say(remark)
    file, job = open_job(prepared, report.say)
    plan = open_plan(layout, file.plan)
    wanted = spec.unit_range(len(plan))
    if not wanted:
        raise SpecError(f"units={spec.units!r} leaves nothing: the plan has the units 0 to {len(plan) - 1}")
    present, strangers = layout.parts()
    retry = load_retry(layout)
    done = present - (retry or set())
    if strangers:
        report.say(f"Note: {layout.data} holds what is no part: {', '.join(strangers[:5])}; see `verify`.")
    todo = [u for u in wanted if u not in done]
    finished = finished_summary(layout, file) if len(done) == len(plan) else None
    if not todo and finished:
        report.say(f"Already done: {_totals(finished)}. Nothing to do in {layout.out}.")
        return _judge(finished, spec)
    if done:
        report.say(f"Going on: {len(done):,} of {len(plan):,} units are done, {len(todo):,} to do now.")
    storage.sweep(layout.tmp)
    run = Run(file, job, plan, todo, retry, report, prepared)
    if todo:
        with connecting.connect(spec.address, verbose) as cluster:
            report.say(cluster.line())
            run.work(cluster)
    units = list(wanted) if len(done | set(todo)) < len(plan) else list(range(len(plan)))
    summary = summarise(layout, file, units)
    summary.run = run.account()
    if summary.complete:
        remove_strays(layout, file, units)
        storage.sweep(layout.tmp)
        summary.save(layout)
        end_retry(layout)
    join = job.reading.join
    report.say("\n".join([*(join.remarks(summary.notes, summary.complete) if join else ()), _ending(summary)]))
    return _judge(summary, spec)


def _totals(summary: Summary) -> str:
    skipped = f", {summary.skipped:,} skipped" if summary.skipped else ""
    excluded = f", {summary.excluded:,} excluded" if summary.excluded else ""
    return f"{summary.rows:,} rows, {summary.rejects:,} rejects{skipped}{excluded} in {summary.units:,} parts"


def _ending(summary: Summary) -> str:
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
        lines.append(f"  {_rejects_command(summary)} lists them; mended, --retry-rejects tries them again")
    for group, what in (("nulls", "values that did not fit label"), ("sidecars", "sidecars without labels:")):
        lines += [f"  {count:,} {what} {name}" for name, count in summary.notes.get(group, {}).items()]
    if unforeseen := summary.notes.get("unforeseen"):
        lines.append(f"  keys of sidecars that have no column: {', '.join(list(unforeseen)[:8])}")
    if summary.complete:
        lines.append(f"Done: {_totals(summary)}: {summary.out}")
    else:
        lines.append(
            f"Done with {_totals(summary)}, of {summary.units_planned:,} units planned; "
            "run without --units to do the rest."
        )
    return "\n".join(lines)


def _rejects_command(summary: Summary) -> str:
    return f"vae-batch rejects {shlex.quote(summary.out)}"


def _judge(summary: Summary, spec: EncodeSpec) -> Summary:
    if summary.seen and summary.seen == summary.skipped:
        raise SourceError(
            f"none of the {summary.seen:,} files in {spec.source} is an image, neither by its extension nor by its "
            "first bytes: is it the right folder?"
        )
    if summary.reject_rate > spec.max_reject_rate:
        raise TooManyRejectsError(
            f"{summary.rejects:,} of {summary.rows + summary.rejects:,} images are rejects "
            f"({summary.reject_rate:.1%}, allowed {spec.max_reject_rate:.1%}); all the others are in {summary.out}. "
            f"`{_rejects_command(summary)}` lists them; --max-reject-rate allows more."
        )
    return summary


def _how_to_go_on(spec: EncodeSpec, name: str) -> str:
    layout = Layout.of(spec.out)
    try:
        done = layout.parts()[0] - (load_retry(layout) or set())
        total = JobFile.load(layout).plan.units
    except (OSError, OutputError):
        return f"stopped by {name} before anything was written; run the same command to start again"
    return f"stopped by {name}: {len(done):,} of {total:,} units are done; run the same command to go on"
