"""From a spec to a job that replicas can work on: source, model, labels, plan, fingerprint. No Ray in here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vae_batch.errors import OutputError
from vae_batch.images import Transform
from vae_batch.latents import labels as label_columns
from vae_batch.latents.collection import write_collection
from vae_batch.latents.job import VALUES_VERSION, JobFile, SourceState, check_same, existing_job
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import write_plan
from vae_batch.latents.schema import EncodeSchema
from vae_batch.models import ModelCard, describe_model
from vae_batch.sources import (
    Extent,
    Reading,
    Source,
    SourceOptions,
    count_images,
    default_unit_size,
    open_source,
    plan_units,
    sample_labels,
)
from vae_batch.sources.replan import collection_of
from vae_batch.specs import EncodeSpec, ImagesSpec, Precision
from vae_batch.types import Unit
from vae_batch.work.revision import Revision, look, remarks, revise

DEFAULT_IMAGE_SIZE = 64


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """What a replica needs to make any unit; plain data that travels."""

    out: str
    reading: Reading
    model: str
    fingerprint: str
    card: ModelCard
    transform: Transform
    schema: EncodeSchema
    precision: Precision
    seed: int
    batch_size: int | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A spec looked at against its source, model and OUT, with nothing written yet."""

    spec: EncodeSpec
    layout: Layout
    source: Source
    job: EncodeJob
    unit_size: int
    fields: dict[str, Any]
    existing: JobFile | None
    revision: Revision | None
    """How the job changes, where its source has grown or its rejects are tried again."""
    remarks: list[str]
    """Lines that the user should see."""

    @property
    def extent(self) -> Extent:
        """How much there is; counted when first asked for."""
        return count_images(self.source)

    def units(self) -> Iterator[Unit]:
        """Plan the units anew."""
        return plan_units(self.source, self.unit_size, self.job.schema.row_bytes)


def prepare(spec: EncodeSpec) -> Prepared:
    """Look at everything that `encode` would use, and refuse what cannot work; writes nothing.

    Raises:
        SourceError, ModelError, SpecError, OutputError: as their names say.
        MismatchError: OUT belongs to a job with other settings.
    """
    layout = Layout(Path(spec.out).absolute())
    existing = existing_job(layout)
    source = open_source(spec.source, options_of(spec))
    if Path(spec.source).is_dir() and layout.out.resolve().is_relative_to(Path(spec.source).resolve()):
        raise OutputError(
            f"--out {spec.out} lies in the source {spec.source}, so that what is written would change the collection: "
            "give a folder outside it"
        )
    card = describe_model(spec.model, image_size=spec.image_size)
    transform, said = _transform(spec, card)
    columns = _labels(spec, source, existing)
    schema = _schema(spec, card, transform, columns)
    schema.arrow()  # refuses clashing names before anything is written
    unit_size = spec.unit_size or (existing.fields["unit_size"] if existing else None)
    unit_size = unit_size or default_unit_size(count_images(source).files, schema.row_bytes)
    fields = _fingerprint_fields(spec, source, card, transform, columns, unit_size)
    revision = None
    if existing:
        digest, fields["source"] = fields["source"], existing.fields["source"]
        check_same(layout, existing, fields)
        revision = look(spec, layout, existing, source, digest)
        said += remarks(spec, layout, revision)
    job = EncodeJob(
        out=str(layout.out),
        reading=Reading(source.root, source.options),
        model=_absolute_model(spec.model),
        fingerprint="",
        card=card,
        transform=transform,
        schema=schema,
        precision=spec.precision,
        seed=spec.seed,
        batch_size=spec.batch_size,
    )
    return Prepared(spec, layout, source, job, unit_size, fields, existing, revision, said)


def open_job(prepared: Prepared) -> tuple[JobFile, EncodeJob]:
    """Find OUT's job file, or write plan and job file, in this order, before any part; revise it where that is due."""
    file = prepared.existing
    if file is None:
        prepared.layout.make()
        totals = write_plan(prepared.layout, prepared.units())
        collection = write_collection(prepared.layout, collection_of(prepared.source))
        file = JobFile(
            kind="encode",
            fields=prepared.fields,
            spec=prepared.spec.model_dump(mode="json"),
            model=prepared.job.card.to_dict(),
            source={"location": prepared.spec.source, "root": prepared.source.root},
            labels=prepared.job.schema.labels,
            plan=totals,
            history=(SourceState(prepared.fields["source"], collection, totals.units),),
        )
        file.save(prepared.layout)
        file = JobFile.load(prepared.layout)
    elif prepared.revision:
        file = revise(prepared.layout, file, prepared.source, prepared.revision)
    return file, replace(prepared.job, fingerprint=file.fingerprint)


def options_of(spec: ImagesSpec) -> SourceOptions:
    """What a spec says about how its source is to be read."""
    columns = getattr(spec, "columns", None)
    keys = None if columns is None else tuple(c.key for c in label_columns.parse(columns))
    return SourceOptions(spec.image_column, spec.id_column, keys)


def _transform(spec: EncodeSpec, card: ModelCard) -> tuple[Transform, list[str]]:
    remarks = []
    size = spec.image_size or card.image_size
    if size is None:
        size = DEFAULT_IMAGE_SIZE
        remarks.append(
            f"Image size: {size} pixels, since neither --image-size nor the model (image_size, sample_size) says."
        )
    if card.transform:
        return replace(Transform.from_dict(card.transform), size=size), remarks
    return Transform(size=size), remarks


def _labels(spec: EncodeSpec, source: Source, existing: JobFile | None) -> tuple[label_columns.LabelColumn, ...]:
    if spec.columns is not None:
        return tuple(label_columns.parse(spec.columns, spec.label_prefix))
    if existing and existing.fields["label_prefix"] == spec.label_prefix:
        return existing.labels
    return tuple(label_columns.infer(sample_labels(source), spec.label_prefix))


def _schema(
    spec: EncodeSpec, card: ModelCard, transform: Transform, columns: tuple[label_columns.LabelColumn, ...]
) -> EncodeSchema:
    metadata = {
        "vae_batch.kind": "encode",
        "vae_batch.model": card.digest,
        "vae_batch.latent_shape": json.dumps(list(card.latent_shape)),
        "vae_batch.transform": json.dumps(transform.to_dict()),
        "vae_batch.precision": spec.precision,
        "vae_batch.seed": str(spec.seed),
        "vae_batch.samples": str(spec.samples),
    }
    return EncodeSchema(
        latent_shape=tuple(card.latent_shape),
        samples=spec.samples,
        diagnostics=spec.diagnostics,
        sha256=spec.sha256,
        store=spec.store,
        labels=columns,
        metadata=metadata,
    )


def _fingerprint_fields(
    spec: EncodeSpec,
    source: Source,
    card: ModelCard,
    transform: Transform,
    columns: tuple[label_columns.LabelColumn, ...],
    unit_size: int,
) -> dict[str, Any]:
    return {
        "source": source.digest(),
        "model": card.digest,
        **{f"transform.{k}": v for k, v in transform.to_dict().items()},
        "precision": spec.precision,
        "seed": spec.seed,
        "samples": spec.samples,
        "diagnostics": spec.diagnostics,
        "sha256": spec.sha256,
        "store": spec.store,
        "labels": [[c.key, c.name, c.type] for c in columns],
        "label_prefix": spec.label_prefix,
        "unit_size": unit_size,
        "values_version": VALUES_VERSION,
    }


def _absolute_model(reference: str) -> str:
    """A folder is named absolutely, for replicas whose working directory is another."""
    return str(Path(reference).absolute()) if Path(reference).is_dir() else reference
