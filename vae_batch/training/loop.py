"""The training loop: one process, the collection in memory, the ELBO by gradient ascent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.images import Transform
from vae_batch.models.families import build_model, network_config
from vae_batch.models.network import TrainableVAE
from vae_batch.models.save import save_model
from vae_batch.specs import TrainSpec
from vae_batch.training.data import Pixels, load_pixels
from vae_batch.training.device import autocast_dtype, choose_device
from vae_batch.training.elbo import Elbo
from vae_batch.training.output import METRICS, check_free, model_folder
from vae_batch.training.parts import BatchGradients
from vae_batch.training.progress import Meter, Progress, Trained

DEFAULT_EPOCHS = 20
WARM_UP = 0.1
"""Share of the steps over which the learning rate rises: the convolutions start at nothing, and Adam would throw them
about."""
CLIP = 1.0
"""Norm to which gradients of the loss in nats per pixel are clipped; several times what is met in training."""
START_IMAGES = 2048
"""Images that the linear start is computed from."""
REPORT_STEPS = 20


def train(
    spec: TrainSpec,
    on_progress: Callable[[Progress, int], None] | None = None,
    on_read: Callable[[int], None] | None = None,
) -> Trained:
    """Train the built-in VAE on a collection, and save it.

    The same spec on the same machine gives the same weights.

    Args:
        spec: what to train on, for how long; `out` gets config.json, model.safetensors and metrics.jsonl.
        on_progress: called now and then with the state and the number of steps in all.
        on_read: called with the number of images read so far, before training.

    Raises:
        OutputError: `out` holds a model already.
        SourceError: no image can be read.
        SpecError: the device is not there.
        ModelError: the image size does not suit the network, or the loss is no longer finite.
    """
    out = storage.local(spec.out)
    check_free(out)
    device = choose_device(spec.device)
    network_config(spec)  # refused before anything is read
    transform = Transform(spec.image_size, spec.crop or "center", spec.fit or "cover", spec.decode or "exact")
    pixels = load_pixels(spec, transform, on_read)
    with model_folder(out) as folder:
        with _reproducible(spec.seed, device):
            model = build_model(spec).to(device)
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            last = _Run(spec, model, pixels.images.to(device), folder).go(on_progress)
        save_model(model, folder, transform.to_dict(), _facts(spec, pixels, last, device))
    parameters = model.card.parameters
    where = out if storage.is_remote(out) else Path(out)
    return Trained(where, len(pixels.images), pixels.rejected, tuple(pixels.examples), parameters, str(device), last)


def total_steps(spec: TrainSpec, images: int) -> int:
    """Give the number of steps of a training on so many images."""
    if spec.steps is not None:
        return spec.steps
    return (spec.epochs or DEFAULT_EPOCHS) * steps_per_epoch(spec, images)


def steps_per_epoch(spec: TrainSpec, images: int) -> int:
    """Give the whole batches in a pass; a collection smaller than a batch is one batch."""
    return max(1, images // spec.batch_size)


class _Run:
    def __init__(self, spec: TrainSpec, model: TrainableVAE, images_NHWC: Tensor, out: Path) -> None:
        self.spec, self.model, self.images = spec, model, images_NHWC
        self.steps = total_steps(spec, len(images_NHWC))
        self.dtype = autocast_dtype(images_NHWC.device)
        self.batch_size = min(spec.batch_size, len(images_NHWC))
        self.meter = Meter(out / METRICS, len(images_NHWC))
        self.order = torch.Generator().manual_seed(spec.seed)

    def go(self, on_progress: Callable[[Progress, int], None] | None) -> Progress:
        self._start()
        with BatchGradients(self.model, self.batch_size, self.dtype) as gradients:
            return self._train(gradients, on_progress)

    def _train(self, gradients: BatchGradients, on_progress: Callable[[Progress, int], None] | None) -> Progress:
        parameters = list(self.model.parameters())
        optimizer = torch.optim.AdamW(
            parameters, lr=self.spec.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, self.steps))
        progress = None
        for step, index in zip(range(1, self.steps + 1), self._batches(), strict=False):
            x = to_float(self.images[index])
            elbo = gradients(x, torch.randn(len(x), *self.model.card.latent_shape, device=x.device))
            self._check(elbo, step)
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            schedule.step()
            self.meter.add(elbo.distortion.item(), elbo.rate.item(), elbo.mse.item(), len(x))
            if step % REPORT_STEPS == 0 or step == self.steps:
                progress = self.meter.report()
                if on_progress:
                    on_progress(progress, self.steps)
        assert progress is not None
        return progress

    def _start(self) -> None:
        """Begin at the best linear VAE of some of the images, where the network has such a start."""
        some = torch.randperm(len(self.images), generator=self.order)[:START_IMAGES].sort().values
        self.model.start_from(to_float(self.images[some]))

    def _batches(self) -> Iterator[Tensor]:
        """Give indices of batches without end; every pass has a new order and leaves out an odd rest."""
        while True:
            order = torch.randperm(len(self.images), generator=self.order)
            whole = order[: len(order) // self.batch_size * self.batch_size]
            yield from whole.view(-1, self.batch_size)

    def _check(self, elbo: Elbo, step: int) -> None:
        names = ("distortion", "rate")
        spoiled = [f"{name}={getattr(elbo, name).item()}" for name in names if not getattr(elbo, name).isfinite()]
        if spoiled:
            raise ModelError(
                f"training stopped at step {step} of {self.steps}: {', '.join(spoiled)} is not finite; nothing was "
                f"saved. Try a lower --learning-rate than {self.spec.learning_rate:g}"
            )


def to_float(images_NHWC: Tensor) -> Tensor:
    """Turn uint8 (N, H, W, C) into float32 (N, C, H, W) in [0, 1]; channels lie last in memory."""
    return images_NHWC.permute(0, 3, 1, 2).float() / 255.0


def learning_rate_factor(step: int, steps: int) -> float:
    """Rise linearly over the first steps, then fall along half a cosine to zero (Loshchilov and Hutter 2017)."""
    warm = max(1.0, WARM_UP * steps)
    return min(1.0, (step + 1) / warm) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


@contextmanager
def _reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from the seed inside, with deterministic convolutions; leave the process as it was."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


def _facts(spec: TrainSpec, pixels: Pixels, last: Progress, device: torch.device) -> dict[str, Any]:
    """Say in the model's config how it was made."""
    return {
        "training": {
            "source": spec.source,
            "images": len(pixels.images),
            "rejected": pixels.rejected,
            "steps": last.step,
            "batch_size": spec.batch_size,
            "learning_rate": spec.learning_rate,
            "seed": spec.seed,
            "device": str(device),
            "torch": torch.__version__,
            "distortion": last.distortion,
            "rate": last.rate,
        }
    }
