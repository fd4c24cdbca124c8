"""Judging a generated data set: its pictures are encoded again, and their posteriors compared with those of real ones.

So what is judged is the pictures as they are, codec included, and not the latents that they were made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vae_batch import storage
from vae_batch.analysis.evaluation import Compared, Evaluation, measure
from vae_batch.cluster.encode import encode
from vae_batch.cluster.report import Report, Silent
from vae_batch.cluster.signals import interruptible
from vae_batch.errors import InterruptedJobError, OutputError, SpecError
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.pictures import FOLDERS, SHARDS
from vae_batch.latents.posteriors import open_posteriors
from vae_batch.latents.summary import Summary, finished_summary
from vae_batch.models import describe_model, resolve_model
from vae_batch.specs import EncodeSpec, EvaluateSpec

NUMBERS = ("float64", "int64", "bool")
"""Types of labels whose distribution is compared."""

PICTURES = {"parquet": "data", "webdataset": SHARDS, "folder": FOLDERS}
"""What in a generated data set is the source."""

EVALUATION = "evaluation.json"


def evaluate(spec: EvaluateSpec, report: Report | None = None, verbose: bool = False) -> Evaluation:
    """Compare a generated data set with real images, in the latent space of the model that made it.

    What is not encoded yet is, into the work folder, which is kept: the second time goes on, or finds it done.

    Args:
        spec: what to do.
        report: takes the messages; None: silent.
        verbose: let Ray's own log through.

    Returns:
        What there is to say; also in `generated`/.vae_batch/evaluation.json.

    Raises:
        SpecError: encoded by another model, cut or sized otherwise, or too few images.
        OutputError: `generated` is no finished data set.
        InterruptedJobError: SIGINT or SIGTERM; running again goes on.
        VaeBatchError: as `encode`.
    """
    layout = Layout.of(spec.generated)
    comparison = _Comparison(spec, layout, JobFile.load(layout), report or Silent(), verbose)
    if comparison.job.kind == "generate":
        finished(layout, comparison.job)
    real = comparison.open(spec.real, spec.where)
    train = comparison.open(spec.train) if spec.train else None
    generated = comparison.open(spec.generated)
    comparison.check_alike(generated, real, train)
    model = {name: comparison.job.model[name] for name in ("digest", "family", "latent_shape")}
    try:
        with interruptible():
            found = measure(generated, real, train, model, spec.k, spec.limit, spec.seed)
    except InterruptedJobError as error:
        raise InterruptedJobError(f"stopped by {error}; what is encoded stays: run the same command again") from None
    found.notes.extend(comparison.notes)
    storage.write_json(storage.join(layout.state, EVALUATION), found.to_dict(), layout.tmp)
    return found


def finished(layout: Layout, job: JobFile) -> Summary:
    """Give the totals of a generated data set. Raises OutputError: it is not finished."""
    summary = finished_summary(layout, job)
    if summary is None:
        raise OutputError(f"{layout.out} is not finished; let `generate` go on with it first")
    return summary


@dataclass(slots=True)
class _Comparison:
    """Opens what is compared, and encodes what is not encoded."""

    spec: EvaluateSpec
    layout: Layout
    """Of the generated data set."""
    job: JobFile
    """Its own."""
    report: Report
    verbose: bool
    notes: list[str] = field(default_factory=list)
    _model: str | None = None

    def open(self, location: str, where: str | None = None) -> Compared:
        """Open a data set or a collection, whichever it is."""
        layout = Layout.of(location)
        job = JobFile.load(layout) if storage.exists(layout.job) else None
        facts: dict[str, Any] = {"location": layout.out, "where": where}
        if job and job.kind == "generate":
            encoded = self._encoded_pictures(layout, job)
            facts |= {name: job.fields[name] for name in ("sampler", "format", "codec", "quality")}
        elif job:
            encoded = layout
        else:
            encoded = self._encoded_collection(location)
        return self._compared(encoded, location, where, facts)

    def _compared(self, encoded: Layout, location: str, where: str | None, facts: dict[str, Any]) -> Compared:
        job, posteriors = JobFile.load(encoded), open_posteriors(encoded.out)
        if posteriors.model != self.job.model["digest"]:
            raise SpecError(
                f"{location} was encoded by the model with the digest {posteriors.model[:16]}…, and "
                f"{self.layout.out} was made by {self.job.model['digest'][:16]}…: two latent spaces do not compare. "
                "Encode it with that model, or give the images themselves"
            )
        if len(posteriors.parts) < posteriors.planned:
            there = f"{len(posteriors.parts):,} of {posteriors.planned:,} parts"
            self.notes.append(f"{there} of {location} are there; only those count.")
        chosen = posteriors if where is None else posteriors.where(where)
        transform = {k.removeprefix("transform."): v for k, v in job.fields.items() if k.startswith("transform.")}
        cut = {"image_size": transform["image_size"], "crop": transform["crop"], "fit": transform.get("fit", "cover")}
        labels = [column.name for column in job.labels if column.type in NUMBERS]
        return Compared(chosen, {**facts, **cut}, labels, None if where is None else posteriors)

    def _encoded_pictures(self, layout: Layout, job: JobFile) -> Layout:
        """Encode the pictures of a generated data set as they are: they are cut already."""
        summary = finished(layout, job)
        work = self._work(f"generated-{job.fingerprint[:12]}")
        before = Summary.load(work)
        more = {
            "image_size": job.fields["image_size"],
            "crop": "center",
            "fit": "cover",
            "decode": "exact",
            "columns": "",
            "extend": before is not None and before.rows + before.rejects < summary.rows,
        }
        return self._encoded(storage.join(layout.out, PICTURES[job.fields["format"]]), work, more)

    def _encoded_collection(self, location: str) -> Layout:
        """Encode a collection as the model's own images were cut, at the size of the generated ones."""
        name = storage.json_sha256([storage.absolute(location), self.job.model["digest"]])[:12]
        size = self.job.fields.get("image_size", self.job.fields.get("transform.image_size"))
        return self._encoded(location, self._work(f"images-{name}"), {"image_size": size})

    def _encoded(self, source: str, work: Layout, more: dict[str, Any]) -> Layout:
        self.report.say(f"Encoding {source} into {work.out}.")
        spec = EncodeSpec(
            source=source,
            model=self.model,
            out=work.out,
            samples=0,
            max_reject_rate=1.0,
            address=self.spec.address,
            trust_model_code=self.spec.trust_model_code,
            **more,
        )
        summary = encode(spec, self.report, self.verbose)
        if summary.rejects:
            self.notes.append(f"{summary.rejects:,} images of {source} could not be encoded, and do not count.")
        return work

    def _work(self, name: str) -> Layout:
        return Layout.of(storage.join(self.spec.work or storage.join(self.layout.state, "evaluate"), name))

    @property
    def model(self) -> str:
        """The model that made the generated data set, found where it is now. Raises SpecError: it is another."""
        if self._model is None:
            self._model = resolve_model(self.spec.model or self.job.spec["model"])
            card = describe_model(self._model, self.job.model["image_size"], self.spec.trust_model_code)
            if card.digest != self.job.model["digest"]:
                raise SpecError(
                    f"the model {self._model} has the digest {card.digest[:16]}…, and {self.layout.out} was made by "
                    f"{self.job.model['digest'][:16]}…: give the model that made it with --model"
                )
        return self._model

    def check_alike(self, generated: Compared, real: Compared, train: Compared | None) -> None:
        """Refuse images of other sizes, and real ones that are cut in two ways. Raises SpecError."""
        for one, names in ((generated, ["image_size"]), (train or real, ["image_size", "crop", "fit"])):
            for name in names:
                if one.facts[name] != real.facts[name]:
                    sides = " and ".join(f"{s.facts['location']} has {name} {s.facts[name]}" for s in (one, real))
                    raise SpecError(f"{sides}: like is to be compared with like. Encode one of them again")
