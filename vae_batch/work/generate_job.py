"""From a spec to a generate job that replicas can work on: model, sampler, plan, fingerprint. No Ray in here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vae_batch import storage
from vae_batch.errors import MismatchError, SpecError
from vae_batch.latents.generated import GenerateSchema
from vae_batch.latents.job import VALUES_VERSION, JobFile, check_same, existing_job
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import open_plan, write_plan
from vae_batch.models import ModelCard, describe_model, resolve_model
from vae_batch.models.reference import absolute_reference
from vae_batch.probes import Predictor
from vae_batch.samplers import Sampler
from vae_batch.sources import default_unit_size
from vae_batch.specs import Codec, GenerateSpec, Precision
from vae_batch.types import Piece, Unit
from vae_batch.work.encoded import Origin
from vae_batch.work.origin import keep_fit, kept_file, origin_of, with_fit
from vae_batch.work.predicted import Predicted, predicted_by
from vae_batch.work.suits import check_batches, in_its_precision

if TYPE_CHECKING:
    from vae_batch.work.maker import UnitMaker

PICTURE_BYTES = {"png": 2.0, "jpeg": 0.6, "webp": 0.4}
"""Of a pixel, about, all channels together."""


@dataclass(frozen=True, slots=True)
class GenerateJob:
    """What a replica needs to make any unit; plain data that travels."""

    out: str
    model: str
    fingerprint: str
    card: ModelCard
    image_size: int
    sampler: Sampler
    predictor: Predictor | None
    schema: GenerateSchema
    codec: Codec
    quality: int | None
    precision: Precision
    seed: int
    batch_size: int | None
    trust_model_code: bool

    def describe(self) -> str:
        """Say in a few words what is made."""
        shape = "×".join(map(str, self.card.latent_shape))
        return f"latents of {shape} to {self.codec} of {self.image_size}×{self.image_size}"

    def maker(self, device: str, threads: int) -> UnitMaker:
        """Load the model on a device, and give what makes the units, with so many threads that write pictures."""
        from vae_batch.work.generate import UnitGenerator  # not at the top: a job is prepared without torch

        return UnitGenerator(self, device, threads)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A spec looked at against its model and OUT, with nothing written yet."""

    spec: GenerateSpec
    layout: Layout
    job: GenerateJob
    origin: Origin
    predicted: Predicted
    unit_size: int
    fields: dict[str, Any]
    existing: JobFile | None
    remarks: list[str]


def prepare_generate(spec: GenerateSpec) -> Prepared:
    """Look at everything that `generate` would use, and refuse what cannot work; writes nothing.

    Raises:
        ModelError, SpecError, OutputError: as their names say.
        MismatchError: OUT belongs to a job with other settings.
    """
    layout = Layout.of(spec.out)
    existing = existing_job(layout)
    if existing and existing.kind != "generate":
        raise MismatchError(f"{layout.out} is an encoded data set; give another --out")
    spec = spec.model_copy(update={"model": resolve_model(spec.model)})
    card = describe_model(spec.model, spec.image_size, spec.trust_model_code)
    if not card.decodes:
        raise SpecError(f"{spec.model} has no decoder: give a folder with encoder.pt2 and decoder.pt2")
    spec, remarks = in_its_precision(spec, card)
    remarks += check_batches(spec, card)
    size = _image_size(spec, card)
    origin = origin_of(spec, card, kept_file(layout, existing, spec))
    spec = _amount(spec, origin.sampler.total)
    predicted = predicted_by(spec, card, layout, existing)
    schema = GenerateSchema(
        latent_shape=tuple(card.latent_shape),
        image_bytes=int(size * size * PICTURE_BYTES[spec.codec]),
        pictures=spec.format,
        origin=tuple((field.name, str(field.type)) for field in origin.sampler.columns()),
        predicted=predicted.predictor.columns if predicted.predictor else (),
        metadata=_metadata(spec, card),
    )
    unit_size = spec.unit_size or (existing.fields["unit_size"] if existing else None)
    unit_size = unit_size or default_unit_size(sum(map(len, spec.runs())), schema.row_bytes)
    fields = {**fingerprint_fields(spec, card, origin, size, unit_size), **predicted.fields}
    if existing:
        check_same(layout, existing, fields)
    job = GenerateJob(
        out=layout.out,
        model=absolute_reference(spec.model),
        fingerprint="",
        card=card,
        image_size=size,
        sampler=origin.sampler,
        predictor=predicted.predictor,
        schema=schema,
        codec=spec.codec,
        quality=spec.quality,
        precision=spec.precision,
        seed=spec.seed,
        batch_size=spec.batch_size,
        trust_model_code=spec.trust_model_code,
    )
    remarks += [*origin.remarks, *predicted.remarks]
    return Prepared(spec, layout, job, origin, predicted, unit_size, fields, existing, remarks)


