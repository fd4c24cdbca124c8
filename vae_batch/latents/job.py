"""The job file: what was asked for, its fingerprint, and the check that OUT belongs to it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vae_batch import storage
from vae_batch.errors import MismatchError, OutputError
from vae_batch.latents.labels import LabelColumn
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import PlanTotals

FORMAT = 2
VALUES_VERSION = 2
"""Raised whenever this package would write other values for the same spec."""

_LABELS = (
    "A label file is another one or has changed: the rows that are there have their labels from the old one, so it is "
    "not taken in, nor with --extend.\n"
)


@dataclass(frozen=True, slots=True)
class SourceState:
    """A state of the source that the plan has taken in: as it was first, grown (--extend) or repaired."""

    digest: str
    """Of the source, as `Source.digest` gives it."""
    collection: str
    """sha256 of the file that keeps its paths and sizes."""
    units: int
    """Planned by then."""


@dataclass(frozen=True, slots=True)
class JobFile:
    """`job.json`: written after the plan and before any part.

    It is replaced, in one rename, only when the plan takes in another state of the source; the plan and the paths
    that it then names lie there before. The fingerprint, whose field `source` is the first state's digest, stays, and
    so do the parts.
    """

    kind: str
    fields: dict[str, Any]
    """What the fingerprint is made from: all that the user asked for which determines the values."""
    spec: dict[str, Any]
    """The spec as given."""
    model: dict[str, Any]
    """The model card."""
    source: dict[str, Any]
    """Where the images were: `root`, absolute, and `location` as given."""
    labels: tuple[LabelColumn, ...]
    plan: PlanTotals
    history: tuple[SourceState, ...]
    """The states of the source, the present one last."""

    @property
    def fingerprint(self) -> str:
        """Hash of the fields."""
        return storage.json_sha256(self.fields)

    def save(self, layout: Layout) -> None:
        """Write the job file whole."""
        storage.write_json(layout.job, self._value(), layout.tmp)

    def create(self, layout: Layout) -> None:
        """Write the job file of a new OUT; another one that is there by now stays, where the storage can tell."""
        with contextlib.suppress(FileExistsError):
            storage.write_json(layout.job, self._value(), layout.tmp, new=True)

    def _value(self) -> dict[str, Any]:
        return {"format": FORMAT, "fingerprint": self.fingerprint, **asdict(self)}

    @classmethod
    def load(cls, layout: Layout) -> JobFile:
        """Read the job file.

        Raises:
            OutputError: missing, damaged, of a later format, or edited (its fingerprint does not fit its fields).
        """
        try:
            value = json.loads(storage.read_bytes(layout.job))
            if value.pop("format") != FORMAT:
                raise OutputError(f"{layout.job}: written by another version of vae_batch; use that one")
            fingerprint = value.pop("fingerprint")
            value["labels"] = tuple(LabelColumn(**c) for c in value["labels"])
            value["plan"] = PlanTotals(**value["plan"])
            value["history"] = tuple(SourceState(**s) for s in value["history"])
            job = cls(**value)
        except FileNotFoundError:
            raise OutputError(f"{layout.out} is no output of vae_batch: it has no .vae_batch/job.json") from None
        except OSError as error:
            raise OutputError(f"{layout.job} cannot be read: {error}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{layout.job} is damaged: {error!r}") from None
        if job.fingerprint != fingerprint:
            raise OutputError(f"{layout.job} was changed: its fields do not give its fingerprint {fingerprint}")
        return job


def encoded_job(layout: Layout) -> JobFile:
    """Load the job of an encoded data set. Raises OutputError: it is none, or one of generated images."""
    job = JobFile.load(layout)
    if job.kind != "encode":
        raise OutputError(f"{layout.out} has generated images, and no posteriors: encode it first")
    return job


def existing_job(layout: Layout) -> JobFile | None:
    """Load the job of OUT; None if OUT is new, empty, or was left before its job file was written.

    Raises:
        OutputError: OUT holds something else.
    """
    if storage.exists(layout.job):
        return JobFile.load(layout)
    try:
        strangers = storage.list_files(layout.out).keys() - {".vae_batch", "data"}
    except NotADirectoryError:
        raise OutputError(f"{layout.out} is a file; --out wants a folder") from None
    if strangers or storage.list_files(layout.data):
        raise OutputError(
            f"{layout.out} is not empty and has no .vae_batch/job.json, so it is no job's output: "
            "give a new or empty folder"
        )
    return None


def check_same(layout: Layout, job: JobFile, wanted: Mapping[str, Any]) -> None:
    """Refuse to mix two jobs in one OUT.

    Raises:
        MismatchError: with the differing fields side by side.
    """
    keys = [k for k in {**job.fields, **wanted} if job.fields.get(k) != wanted.get(k)]
    if not keys:
        return
    rows = [("", "in OUT", "asked for")]
    rows += [(k, _short(job.fields.get(k)), _short(wanted.get(k))) for k in keys]
    widths = [max(len(r[i]) for r in rows) for i in range(2)]
    table = "\n".join(f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows)
    raise MismatchError(
        f"{layout.out} belongs to a job with other settings:\n{table}\n"
        f"{_LABELS if 'label_files' in keys else ''}Run with the settings in OUT to continue it, or give another --out."
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, str) and len(text) == 64:
        return text[:16] + "…"
    return text if len(text) <= 60 else text[:57] + "…"
