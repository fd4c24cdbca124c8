"""The totals of a data set, added up from the footers of its parts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.footer import read_footers
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.moments import Moments
from vae_batch.latents.part import read_rejects
from vae_batch.latents.retry import load_retry


@dataclass(slots=True)
class Summary:
    """What came out; `summary.json` once every unit is done."""

    out: str
    units: int
    """Units summed up here."""
    units_planned: int
    seen: int
    rows: int
    rejects: int
    skipped: int
    excluded: int
    bytes: int
    """Of the parts."""
    reject_reasons: dict[str, int] = field(default_factory=dict)
    """By stage and error class."""
    notes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Labels that did not fit (`nulls`), keys without a column (`unforeseen`), sidecars without labels,
    images without a row in a label file (`unmatched`), why images were left out (`excluded`)."""
    fp32_rows: int = 0
    """Rows made in fp32 because reduced precision gave no finite value."""
    numerics: list[str] = field(default_factory=list)
    """Every combination of batch size, device and library versions that made a part."""
    statistics: dict[str, Any] = field(default_factory=dict)
    """Per dimension; see `Moments.statistics`."""
    run: dict[str, Any] = field(default_factory=dict)
    """Of the last run: seconds, images, images per second, seconds by stage, what bounds it."""

    @property
    def complete(self) -> bool:
        """Whether every unit of the plan is in it."""
        return self.units == self.units_planned

    @property
    def reject_rate(self) -> float:
        """Rejects of all images met."""
        return self.rejects / max(1, self.rows + self.rejects)

    def save(self, layout: Layout) -> None:
        """Write `summary.json`, the last file of a job."""
        storage.write_json(layout.summary, asdict(self), layout.tmp)

    @classmethod
    def load(cls, layout: Layout) -> Summary | None:
        """Read `summary.json`; None if there is none."""
        try:
            return cls(**json.loads(storage.read_bytes(layout.summary)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{layout.summary} cannot be read: {error}") from None
        except (ValueError, TypeError) as error:
            raise OutputError(f"{layout.summary} is damaged ({error}); delete it and run again") from None


def summarise(layout: Layout, job: JobFile, units: Sequence[int]) -> Summary:
    """Add up the parts of these units, and check that every one adds up in itself.

    Raises:
        OutputError: a part is missing, damaged, another job's, or does not add up.
    """
    total = Summary(layout.out, len(units), job.plan.units, 0, 0, 0, 0, 0, 0)
    moments = Moments(tuple(job.model["latent_shape"]))
    numerics: set[str] = set()
    reasons: Counter[str] = Counter()
    notes: dict[str, Counter[str]] = {}
    footers = read_footers(layout.part(u) for u in units)
    for unit, footer in zip(units, footers, strict=True):
        if isinstance(footer, OutputError):
            raise footer
        if footer.unit != unit or footer.fingerprint != job.fingerprint:
            raise OutputError(f"{layout.part_name(unit)} is another unit's or another job's; see `verify`")
        if footer.rows + footer.rejects + footer.skipped + footer.excluded != footer.seen:
            raise OutputError(
                f"{layout.part_name(unit)}: rows + rejects + skipped + excluded is not seen; see `verify`"
            )
        total.seen += footer.seen
        total.rows += footer.rows
        total.rejects += footer.rejects
        total.skipped += footer.skipped
        total.excluded += footer.excluded
        total.fp32_rows += len(footer.fp32_rows)
        moments.add(footer.moments)
        numerics.add(footer.numerics)
        for group, counts in footer.notes.items():
            notes.setdefault(group, Counter()).update(counts)
        if footer.rejects_file:
            reasons.update(_reasons(layout, footer.rejects_file))
    sizes, _ = layout.part_sizes()
    total.bytes = sum(sizes[unit] for unit in units)
    total.notes = {group: dict(+counts) for group, counts in notes.items() if +counts}
    total.numerics = sorted(numerics)
    total.reject_reasons = dict(reasons.most_common())
    total.statistics = moments.statistics(job.kind == "generate" or job.model["deterministic"])
    return total


def finished_summary(layout: Layout, job: JobFile) -> Summary | None:
    """Read `summary.json` if it is of all units that are planned now, and none of them is to be made anew."""
    summary = Summary.load(layout)
    of_all = summary is not None and summary.complete and summary.units_planned == job.plan.units
    return summary if of_all and load_retry(layout) is None else None


def remove_strays(layout: Layout, job: JobFile, units: Sequence[int]) -> None:
    """Remove rejects files that no part names; plans, fits, probes and listings that the job file does not name.

    They are left by attempts that were killed before their commit, and by parts that were made anew.
    """
    named = {f.rejects_file for f in read_footers(layout.part(u) for u in units) if not isinstance(f, OutputError)}
    named.add(storage.name_of(layout.plan(job.plan.sha256)))
    named |= {str(job.source.get(name)) for name in ("fit", "probes")}
    if job.history:
        named.add(storage.name_of(layout.collection(job.history[-1].collection)))
    for folder in (layout.rejects, layout.state):
        for name in storage.list_files(folder):
            if name.endswith((".arrow", ".safetensors")) and name not in named:
                storage.remove(storage.join(folder, name))


def _reasons(layout: Layout, name: str) -> list[str]:
    try:
        table = read_rejects(storage.join(layout.rejects, name))
    except OSError as error:
        raise OutputError(f"the rejects file {name} is missing or damaged: {error}") from None
    return [f"{r['stage']}: {r['error']}" for r in table.select(["stage", "error"]).to_pylist()]
