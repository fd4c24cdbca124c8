"""The training loop: the loss by gradient descent, in checkpoints."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from vae_batch.errors import InterruptedJobError, ModelError, SpecError
from vae_batch.images.cache import ImageCache
from vae_batch.models.arrays import to_float
from vae_batch.models.families import build_model
from vae_batch.specs import TrainSpec
from vae_batch.training.checkpoint import Checkpoint, Clock, path_of, read_checkpoint, write_checkpoint
from vae_batch.training.compiled import compiled
from vae_batch.training.device import autocast_dtype
from vae_batch.training.draws import batch_of, generator, held_out, normals
from vae_batch.training.gradients import BatchGradients
from vae_batch.training.job import differences, numerics
from vae_batch.training.loss import Elbo, Objective
from vae_batch.training.metrics import Metrics
from vae_batch.training.progress import Meter, Progress, Watch
from vae_batch.training.schedule import cut_short, learning_rate_factor, steps_per_epoch, total_steps, validation_steps
from vae_batch.training.team import Team
from vae_batch.training.threads import Threads
from vae_batch.training.validation import Validation, Validator, overfitting
from vae_batch.training.weights import Weights

CLIP = 1.0
"""Norm to which gradients of the loss in nats per pixel are clipped; several times what is met in training."""
START_IMAGES = 2048
"""Images that the linear start is computed from."""
START_NUMBERS = START_IMAGES * 64 * 64 * 3
"""So many numbers of them are in memory as float32."""
START_CHUNK = 64
"""As many of them are float32 at their full size at a time."""
REPORT_STEPS = 20


class Run:
    """A training in this process, from its start or from its last checkpoint.

    Args:
        spec: of the training.
        images: to train on.
        out: the model's folder, or its URI; has the checkpoints.
        folder: where its files are written, here.
        device: where to compute.
        watch: follows it.
        team: the processes that train together.
    """

    def __init__(
        self,
        spec: TrainSpec,
        images: ImageCache,
        out: str,
        folder: Path,
        device: torch.device,
        watch: Watch,
        team: Team,
    ) -> None:
        self.spec, self.images, self.out, self.device, self.watch, self.team = (
            spec, images.images, out, device, watch, team
        )  # fmt: skip
        held = held_out(images.ids, spec.validation)
        self.held, self.kept = held.nonzero().flatten(), (~held).nonzero().flatten()
        if not len(self.kept):
            raise SpecError(f"validation={spec.validation:g} holds out all {len(held)} images: give a smaller share")
        self.steps, self.per_epoch = total_steps(spec, len(self.kept)), steps_per_epoch(spec, len(self.kept))
        self.batch_size = min(spec.batch_size, len(self.kept))
        self.dtype = autocast_dtype(device, spec.precision)
        self.numerics = numerics(spec, device, self.dtype, team.size)
        self.objective = Objective.of(spec, self.steps, spec.image_size**2 * images.images.shape[3])
        self.model = build_model(spec).to(device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._resume_or_start(folder)

    def go(self) -> tuple[Progress, Validation | None]:
        """Do the steps that are left, and give the last reports."""
        with Threads(self.device, self.batch_size // self.team.size, single=self.spec.compile) as threads:
            self.gradients = BatchGradients(self.weights, self.objective, threads, self.dtype)
            self.validator = Validator(self.images, self.held, self.gradients, self.batch_size, self.spec.seed)
            if self.spec.compile:
                self.gradients.sums = compiled(self.gradients, *self._batch(1), self.watch.say)
            for step in range(self.done + 1, self.steps + 1):
                self._stop_if_told(step)
                self._step(step)
                self._tell(step)
                self._checkpoint_if_due(step)
        self.metrics.close()
        last, found = self.metrics.last("train"), self.metrics.last("validation")
        assert last is not None
        if found is not None:
            del found["step"]
        return Progress(**last), None if found is None else Validation(**found)

    def overfitting(self) -> str | None:
        """Say that held-out images were better modelled before, where the ELBO is what was trained."""
        o = self.objective
        trained = (o.terms, o.beta, o.free_bits, o.capacity) == ("elbo", 1.0, 0.0, None)
        return overfitting(self.metrics.lines("validation")) if trained else None

    def where_kept(self) -> str:
        """Say where the work is when the training fails."""
        if self.saved is None:
            return "there is no checkpoint"
        return f"the checkpoint of step {self.saved:,} is kept in {path_of(self.out)}"

    def _resume_or_start(self, folder: Path) -> None:
        spec, checkpoint = self.spec, read_checkpoint(self.out)
        if checkpoint is None:
            self._start()
        self.weights = Weights(self.model, spec.weight_decay, spec.ema, self.team)
        self.done, text, meter = 0, b"", None
        if checkpoint is not None:
            self.done, text = checkpoint.facts["step"], checkpoint.tensors["metrics"].numpy().tobytes()
            self.weights.load(checkpoint.tensors, self.done)
            meter = checkpoint.facts["meter"]
            self.watch.say(f"Going on from the checkpoint of step {self.done:,} of {self.steps:,}.")
            if changed := differences(checkpoint.facts["numerics"], self.numerics):
                self.watch.say(f"Note: not with the same numerics, so not to the same bits: {'; '.join(changed)}.")
        self.saved, self.clock = self.done if checkpoint else None, Clock(spec.checkpoint_seconds)
        self.meter = Meter(self.objective, len(self.kept), meter)
        self.metrics = Metrics(spec, None if self.team.rank else folder, text, self.done, self.watch.say)

    def _start(self) -> None:
        """Begin at the best linear VAE of some of the images, which both terms make; all of a team as its first."""
        for line in cut_short(self.spec, self.steps):
            self.watch.say(line)
        if self.spec.terms == "elbo":
            self.model.start_from(self._some_images())
        if self.team.size > 1:
            for tensor in self.model.state_dict().values():
                self.team.reduce(tensor if self.team.rank == 0 else tensor.zero_())

    def _some_images(self) -> torch.Tensor:
        """Give what the model wants to see of up to `START_IMAGES` images, or of fewer large ones."""
        some = self.kept[torch.randperm(len(self.kept), generator=generator(self.spec.seed, "start"))]
        numbers = self._reduced(some[:1]).numel()
        chosen = some[: max(1, min(START_IMAGES, START_NUMBERS // numbers))].sort().values
        return torch.cat([self._reduced(chunk) for chunk in torch.split(chosen, START_CHUNK)])

    def _reduced(self, index: torch.Tensor) -> torch.Tensor:
        return self.model.reduced(to_float(self.images[index].to(self.device)))

    def _batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give this process's images of a step, float32 in [0, 1], and the standard normals of their samples."""
        index = self.team.share(self.kept[batch_of(self.spec.seed, step, len(self.kept), self.batch_size)])
        eps = self.team.share(normals(self.spec.seed, step, (self.batch_size, *self.model.card.latent_shape)))
        return to_float(self.images[index].to(self.device)), eps.to(self.device)

    def _step(self, step: int) -> None:
        x, eps = self._batch(step)
        elbo = self.gradients(x, eps, self.batch_size, step)
        norm = self.weights.clip(CLIP)
        self._check(elbo, norm, step)
        self.weights.step(step, self.spec.learning_rate * learning_rate_factor(step - 1, self.steps))
        names = ("distortion", "rate", "mse", "loss")
        values = torch.stack([getattr(elbo, name).detach() for name in names]).tolist()
        self.meter.add(self.batch_size, **dict(zip(names, values, strict=True)), gradient_norm=norm)

    def _tell(self, step: int) -> None:
        last = step == self.steps
        if step % REPORT_STEPS == 0 or last:
            progress = self.meter.report()
            self.metrics.add({"split": "train", **asdict(progress)})
            self.watch.progress(progress, self.steps)
        if len(self.held) and (step % validation_steps(self.per_epoch) == 0 or last):
            with self.weights.final():
                found = self.validator()
            self.metrics.add({"split": "validation", "step": step, **asdict(found)})
            self.watch.validated(step, found)

    def _check(self, elbo: Elbo, norm: float, step: int) -> None:
        """Stop before numbers that are not finite reach the weights."""
        values = {name: getattr(elbo, name).item() for name in ("distortion", "rate")} | {"gradient norm": norm}
        spoiled = [f"{name}={value}" for name, value in values.items() if not abs(value) < float("inf")]
        if not spoiled:
            return
        raise ModelError(
            f"training stopped at step {step} of {self.steps}: {', '.join(spoiled)} is not finite; "
            f"{self.where_kept()}. Into another folder, try a lower --learning-rate than {self.spec.learning_rate:g}"
            + (", or --precision fp32" if self.dtype is not None else "")
        )

    def _stop_if_told(self, step: int) -> None:
        if not (cause := self.watch.stopped_by()):
            return
        self._checkpoint(step - 1)
        raise InterruptedJobError(
            f"{cause}: stopped after step {step - 1} of {self.steps}; the same command goes on from step "
            f"{(self.saved or 0) + 1}"
        )

    def _checkpoint_if_due(self, step: int) -> None:
        if step == self.steps or self.clock.due(step % self.per_epoch == 0):
            self._checkpoint(step)

    def _checkpoint(self, step: int) -> None:
        """Write one; a full disk is no reason to stop."""
        if self.team.rank or step in (0, self.saved):
            return
        started = time.monotonic()
        tensors = self.weights.tensors()
        tensors["metrics"] = torch.from_numpy(np.frombuffer(bytes(self.metrics.text), np.uint8).copy())
        facts = {"step": step, "meter": self.meter.state(), "numerics": self.numerics}
        try:
            write_checkpoint(self.out, Checkpoint(tensors, facts))
            self.saved = step
        except OSError as error:
            self.watch.say(f"The checkpoint of step {step} could not be written: {error}. Training goes on.")
        self.clock.written(started)
