"""From a spec to the sampler of a generate job; what has to be fitted is, when the job begins, and kept in OUT."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

from vae_batch import storage
from vae_batch.errors import SpecError
from vae_batch.latents.condition import condition
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.models import ModelCard
from vae_batch.samplers import (
    Density,
    Edit,
    Fitted,
    Grid,
    Interpolate,
    Posterior,
    Prior,
    Reconstruct,
    Sampler,
    Traverse,
    check_size,
    fit,
    open_given,
    read_fit,
    read_pairs,
)
from vae_batch.specs import GenerateSpec
from vae_batch.work.axes_origin import axes_origin
from vae_batch.work.edit_origin import edit_origin
from vae_batch.work.encoded import Encoded, Kept, Origin, Say, open_encoded, same_model


def origin_of(spec: GenerateSpec, card: ModelCard, kept: Kept = None) -> Origin:
    """Look at what a spec draws latents from.

    Args:
        spec: of the job.
        card: of its model.
        kept: the fit file of the job, where it is begun already.

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
    if spec.sampler in ("traverse", "grid"):
        return axes_origin(spec, card, kept)
    if spec.sampler == "edit":
        return edit_origin(spec, card, kept)
    if spec.sampler == "fitted" and spec.fit is not None:
        return _given_fit(spec, spec.fit, card)
    encoded = open_encoded(spec, card)
    if spec.sampler == "reconstruct":
        return Origin(Reconstruct(encoded.chosen), encoded.fields, encoded.remarks)
    if spec.sampler == "posterior":
        posterior = Posterior(encoded.chosen, spec.seed, spec.draws)
        return Origin(posterior, {**encoded.fields, "draws": spec.draws}, encoded.remarks)
    return _interpolated(spec, encoded) if spec.sampler == "interpolate" else _fitted(spec, dims, encoded)


def _interpolated(spec: GenerateSpec, encoded: Encoded) -> Origin:
    chosen, remarks = encoded.chosen, encoded.remarks
    fields = {**encoded.fields, "pairs": None, "across": spec.across, "steps": spec.steps, "path": spec.path}
    ways = partial(Interpolate, seed=spec.seed, steps=spec.steps, arc=spec.path == "slerp")
    if spec.pairs is not None:
        pairs, fields["pairs"] = read_pairs(storage.absolute(spec.pairs), chosen)
        return Origin(ways(chosen, chosen, apart=False, pairs=pairs), fields, remarks)
    if chosen.total < 2:
        raise SpecError(f"--latents {spec.latents}: one row counts, and an interpolation is between two")
    if spec.across is None:
        return Origin(ways(chosen, chosen, apart=False), fields, remarks)
    known, remark = condition(chosen.dataset(), spec.across, "--across")
    targets, sources = chosen.split(known, spec.across, "--across")
    remarks += (*([remark] if remark else []), f"--across: from {sources.total:,} rows to {targets.total:,}.")
    return Origin(ways(sources, targets, apart=True), fields, remarks)


def _given_fit(spec: GenerateSpec, file: str, card: ModelCard) -> Origin:
    density, digest = read_fit(Density, storage.absolute(file))
    same_model(density.facts["model"], f"--fit {file} was made of latents of", spec, card)
    content = storage.read_bytes(storage.absolute(file))
    fields = {"fit": digest, "temperature": spec.temperature}
    return Origin(Fitted(spec.seed, spec.temperature), fields, (), lambda say: content)


def _fitted(spec: GenerateSpec, dims: int, encoded: Encoded) -> Origin:
    check_size(dims, spec.components)
    if spec.components > encoded.chosen.total:
        raise SpecError(f"--components {spec.components}: there are {encoded.chosen.total} images to fit them to")
    fields = {**encoded.fields, "components": spec.components, "temperature": spec.temperature}
    sampler = Fitted(spec.seed, spec.temperature)
    return Origin(sampler, fields, encoded.remarks, lambda say: _fit_to(encoded, spec, say))


def _fit_to(encoded: Encoded, spec: GenerateSpec, say: Say) -> bytes:
    density = fit(encoded.chosen, spec.components, spec.seed, say)
    return replace(density, facts={**density.facts, **encoded.facts(), "where": spec.where}).to_bytes()


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


def kept_file(layout: Layout, job: JobFile | None, spec: GenerateSpec) -> Kept:
    """Give the fit file of a job that is begun, if it is of the sampler that is asked for."""
    if job is None or job.fields["sampler"] != spec.sampler or "fit" not in job.source:
        return None
    return storage.join(layout.state, job.source["fit"]), job.source["fit_sha256"]


def with_fit(sampler: Sampler, layout: Layout, source: dict[str, Any]) -> Sampler:
    """Tell a sampler where the fit is that its job file names."""
    if not isinstance(sampler, Fitted | Traverse | Grid | Edit):
        return sampler
    return replace(sampler, file=storage.join(layout.state, source["fit"]), sha256=source["fit_sha256"])
