"""From a spec to the sampler of a generate job; what has to be fitted is, when the job begins, and kept in OUT."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vae_batch import storage
from vae_batch.errors import SpecError
from vae_batch.latents.layout import Layout
from vae_batch.latents.posteriors import Posteriors, open_posteriors
from vae_batch.models import ModelCard
from vae_batch.samplers import (
    Fitted,
    Posterior,
    Prior,
    Reconstruct,
    Sampler,
    check_size,
    fit,
    open_given,
    read_density,
)
from vae_batch.specs import GenerateSpec

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the latents of a job come from, looked at; nothing is fitted or written yet."""

    sampler: Sampler
    fields: dict[str, Any]
    """What determines them, for the fingerprint."""
    remarks: tuple[str, ...] = ()
    fit_file: Callable[[Say], bytes] | None = None
    """Gives the content of the fit file that the sampler reads."""


def origin_of(spec: GenerateSpec, card: ModelCard) -> Origin:
    """Look at what a spec draws latents from.

    Raises:
        SpecError: it does not go with the model, or chooses nothing.
        OutputError: it is not what the sampler wants.
    """
    dims = math.prod(card.latent_shape)
    if spec.sampler == "prior":
        prior = Prior(dims, spec.seed, spec.temperature, spec.truncation)
        return Origin(prior, {"temperature": spec.temperature, "truncation": spec.truncation})
    if spec.sampler == "given":
        given, digest = open_given(spec.latents or "", spec.latent_column, dims)
        return Origin(given, {"latents": digest})
    if spec.fit is not None:
        return _given_fit(spec, spec.fit, card)
    posteriors, remarks = _posteriors(spec, card)
    fields: dict[str, Any] = {"latents": posteriors.digest, "where": spec.where}
    if spec.where is not None:
        posteriors = posteriors.where(spec.where)
        remarks += (f"--where: {posteriors.total:,} of {sum(p.rows for p in posteriors.parts):,} rows.",)
    if spec.sampler == "reconstruct":
        return Origin(Reconstruct(posteriors), fields, remarks)
    if spec.sampler == "posterior":
        return Origin(Posterior(posteriors, spec.seed, spec.draws), {**fields, "draws": spec.draws}, remarks)
    check_size(dims, spec.components)
    if spec.components > posteriors.total:
        raise SpecError(f"--components {spec.components}: there are {posteriors.total} images to fit them to")
    fields |= {"components": spec.components, "temperature": spec.temperature}
    return Origin(Fitted(spec.seed, spec.temperature), fields, remarks, lambda say: _fitted(spec, posteriors, say))


def _posteriors(spec: GenerateSpec, card: ModelCard) -> tuple[Posteriors, tuple[str, ...]]:
    posteriors = open_posteriors(spec.latents or "")
    _same_model(posteriors.model, f"--latents {spec.latents} was encoded by", spec, card)
    if len(posteriors.parts) == posteriors.planned:
        return posteriors, ()
    there = f"{len(posteriors.parts):,} of {posteriors.planned:,} parts"
    return posteriors, (f"Note: {there} of {spec.latents} are there; only those count.",)


def _same_model(digest: str, what: str, spec: GenerateSpec, card: ModelCard) -> None:
    if digest != card.digest:
        raise SpecError(
            f"{what} the model with the digest {digest[:16]}…, and --model {spec.model} has {card.digest[:16]}…: its "
            "decoder would make nothing of those latents. Give the model that encoded them"
        )


def _given_fit(spec: GenerateSpec, file: str, card: ModelCard) -> Origin:
    density, digest = read_density(storage.absolute(file))
    _same_model(density.facts["model"], f"--fit {file} was made of latents of", spec, card)
    content = storage.read_bytes(storage.absolute(file))
    fields = {"fit": digest, "temperature": spec.temperature}
    return Origin(Fitted(spec.seed, spec.temperature), fields, (), lambda say: content)


def _fitted(spec: GenerateSpec, posteriors: Posteriors, say: Say) -> bytes:
    density = fit(posteriors, spec.components, spec.seed, say)
    known = {"model": posteriors.model, "latents": posteriors.out, "latents_digest": posteriors.digest}
    return replace(density, facts={**density.facts, **known, "where": spec.where}).to_bytes()


def keep_fit(origin: Origin, layout: Layout, say: Say) -> dict[str, Any]:
    """Fit what is to be fitted, and write it into OUT under the name that its content gives.

    Returns:
        For the job file: `fit`, its name, and `fit_sha256`; nothing where the sampler needs none.
    """
    if origin.fit_file is None:
        return {}
    content = origin.fit_file(say)
    digest = storage.bytes_sha256(content)
    name = f"fit-{digest[:16]}.safetensors"
    storage.write_bytes(storage.join(layout.state, name), content, layout.tmp)
    return {"fit": name, "fit_sha256": digest}


def with_fit(sampler: Sampler, layout: Layout, source: dict[str, Any]) -> Sampler:
    """Tell a sampler where the fit is that its job file names."""
    if not isinstance(sampler, Fitted):
        return sampler
    return replace(sampler, file=storage.join(layout.state, source["fit"]), sha256=source["fit_sha256"])
