"""`train`: from a spec to a model's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from vae_batch import storage
from vae_batch.errors import OutputError, SpecError
from vae_batch.images.cache import REJECTS, ImageCache
from vae_batch.models.families import network_config
from vae_batch.models.save import save_model
from vae_batch.specs import TrainSpec
from vae_batch.training.card import provenance, write_card
from vae_batch.training.checkpoint import remove_checkpoint
from vae_batch.training.device import choose_device, reproducible
from vae_batch.training.job import begin, check_out, identity
from vae_batch.training.loop import Run
from vae_batch.training.metrics import check_loggers
from vae_batch.training.output import model_folder
from vae_batch.training.progress import Progress, Trained, Watch
from vae_batch.training.team import Team
from vae_batch.training.validation import Validation, collapse


def look(spec: TrainSpec, watch: Watch) -> Trained | None:
    """Refuse what cannot work before an image is read; give what there is of a training that is finished.

    Raises:
        MismatchError, ModelError, OutputError, SpecError: as by `train`.
    """
    out = storage.local(spec.out)
    check_loggers(spec.logger)
    network_config(spec)  # a shape that it cannot have
    done = check_out(out, spec)
    if done is not None:
        watch.say(f"{out} is finished: the {done['steps']:,} steps of this training are done. Nothing to do.")
        return _trained(out, done)
    for line in remarks(spec):
        watch.say(line)
    return None


def train(spec: TrainSpec, images: ImageCache, watch: Watch, team: Team | None = None) -> Trained:
    """Train a VAE on decoded images, and save it.

    Killed at any moment, the same call goes on from the last checkpoint. On one machine, with the same number of
    workers, it ends in the same bits as the undisturbed training, and so does the same spec into another folder.

    Args:
        spec: how to train, for how long; `out` gets config.json, model.safetensors, metrics.jsonl, and rejects.jsonl
            where images were rejected.
        images: what to train on.
        watch: follows it.
        team: the processes that train together; None: this one alone.

    Raises:
        InterruptedJobError: `watch` stopped it; there is a checkpoint.
        MismatchError: `out` belongs to a training with other settings or images.
        OutputError: `out` holds another model, or cannot be written.
        SpecError: the device is not there, or no image is left to train on.
        ModelError: the image size does not suit the network, or the loss is no longer finite.
    """
    out, team = storage.local(spec.out), team or Team()
    if spec.workers != team.size:
        raise SpecError(f"workers={spec.workers}, but this training has {team.size}: `vae-batch train` starts them all")
    device = choose_device(spec.device)
    begin(out, spec, images.ids)
    with model_folder(out) as folder, reproducible(spec.seed, device):
        run = Run(spec, images, out, folder, device, watch, team)
        progress, found = run.go()
        facts = _facts(spec, images, run, progress, found) | provenance(images, device)
        if run.team.rank == 0:
            with run.weights.final(), _kept(run):
                write_card(folder, spec, run.model.card, facts)
                save_model(run.model, folder, images.transform, {"training": facts})
                if images.rejected:
                    shutil.copyfile(images.folder / REJECTS, folder / REJECTS)
    if run.team.rank == 0:
        remove_checkpoint(out)
    for warning in (collapse(progress.rate, found, spec.terms), run.overfitting()):
        if warning:
            watch.say(warning)
    return _trained(out, facts, images)


def remarks(spec: TrainSpec) -> Iterator[str]:
    """Say what in a spec may not mean what it seems to."""
    if spec.beta not in (0, 1) and spec.likelihood == "gaussian" and spec.sigma is None and spec.terms == "elbo":
        yield (
            f"Note: beta={spec.beta:g} with the optimal sigma is not the beta of the β-VAE papers: sigma follows the "
            "error, and so the weight of the rate against it changes all the time. Give a fixed sigma, or the "
            "bernoulli likelihood, for theirs."
        )


@contextmanager
def _kept(run: Run) -> Iterator[None]:
    """Say where the work is when the model cannot be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"the model could not be written to {run.out}: {error}; {run.where_kept()}: once there is room, the "
            f"same command {'trains anew' if run.saved is None else 'goes on from it'}"
        ) from None


def _facts(spec: TrainSpec, images: ImageCache, run: Run, last: Progress, found: Validation | None) -> dict[str, Any]:
    """Say in the model's config how it was made."""
    return {
        "source": spec.source,
        "images": images.count,
        "held_out": len(run.held),
        "rejected": images.rejected,
        "ids_sha256": storage.json_sha256(list(images.ids)),
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


def _trained(out: str, facts: Mapping[str, Any], images: ImageCache | None = None) -> Trained:
    found = facts["validation"]
    return Trained(
        out=out if storage.is_remote(out) else Path(out),
        images=facts["images"],
        held_out=facts["held_out"],
        rejected=facts["rejected"],
        examples=images.examples if images else (),
        parameters=facts["parameters"],
        device=facts["device"],
        last=Progress(**facts["last"]),
        validation=None if found is None else Validation(**found),
    )


def _values(record: Progress | Validation) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}