def open_generate(prepared: Prepared, say: Callable[[str], None] = lambda line: None) -> tuple[JobFile, GenerateJob]:
    """Find OUT's job file, or begin the job; add units where more images are asked for than before.

    Raises:
        MismatchError: another job has begun in OUT meanwhile, or fewer images are asked for than before.
    """
    layout, existing = prepared.layout, prepared.existing
    layout.make()
    if existing is None:
        source = keep_fit(prepared.origin, layout, say) | prepared.predicted.keep(layout)
        _job_file(prepared, units(prepared.spec.runs(), prepared.unit_size), source).create(layout)
    else:
        _grow(prepared, existing, say)
    file = JobFile.load(layout)
    check_same(layout, file, prepared.fields)
    sampler = with_fit(prepared.job.sampler, layout, file.source)
    return file, replace(prepared.job, fingerprint=file.fingerprint, sampler=sampler)


def _grow(prepared: Prepared, existing: JobFile, say: Callable[[str], None]) -> None:
    """Plan further units behind those that there are, for a larger count. Raises MismatchError for a smaller one."""
    have, wanted = existing.plan.seen or 0, sum(map(len, prepared.spec.runs()))
    if wanted == have:
        return
    if wanted < have:
        raise MismatchError(
            f"{prepared.layout.out} is a data set of {have:,} images, and {wanted:,} are asked for: give "
            f"--count {have} to go on with it, a larger one to add to it, or another --out"
        )
    say(f"{wanted - have:,} images more than the {have:,} that were planned: they become further units.")
    plan = open_plan(prepared.layout, existing.plan)
    behind = units([range(have, wanted)], prepared.unit_size, len(plan))
    before = (plan[number] for number in range(len(plan)))
    _job_file(prepared, _chain(before, behind), existing.source).save(prepared.layout)


def _chain(*parts: Iterator[Unit]) -> Iterator[Unit]:
    for part in parts:
        yield from part


def _job_file(prepared: Prepared, planned: Iterator[Unit], source: dict[str, Any]) -> JobFile:
    """Write the plan, and make the job file that names it."""
    paths = {name: getattr(prepared.spec, name) for name in ("out", "latents", "fit", "pairs", "label_with")}
    here = {name: path and storage.absolute(path) for name, path in paths.items()}
    spec = prepared.spec.model_copy(update={"model": prepared.job.model, **here})
    return JobFile(
        kind="generate",
        fields=prepared.fields,
        spec=spec.model_dump(mode="json"),
        model=prepared.job.card.to_dict(),
        source=source,
        labels=(),
        plan=write_plan(prepared.layout, planned),
        history=(),
    )


def units(runs: list[range], size: int, first: int = 0) -> Iterator[Unit]:
    """Cut the numbers of images into units of a size, in order; scattered numbers go together."""
    number, pieces, room = first, list[Piece](), size
    for run in runs:
        at = run.start
        while at < run.stop:
            stop = min(run.stop, at + room)
            pieces.append(Piece("", "indices", at, at, stop))
            room, at = room - (stop - at), stop
            if not room:
                yield _unit(number, pieces)
                number, pieces, room = number + 1, [], size
    if pieces:
        yield _unit(number, pieces)


def _unit(number: int, pieces: list[Piece]) -> Unit:
    return Unit(number, tuple(pieces), sum((p.end or 0) - p.start for p in pieces), 0)


def fingerprint_fields(
    spec: GenerateSpec, card: ModelCard, origin: Origin, image_size: int, unit_size: int
) -> dict[str, Any]:
    """What the fingerprint is made of: all that the user asked for and that determines values; not how many."""
    fields: dict[str, Any] = {
        "kind": "generate",
        "model": card.digest,
        "sampler": spec.sampler,
        "seed": spec.seed,
        **origin.fields,
        "image_size": image_size,
        "format": spec.format,
        "codec": spec.codec,
        "quality": spec.quality,
        "precision": spec.precision,
        "unit_size": unit_size,
        "values_version": VALUES_VERSION,
    }
    if spec.indices is not None:
        fields["indices"] = [[run.start, run.stop] for run in spec.runs()]
    return fields


def _amount(spec: GenerateSpec, total: int | None) -> GenerateSpec:
    """Take all that the latents give where the spec does not say. Raises SpecError: it asks for more."""
    if spec.count is None and spec.indices is None:
        return spec.model_copy(update={"count": total})
    last = spec.runs()[-1].stop
    if total is not None and last > total:
        asked = f"--count {spec.count}" if spec.count else f"--indices up to {last - 1}"
        raise SpecError(f"{asked}: the sampler {spec.sampler} makes {total:,} images here, from 0")
    return spec


def _image_size(spec: GenerateSpec, card: ModelCard) -> int:
    size = spec.image_size or card.image_size
    if size is None:
        raise SpecError(f"{spec.model} names no image size, and takes any: give --image-size")
    return size


def _metadata(spec: GenerateSpec, card: ModelCard) -> dict[str, str]:
    return {
        "vae_batch.kind": "generate",
        "vae_batch.model": card.digest,
        "vae_batch.latent_shape": json.dumps(list(card.latent_shape)),
        "vae_batch.sampler": spec.sampler,
        "vae_batch.precision": spec.precision,
        "vae_batch.seed": str(spec.seed),
    }
