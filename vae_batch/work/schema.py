"""What the rows of a job hold, and what determines their values."""

from __future__ import annotations

import json
from typing import Any

from vae_batch.images import Transform
from vae_batch.latents import labels as label_columns
from vae_batch.latents.job import VALUES_VERSION, JobFile
from vae_batch.latents.schema import EncodeSchema
from vae_batch.models import ModelCard
from vae_batch.sources import (
    Labelling,
    Source,
    sample_labels,
)
from vae_batch.sources.labels.celeba import output_names
from vae_batch.specs import EncodeSpec
from vae_batch.types import Scaling


def labels_of(spec: EncodeSpec, source: Source, existing: JobFile | None) -> tuple[label_columns.LabelColumn, ...]:
    """The label columns that are given, those that the job has, or those of the first images. Raises SpecError."""
    if spec.columns is not None:
        return tuple(label_columns.parse(spec.columns, spec.label_prefix))
    if existing and existing.fields["label_prefix"] == spec.label_prefix:
        return existing.labels
    return tuple(label_columns.infer(sample_labels(source), spec.label_prefix))


def with_files(
    spec: EncodeSpec,
    columns: tuple[label_columns.LabelColumn, ...],
    labelling: Labelling,
    existing: JobFile | None,
) -> tuple[label_columns.LabelColumn, ...]:
    """Add the columns of label files, where the columns are not given: a label of a file goes before a sidecar's."""
    if spec.columns is not None or (existing and existing.fields["label_prefix"] == spec.label_prefix):
        return columns
    types = {field.key: field.type for field in labelling.fields}
    names = output_names(types)
    own = [column for column in columns if column.key not in types]
    return (*own, *(label_columns.LabelColumn(k, spec.label_prefix + names[k], t) for k, t in types.items()))


def schema_of(
    spec: EncodeSpec, card: ModelCard, transform: Transform, columns: tuple[label_columns.LabelColumn, ...]
) -> EncodeSchema:
    """The columns of the parts, and what stands in their metadata."""
    metadata = {
        "vae_batch.kind": "encode",
        "vae_batch.model": card.digest,
        "vae_batch.latent_shape": json.dumps(list(card.latent_shape)),
        "vae_batch.transform": json.dumps(transform.to_dict()),
        "vae_batch.precision": spec.precision,
        "vae_batch.seed": str(spec.seed),
        "vae_batch.samples": str(spec.samples),
    }
    if card.scaling is not None:
        metadata |= {f"vae_batch.{name}": json.dumps(value) for name, value in card.scaling.items()}
        metadata["vae_batch.scaled"] = json.dumps(spec.scaled)
    return EncodeSchema(
        latent_shape=tuple(card.latent_shape),
        samples=spec.samples,
        diagnostics=spec.diagnostics,
        sha256=spec.sha256,
        store=spec.store,
        labels=columns,
        metadata=metadata,
        scaling=Scaling.of(card.scaling or {}) if spec.scaled else None,
    )


def fingerprint_fields(
    spec: EncodeSpec,
    source: Source,
    card: ModelCard,
    transform: Transform,
    columns: tuple[label_columns.LabelColumn, ...],
    unit_size: int,
) -> dict[str, Any]:
    """What the fingerprint is made of: all that the user asked for and that determines values."""
    return {
        "source": source.digest(),
        "image_column": spec.image_column,
        "id_column": spec.id_column,
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
        **({"scaled": True} if spec.scaled else {}),
    }
