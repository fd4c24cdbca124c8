"""What a generate job starts from: the latents it is to decode, and for most samplers an encoded data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vae_batch.errors import SpecError
from vae_batch.latents.posteriors import Posteriors, open_posteriors
from vae_batch.models import ModelCard
from vae_batch.samplers import Sampler
from vae_batch.specs import GenerateSpec

Say = Callable[[str], None]

Kept = tuple[str, str] | None
"""Location and sha256 of the fit file of a job that is begun already."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the latents of a job come from, looked at; nothing is fitted or written yet."""

    sampler: Sampler
    fields: dict[str, Any]
    """What determines them, for the fingerprint."""
    remarks: tuple[str, ...] = ()
    fit_file: Callable[[Say], bytes] | None = None
    """Gives the content of the fit file that the sampler reads."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The encoded data set that a spec names, of the model that the spec names."""

    every: Posteriors
    chosen: Posteriors
    """By `where`."""
    fields: dict[str, Any]
    """For the fingerprint."""
    remarks: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Say in a fit file what it was made from."""
        return {"model": self.every.model, "latents": self.every.out, "latents_digest": self.every.digest}


def open_encoded(spec: GenerateSpec, card: ModelCard) -> Encoded:
    """Open it; reads footers, and the columns that `where` speaks of. Raises OutputError or SpecError."""
    every = open_posteriors(spec.latents or "")
    same_model(every.model, f"--latents {spec.latents} was encoded by", spec, card)
    fields: dict[str, Any] = {"latents": every.digest, "where": spec.where}
    remarks: tuple[str, ...] = ()
    if len(every.parts) < every.planned:
        there = f"{len(every.parts):,} of {every.planned:,} parts"
        remarks += (f"Note: {there} of {spec.latents} are there; only those count.",)
    if spec.where is None:
        return Encoded(every, every, fields, remarks)
    chosen = every.where(spec.where)
    return Encoded(every, chosen, fields, (*remarks, f"--where: {chosen.total:,} of {every.total:,} rows."))


def same_model(digest: str, what: str, spec: GenerateSpec, card: ModelCard) -> None:
    """Refuse latents of another model. Raises SpecError."""
    if digest != card.digest:
        raise SpecError(
            f"{what} the model with the digest {digest[:16]}…, and --model {spec.model} has {card.digest[:16]}…: its "
            "decoder would make nothing of those latents. Give the model that encoded them"
        )
