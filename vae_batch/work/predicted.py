"""From a spec to the probes that predict attributes of generated images; fitted once, and kept in OUT."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from vae_batch import storage
from vae_batch.errors import SpecError
from vae_batch.latents.job import JobFile
from vae_batch.latents.labels import TYPES
from vae_batch.latents.layout import Layout
from vae_batch.latents.posteriors import open_posteriors
from vae_batch.models import ModelCard
from vae_batch.probes import Predictor, Probes, fit_probes
from vae_batch.specs import GenerateSpec

SHOWN = 12
"""Attributes that a remark names."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What is predicted beside the pictures of a job; nothing is written yet."""

    predictor: Predictor | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """For the fingerprint."""
    remarks: tuple[str, ...] = ()
    content: bytes = b""
    """Of the file of probes, where it is to be written."""

    def keep(self, layout: Layout) -> dict[str, Any]:
        """Write the probes into OUT; give what the job file says of them."""
        if self.predictor is None:
            return {}
        storage.write_bytes(self.predictor.file, self.content, layout.tmp)
        return {"probes": storage.name_of(self.predictor.file)}


def predicted_by(spec: GenerateSpec, card: ModelCard, layout: Layout, existing: JobFile | None) -> Predicted:
    """Take the probes that OUT keeps, where the job has begun with the same data set; else fit them.

    Raises:
        SpecError: the data set is another model's, or has no such labels.
        OutputError: it is none, or the probes in OUT are gone or damaged.
    """
    if spec.label_with is None:
        return Predicted()
    if existing and _asked(existing.spec) == _asked(spec.model_dump()):
        return _of_file(layout, existing.source["probes"], existing.fields["label_with"])
    posteriors = open_posteriors(spec.label_with)
    if posteriors.model != card.digest:
        raise SpecError(
            f"--label-with {spec.label_with} was encoded by the model with the digest {posteriors.model[:16]}…, and "
            f"--model {spec.model} has {card.digest[:16]}…: their latents have nothing in common. Encode labelled "
            "images with the model that is to generate"
        )
    job = JobFile.load(Layout.of(spec.label_with))
    probes = fit_probes(posteriors, _chosen(spec, job), spec.attributes is not None)
    content = probes.to_bytes()
    digest = storage.bytes_sha256(content)
    file = storage.join(layout.state, f"probes-{digest[:16]}.safetensors")
    predictor = Predictor(tuple(score.attribute for score in probes.scores), file, digest)
    remarks = [_scores(probes)]
    if len(posteriors.parts) < posteriors.planned:
        remarks.append(f"Note: {spec.label_with} is not finished; the probes know {posteriors.total:,} of its images.")
    return Predicted(predictor, {"label_with": digest}, tuple(remarks), content)


def _asked(spec: dict[str, Any]) -> tuple[str | None, str | None]:
    where = spec.get("label_with")
    return where and storage.absolute(where), spec.get("attributes")


def _of_file(layout: Layout, name: str, digest: str) -> Predicted:
    file = storage.join(layout.state, name)
    names = tuple(score.attribute for score in Predictor((), file, digest).probes().scores)
    return Predicted(Predictor(names, file, digest), {"label_with": digest})


def _chosen(spec: GenerateSpec, job: JobFile) -> list[tuple[str, pa.DataType]]:
    """The labels to predict: those asked for, or all. Raises SpecError: there is no such label."""
    there = {column.name: TYPES[column.type] for column in job.labels}
    names = spec.attribute_names() or list(there)
    unknown = [name for name in names if name not in there]
    if unknown:
        raise SpecError(
            f"--attributes {', '.join(unknown)}: {spec.label_with} has the labels {', '.join(there) or '(none)'}"
        )
    return [(name, there[name]) for name in names]


def _scores(probes: Probes) -> str:
    """Say what the probes are worth, at draws."""
    told = [f"{s.attribute} {s.metric} {s.at_draw:.2f}" for s in probes.scores[:SHOWN]]
    more = [f"{len(probes.scores) - SHOWN} more"] if len(probes.scores) > SHOWN else []
    left = ", ".join(f"{name} ({why})" for name, why in probes.left_out.items())
    most = max(score.fitted_on for score in probes.scores)
    return (
        f"Probes fitted to {most:,} images, scored on {max(s.held_out for s in probes.scores):,} others: "
        f"{', '.join([*told, *more])}.{f' Not predicted: {left}.' if left else ''}"
    )
