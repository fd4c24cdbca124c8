"""One run of a job: its replicas, what they say, and where the time went."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vae_batch import storage
from vae_batch.cluster import connect as connecting
from vae_batch.cluster.bounds import bound_by
from vae_batch.cluster.memory import Memory
from vae_batch.cluster.pool import Pool
from vae_batch.cluster.quarantine import Quarantine
from vae_batch.cluster.replica import ReplicaInfo, Resources, spawn
from vae_batch.cluster.report import Progress, Report
from vae_batch.cluster.resources import choose
from vae_batch.errors import VaeBatchError
from vae_batch.latents.batch_size import load_batch_size, save_batch_size
from vae_batch.latents.footer import read_footer
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import Plan, PlanTotals
from vae_batch.latents.retry import save_retry
from vae_batch.models import module_sources
from vae_batch.specs import WorkSpec
from vae_batch.types import Receipt, Reject

if TYPE_CHECKING:
    from vae_batch.work.maker import Job

EARLY_IMAGES = range(50, 2000)
"""When so many images were met, more than half of them rejects means that something is wrong with all. The first
units are judged in any case, however large they are."""

PROGRESS_FILE_SECONDS = 5.0


class Run:
    """One run's way through its units.

    Args:
        job: what is made.
        spec: how it is made.
        totals: of the plan.
        plan: the units.
        todo: the numbers of those to make.
        report: takes the messages.
        retry: those of them that are made anew although they have a part; None: the job tries no rejects again.
        hang_seconds: an image that takes longer to decode hangs; None: units are not examined.
        files: counts, or estimates, the files of the whole plan, where `totals` does not say.
    """

    def __init__(
        self,
        job: Job,
        spec: WorkSpec,
        totals: PlanTotals,
        plan: Plan,
        todo: list[int],
        report: Report,
        retry: set[int] | None = None,
        hang_seconds: float | None = None,
        files: Callable[[], int] = lambda: 0,
    ) -> None:
        self.job, self.spec, self.plan, self.todo, self.report = job, spec, plan, todo, report
        self.retry, self.hang_seconds = retry, hang_seconds
        self.layout = Layout(job.out)
        self.state = Progress(*_total(totals, plan, todo, files))
        self.counts: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.examples: list[Reject] = []
        self.units_done = 0
        self._begun = self._ended = time.monotonic()
        self._first_ready = 0.0
        self._saved = 0.0
        self._judged = False

    def work(self, cluster: connecting.Cluster) -> None:
        """Start replicas and run the units."""
        spec = self.spec
        size, resources = choose(cluster, spec.replicas, spec.gpus_per_replica, spec.cpus_per_replica)
        self.state.replicas = size = min(size, len(self.todo))
        self.report.say(_hiring(size, resources, self.job))
        sources = module_sources(spec.model)
        pool = Pool(
            spawn=lambda: spawn(self.job, resources, sources),
            size=size,
            get_unit=self.plan.__getitem__,
            on_result=self._receipt,
            on_tick=self._tick,
            on_ready=self._ready,
            on_loss=self.report.say,
            quarantine=Quarantine(self.hang_seconds, self.report.say),
            memory=self._memory(),
        )
        self._begun = time.monotonic()
        try:
            pool.run(self.todo)
        finally:
            self._ended = time.monotonic()
            self._tick(pool, last=True)

    def _memory(self) -> Memory:
        """Begin with the batch size that an earlier run found to fit."""
        asked = self.spec.batch_size
        most = load_batch_size(self.layout, asked)
        if most:
            again = f"; another --batch-size than {asked} tries anew" if asked else "; --batch-size tries another"
            self.report.say(f"{most} images at once, since an earlier run's replicas had no memory for more{again}.")

        def keep(most: int) -> None:
            with contextlib.suppress(OSError):  # the next run finds it once more
                save_batch_size(self.layout, most, asked)

        return Memory(most, self.job.card.least_batch, keep, self.report.say)

    def _ready(self, info: ReplicaInfo) -> None:
        if not self._first_ready:
            self._first_ready = self.state.started = time.monotonic()
            self._compare_numerics(info)

    def _compare_numerics(self, info: ReplicaInfo) -> None:
        done, _ = self.layout.parts()
        if not done:
            return
        before = read_footer(self.layout.part(min(done))).numerics
        if before != info.numerics:
            self.report.say(
                "Note: this run's batch size, device or library versions differ from those of the parts that are "
                f"there, so values may differ by rounding.\n  there: {before}\n  now:   {info.numerics}"
            )

    def _receipt(self, unit: int, receipt: Receipt) -> None:
        self.units_done += 1
        if self.retry is not None:
            self.retry.discard(unit)
        self.counts.update(
            seen=receipt.seen,
            rows=receipt.rows,
            rejects=receipt.rejects,
            bytes_in=receipt.bytes_in,
            bytes_out=receipt.bytes_out,
        )
        self.seconds.update(receipt.seconds)
        self.examples = (self.examples + receipt.examples)[:3]
        self._stop_early()

    def _stop_early(self) -> None:
        """End what begins hopelessly; a retry, which begins with rejects, is left alone."""
        images = self.counts["rows"] + self.counts["rejects"]
        if images < EARLY_IMAGES.start or (self._judged and images not in EARLY_IMAGES):
            return
        self._judged = True
        hopeless = self.counts["rejects"] > images / 2
        stops = self.spec.max_reject_rate < 0.5 and self.retry is None
        if hopeless and stops and self.units_done < len(self.todo):
            examples = "\n".join(f"  {r.id}: {r.stage}: {r.error}: {r.message}" for r in self.examples)
            raise VaeBatchError(
                f"stopped early: {self.counts['rejects']:,} of the first {images:,} images are rejects, such as\n"
                f"{examples}\nTo go on all the same, give --max-reject-rate 1."
            )

    def _tick(self, pool: Pool, last: bool = False) -> None:
        done, rejects = (0, 0) if last else pool.in_hand()
        self.state.done = self.counts["seen"] + done
        self.state.rejects = self.counts["rejects"] + rejects
        self.state.alive = pool.alive
        self.report.progress(self.state)
        if last or time.monotonic() - self._saved > PROGRESS_FILE_SECONDS:
            self._saved = time.monotonic()
            value = {
                "time": time.time(),
                "running": not last,
                "images_per_second": round(self.state.rate, 1),
                "seconds_left": self.state.seconds_left,
                "replicas": self.state.alive,
            }
            with contextlib.suppress(OSError):  # a storage that fails now and then fails units, which are tried again
                storage.write_json(self.layout.progress, value, self.layout.tmp)
                if self.retry is not None:
                    save_retry(self.layout, self.retry)

    def account(self) -> dict[str, Any]:
        """Say where the time went."""
        if not self.units_done:
            return {}
        wall = self._ended - (self._first_ready or self._begun)
        return {
            "units": self.units_done,
            "images": self.counts["seen"],
            "seconds": round(wall, 3),
            "images_per_second": round(self.counts["seen"] / max(wall, 1e-9), 1),
            "bytes_in": self.counts["bytes_in"],
            "replicas": self.state.replicas,
            "stage_seconds": {k: round(v, 3) for k, v in sorted(self.seconds.items())},
            "bound_by": bound_by(self.seconds, self.job.precision),
        }


def _total(totals: PlanTotals, plan: Plan, todo: list[int], files: Callable[[], int]) -> tuple[int, bool]:
    """Give how many files the run will meet, and whether that is exact."""
    if totals.seen is not None:
        return (totals.seen if len(todo) == len(plan) else sum(plan[u].seen or 0 for u in todo)), True
    return round(files() * sum(plan[u].bytes for u in todo) / max(1, totals.bytes)), False


def _hiring(size: int, resources: Resources, job: Job) -> str:
    gpus = f" and {resources.gpus:g} GPU" if resources.gpus else ""
    return (
        f"{size} replica{'s' * (size != 1)} with {resources.cpus} CPU{'s' * (resources.cpus != 1)}{gpus} each, "
        f"{job.precision}; {job.describe()}."
    )
