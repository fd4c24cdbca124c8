"""Synthetic data sets: from a spec to pictures that the decoder made of drawn latents."""

from __future__ import annotations

from vae_batch.cluster.ending import check_rejects, stoppable
from vae_batch.cluster.job import carry_out
from vae_batch.cluster.report import Report, Silent
from vae_batch.latents.summary import Summary, finished_summary
from vae_batch.specs import GenerateSpec
from vae_batch.work.generate_card import remove_card, write_card
from vae_batch.work.generate_job import Prepared, open_generate, prepare_generate


def generate(spec: GenerateSpec, report: Report | None = None, verbose: bool = False) -> Summary:
    """Generate images: every unit of numbers to its part, exactly once; continues what is there.

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
        return _generate(prepare_generate(spec), report or Silent(), verbose)


def _generate(prepared: Prepared, report: Report, verbose: bool) -> Summary:
    spec, layout = prepared.spec, prepared.layout
    for remark in prepared.remarks:
        report.say(remark)
    file, job = open_generate(prepared, report.say)
    if finished_summary(layout, file) is None:
        remove_card(layout)
    summary = carry_out(job, spec, file, report, verbose)
    if summary.complete:
        write_card(layout, file, summary)
    return check_rejects(summary, spec.max_reject_rate)
