"""Verify with recomputation: random units are made again, from the source or from their numbers, and compared."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from vae_batch.cluster.connect import connect
from vae_batch.cluster.memory import Memory
from vae_batch.cluster.pool import Pool
from vae_batch.cluster.replica import spawn
from vae_batch.cluster.report import Report, Silent
from vae_batch.cluster.resources import choose
from vae_batch.cluster.signals import interruptible
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import open_plan
from vae_batch.latents.verify import Verdict, verify
from vae_batch.models import module_sources
from vae_batch.specs import EncodeSpec, GenerateSpec, WorkSpec
from vae_batch.work.generate_job import open_generate, prepare_generate
from vae_batch.work.job import open_job, prepare

if TYPE_CHECKING:
    from vae_batch.work.maker import Job


def verify_by_recomputing(
    out: str,
    units: int,
    fraction: float = 1.0,
    seed: int = 0,
    address: str | None = None,
    trust_model_code: bool = False,
    report: Report | None = None,
) -> Verdict:
    """Do all that `verify` does, then make so many random units again and compare.

    Whether the model's file may run code is asked anew: OUT may come from someone else.

    Raises:
        SourceError, ModelError, MismatchError: source or model are gone, or are not those of the job any more.
        OutputError: as `verify`.
    """
    report = report or Silent()
    verdict = verify(out, fraction, seed)
    layout = Layout.of(out)
    kept = JobFile.load(layout)
    spec: WorkSpec
    now: dict[str, Any] = {"out": out, "trust_model_code": trust_model_code}
    if kept.kind == "encode":
        spec = EncodeSpec(**{**kept.spec, **now, "retry_rejects": False, "extend": False})
    else:
        spec = GenerateSpec(**{**kept.spec, **now})
    present = sorted(layout.parts()[0] & set(range(verdict.units)))
    chosen = random.Random(seed).sample(present, min(units, len(present)))
    with interruptible():
        file, job = _opened(spec)
        plan = open_plan(layout, file.plan)
        with connect(address or spec.address) as cluster:
            report.say(cluster.line())
            size, resources = choose(cluster, spec.replicas, spec.gpus_per_replica, spec.cpus_per_replica)
            sources = module_sources(spec.model)
            pool = Pool(
                spawn=lambda: spawn(job, resources, sources),
                size=min(size, len(chosen)),
                get_unit=plan.__getitem__,
                call="check",
                on_result=lambda unit, found: verdict.findings.extend(found),
                memory=Memory(least=job.card.least_batch, say=report.say),
            )
            pool.run(chosen)
    how = "encoded again from the source" if kept.kind == "encode" else "generated again"
    verdict.notes.append(f"{how}: units {', '.join(map(str, sorted(chosen)))}")
    return verdict


def _opened(spec: WorkSpec) -> tuple[JobFile, Job]:
    if isinstance(spec, GenerateSpec):
        return open_generate(prepare_generate(spec))
    assert isinstance(spec, EncodeSpec)
    return open_job(prepare(spec))
