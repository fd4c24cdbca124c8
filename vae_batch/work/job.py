"""From a spec to a job that replicas can work on: source, model, labels, plan, fingerprint. No Ray in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.images import Transform
from vae_batch.latents import labels as label_columns
from vae_batch.latents.collection import write_collection
from vae_batch.latents.job import JobFile, SourceState, check_same, existing_job
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import write_plan
from vae_batch.latents.schema import EncodeSchema
from vae_batch.models import ModelCard, describe_model, resolve_model
from vae_batch.sources import (
    Extent,
    Labelling,
    Reading,
    Source,
    SourceOptions,
    broken_shards,
    count_images,
    default_unit_size,
    open_source,
    plan_units,
)
from vae_batch.sources.replan import collection_of
from vae_batch.specs import EncodeSpec, ImagesSpec, Precision
from vae_batch.types import Unit
from vae_batch.work.boxes import check_places
from vae_batch.work.places import absolute, lies_in
from vae_batch.work.revision import Revision, look, remarks_on, revise
from vae_batch.work.schema import fingerprint_fields, labels_of, schema_of, with_files
from vae_batch.work.suits import check_batches, check_encodes, in_its_precision

if TYPE_CHECKING:
    from vae_batch.work.maker import UnitMaker

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
    trust_model_code: bool

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.transform.size

    def describe(self) -> str:
        """Say in a few words what is made."""
        shape = "×".join(map(str, self.card.latent_shape))
        return f"images at {self.image_size}×{self.image_size}, latents of {shape}"

    def maker(self, device: str, threads: int) -> UnitMaker:
        """Load the model on a device, and give what makes the units, with so many threads that decode."""
        from vae_batch.work.encode import UnitEncoder  # not at the top: a job is prepared without torch

        return UnitEncoder(self, device, threads)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A spec looked at against its source, model and OUT, with nothing written yet."""

    spec: EncodeSpec
    layout: Layout
    source: Source
    labelling: Labelling
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
    layout = Layout.of(spec.out)
    existing = existing_job(layout)
    source = open_source(spec.source, options_of(spec))
    if lies_in(layout.out, storage.absolute(spec.source)):
        raise OutputError(
            f"--out {spec.out} lies in the source {spec.source}, so that what is written would change the collection: "
            "give a folder outside it"
        )
    spec = spec.model_copy(update={"model": resolve_model(spec.model)})
    card = describe_model(spec.model, spec.image_size, spec.trust_model_code)
    check_encodes(spec, card)
    spec, remarks = in_its_precision(spec, card)
    remarks += check_batches(spec, card)
    transform = _transform(spec, card, remarks)
    source = replace(source, options=with_columns(source.options, transform.columns))
    columns = labels_of(spec, source, existing)
    labelling = Labelling(spec, source, layout.labels, _types(spec), [c.key for c in columns])
    columns = with_files(spec, columns, labelling, existing)
    remarks += labelling.remarks
    schema = schema_of(spec, card, transform, columns)
    schema.arrow()  # refuses clashing names before anything is written
    unit_size = spec.unit_size or (existing.fields["unit_size"] if existing else None)
    unit_size = unit_size or default_unit_size(count_images(source).files, schema.row_bytes)
    remarks += [] if existing else broken_shards(source)
    fields = fingerprint_fields(spec, source, card, transform, columns, unit_size) | labelling.fingerprint
    revision = None
    if existing:
        digest, fields["source"] = fields["source"], existing.fields["source"]
        check_same(layout, existing, fields)
        revision = look(spec, layout, existing, source, digest)
        remarks += remarks_on(spec, layout, revision)
    job = EncodeJob(
        out=layout.out,
        reading=Reading(source.root, source.options),
        model=absolute(spec).model,
        fingerprint="",
        card=card,
        transform=transform,
        schema=schema,
        precision=spec.precision,
        seed=spec.seed,
        batch_size=spec.batch_size,
        trust_model_code=spec.trust_model_code,
    )
    return Prepared(spec, layout, source, labelling, job, unit_size, fields, existing, revision, remarks)


def open_job(prepared: Prepared, say: Callable[[str], None] = lambda line: None) -> tuple[JobFile, EncodeJob]:
    """Find OUT's job file, or begin the job; revise it where that is due. Its file is written last, before any part.

    Args:
        prepared: from `prepare`.
        say: takes lines for the user.

    Raises:
        MismatchError: another job has begun in OUT meanwhile.
    """
    layout = prepared.layout
    layout.make()
    join, remarks = prepared.labelling.build(layout.labels, layout.tmp)
    for remark in remarks:
        say(remark)
    reading = replace(prepared.job.reading, join=join)
    if prepared.existing is None:
        check_places(reading, prepared.units(), prepared.job.transform)
        _begin(prepared)
    elif prepared.revision:
        revise(layout, prepared.existing, prepared.source, prepared.revision)
    file = JobFile.load(layout)
    check_same(layout, file, prepared.fields)
    return file, replace(prepared.job, reading=reading, fingerprint=file.fingerprint)


def _begin(prepared: Prepared) -> None:
    """Write plan, paths and sizes, and the job file, in this order."""
    layout = prepared.layout
    totals = write_plan(layout, prepared.units())
    collection = write_collection(layout, collection_of(prepared.source))
    spec = absolute(prepared.spec)
    JobFile(
        kind="encode",
        fields=prepared.fields,
        spec=spec.model_dump(mode="json"),
        model=prepared.job.card.to_dict(),
        source={"location": spec.source, "root": prepared.source.root},
        labels=prepared.job.schema.labels,
        plan=totals,
        history=(SourceState(prepared.fields["source"], collection, totals.units),),
    ).create(layout)


def options_of(spec: ImagesSpec) -> SourceOptions:
    """What a spec says about how its source is to be read."""
    types = _types(spec)
    return SourceOptions(spec.image_column, spec.id_column, types)


def _types(spec: ImagesSpec) -> dict[str, str] | None:
    """The types by label that the user gave; None where labels are to be found by looking."""
    columns = getattr(spec, "columns", None)
    return None if columns is None else {c.key: c.type for c in label_columns.parse(columns)}


def with_columns(options: SourceOptions, names: Iterable[str]) -> SourceOptions:
    """Let some label columns come along in any case."""
    if options.columns is None:
        return options
    return replace(options, columns={**dict.fromkeys(names, "float64"), **options.columns})


def _transform(spec: EncodeSpec, card: ModelCard, remarks: list[str]) -> Transform:
    size = spec.image_size or card.image_size
    if size is None:
        size = DEFAULT_IMAGE_SIZE
        remarks.append(
            f"Image size: {size} pixels, since neither --image-size nor the model (image_size, sample_size) says."
        )
    own = Transform.from_dict(card.transform) if card.transform else Transform(size)
    asked = {name: value for name in ("crop", "fit", "decode") if (value := getattr(spec, name)) is not None}
    return replace(own, size=size, **asked)
