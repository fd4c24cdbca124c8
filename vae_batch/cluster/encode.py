"""The main job: from a spec to the posteriors of a collection."""

from __future__ import annotations

from collections.abc import Sequence

from vae_batch.cluster.ending import check_rejects, stoppable
from vae_batch.cluster.job import carry_out
from vae_batch.cluster.report import Report, Silent
from vae_batch.errors import SourceError
from vae_batch.latents.summary import Summary
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
    with stoppable(spec.out):
        return _encode(prepare(spec), report or Silent(), verbose)


def _encode(prepared: Prepared, report: Report, verbose: bool) -> Summary:
    spec = prepared.spec
    for remark in prepared.remarks:
        report.say(remark)
    file, job = open_job(prepared, report.say)

    def remarks(summary: Summary) -> Sequence[str]:
        join = job.reading.join
        return list(join.remarks(summary.notes, summary.complete)) if join else []

    summary = carry_out(job, spec, file, report, verbose, spec.hang_seconds, lambda: prepared.extent.files, remarks)
    return _judge(summary, spec)


def _judge(summary: Summary, spec: EncodeSpec) -> Summary:
    if summary.seen and summary.seen == summary.skipped:
        raise SourceError(
            f"none of the {summary.seen:,} files in {spec.source} is an image, neither by its extension nor by its "
            "first bytes: is it the right folder?"
        )
    return check_rejects(summary, spec.max_reject_rate)
