"""`train`: from a spec to a model's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from vae_batch import storage
from vae_batch.errors import InterruptedJobError, OutputError
from vae_batch.images import Transform
from vae_batch.models.save import save_model
from vae_batch.specs import TrainSpec
from vae_batch.training.card import provenance, write_card
from vae_batch.training.checkpoint import path_of, remove_checkpoint
from vae_batch.training.data import Pixels, load_pixels
from vae_batch.training.device import choose_device, reproducible
from vae_batch.training.gradients import Team
from vae_batch.training.job import begin, check_out, identity
from vae_batch.training.loop import Run
from vae_batch.training.metrics import check_loggers
from vae_batch.training.output import model_folder
from vae_batch.training.progress import Progress, Trained, Watch
from vae_batch.training.validation import Validation, collapse


def train(spec: TrainSpec, watch: Watch | None = None, team: Team | None = None) -> Trained:
    """Train a VAE on a collection, and save it.

    Killed at any moment, the same call goes on from the last checkpoint. On one machine, with the same number of
    workers, it ends in the same bits as the undisturbed training, and so does the same spec into another folder.

    Args:
        spec: what to train on, for how long; `out` gets config.json, model.safetensors and metrics.jsonl.
        watch: follows it.
        team: the processes that train together; None: this one alone.

    Raises:
        InterruptedJobError: `watch` stopped it; there is a checkpoint.
        MismatchError: `out` belongs to a training with other settings or images.
        OutputError: `out` holds another model, or cannot be written.
        SourceError: no image can be read.
        SpecError: the device or a logger's package is not there, or no image is left to train on.
        ModelError: the image size does not suit the network, or the loss is no longer finite.
    """
    out, watch = storage.local(spec.out), watch or Watch()
    check_loggers(spec.logger)
    device = choose_device(spec.device)
    done = check_out(out, spec)
    if done is not None:
        watch.say(f"{out} is finished: the {done['steps']:,} steps of this training are done. Nothing to do.")
        return _trained(out, done)
    for line in remarks(spec):
        watch.say(line)
    made = provenance(spec, device)
    transform = Transform(spec.image_size, spec.crop or "center", spec.fit or "cover", spec.decode or "exact")
    pixels = load_pixels(spec, transform, lambda images: _reading(watch, images))
    begin(out, spec, pixels.ids)
    with model_folder(out) as folder, reproducible(spec.seed, device):
        run = Run(spec, pixels, out, folder, device, watch, team or Team())
        progress, found = run.go()
        facts = _facts(spec, pixels, run, progress, found) | made
        if run.team.rank == 0:
            with run.final_weights(), _kept(out):
                write_card(folder, spec, run.model.card, facts)
                save_model(run.model, folder, transform.to_dict(), {"training": facts})
    if run.team.rank == 0:
        remove_checkpoint(out)
    if warning := collapse(progress.rate, found, spec.terms):
        watch.say(warning)
    return _trained(out, facts, pixels)


def remarks(spec: TrainSpec) -> Iterator[str]:
    """Say what in a spec may not mean what it seems to."""
    if spec.beta != 1 and spec.likelihood == "gaussian" and spec.sigma is None and spec.terms == "elbo":
        yield (
            f"Note: beta={spec.beta:g} with the optimal sigma is not the beta of the β-VAE papers: sigma follows the "
            "error, and so the weight of the rate against it changes all the time. Give a fixed sigma, or the "
            "bernoulli likelihood, for theirs."
        )


def _reading(watch: Watch, images: int) -> None:
    watch.reading(images)
    if cause := watch.stopped_by():
        raise InterruptedJobError(f"{cause}: stopped while reading images; the same command starts again")


@contextmanager
def _kept(out: str) -> Iterator[None]:
    """Say where the work is when the model cannot be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"the model could not be written to {out}: {error}. The last checkpoint is kept in {path_of(out)}: once "
            "there is room, the same command goes on from it"
        ) from None


def _facts(spec: TrainSpec, pixels: Pixels, run: Run, last: Progress, found: Validation | None) -> dict[str, Any]:
    """Say in the model's config how it was made."""
    return {
        "source": spec.source,
        "images": len(pixels.ids),
        "held_out": len(run.held),
        "rejected": pixels.rejected,
        "ids_sha256": storage.json_sha256(list(pixels.ids)),
        "steps": last.step,
        "batch_size": run.batch_size,
        "learning_rate": spec.learning_rate,
        "seed": spec.seed,
        "parameters": run.model.card.parameters,
        **run.numerics,
        "distortion": last.distortion,
        "rate": last.rate,
        "last": _values(last),
        "validation": None if found is None else _values(found),
        "spec": identity(spec),
    }


def _trained(out: str, facts: Mapping[str, Any], pixels: Pixels | None = None) -> Trained:
    found = facts["validation"]
    return Trained(
        out=out if storage.is_remote(out) else Path(out),
        images=facts["images"],
        held_out=facts["held_out"],
        rejected=facts["rejected"],
        examples=tuple(pixels.examples) if pixels else (),
        parameters=facts["parameters"],
        device=facts["device"],
        last=Progress(**facts["last"]),
        validation=None if found is None else Validation(**found),
    )


def _values(record: Progress | Validation) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}
