"""The way of a job that is begun, whatever it makes: what is left to do, replicas, summary, last lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vae_batch import storage
from vae_batch.cluster import connect as connecting
from vae_batch.cluster.ending import ending, totals
from vae_batch.cluster.report import Report
from vae_batch.cluster.run import Run
from vae_batch.errors import SpecError
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import open_plan
from vae_batch.latents.retry import end_retry, load_retry
from vae_batch.latents.summary import Summary, finished_summary, remove_strays, summarise
from vae_batch.specs import WorkSpec

if TYPE_CHECKING:
    from vae_batch.work.maker import Job


def carry_out(
    job: Job,
    spec: WorkSpec,
    file: JobFile,
    report: Report,
    verbose: bool = False,
    hang_seconds: float | None = None,
    files: Callable[[], int] = lambda: 0,
    remarks: Callable[[Summary], Sequence[str]] = lambda summary: (),
) -> Summary:
    """Make the units that have no part yet, each exactly once, and sum up.

    Args:
        job: what is made.
        spec: how it is made.
        file: of the job, with its plan.
        report: takes the messages.
        verbose: let Ray's own log through.
        hang_seconds: as for `Run`.
        files: as for `Run`.
        remarks: gives lines about what came out.

    Raises:
        VaeBatchError: see `vae_batch.errors`; what was published stays.
    """
    layout = Layout(job.out)
    plan = open_plan(layout, file.plan)
    wanted = spec.unit_range(len(plan))
    if not wanted:
        raise SpecError(f"units={spec.units!r} leaves nothing: the plan has the units 0 to {len(plan) - 1}")
    present, strangers = layout.parts()
    retry = load_retry(layout)
    done = present - (retry or set())
    todo = [u for u in wanted if u not in done]
    finished = finished_summary(layout, file) if len(done) == len(plan) else None
    if strangers:
        report.say(f"Note: {layout.data} holds what is no part: {', '.join(strangers[:5])}; see `verify`.")
    if not todo and finished:
        report.say(f"Already done: {totals(finished)}. Nothing to do in {layout.out}.")
        return finished
    if done:
        report.say(f"Going on: {len(done):,} of {len(plan):,} units are done, {len(todo):,} to do now.")
    storage.sweep(layout.tmp)
    run = Run(job, spec, file.plan, plan, todo, report, retry, hang_seconds, files)
    if todo:
        with connecting.connect(spec.address, verbose) as cluster:
            report.say(cluster.line())
            run.work(cluster)
    every = len(done | set(todo)) == len(plan)
    summary = _sum_up(layout, file, range(len(plan)) if every else wanted, run)
    report.say("\n".join([*remarks(summary), ending(summary, retries=file.kind == "encode")]))
    return summary


def _sum_up(layout: Layout, file: JobFile, units: range, run: Run) -> Summary:
    """Add up these units' parts; of a job that is complete, keep the summary, and tidy up."""
    summary = summarise(layout, file, units)
    summary.run = run.account()
    if summary.complete:
        remove_strays(layout, file, units)
        storage.sweep(layout.tmp)
        summary.save(layout)
        end_retry(layout)
    return summary
