"""Training, from a collection to a saved model: decode it once, then train in this process, or on workers by Ray."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vae_batch import storage, training
from vae_batch.analysis.figures import check_extra
from vae_batch.cluster.train_report import leave_report
from vae_batch.errors import InterruptedJobError, OutputError
from vae_batch.images.cache import ImageCache
from vae_batch.specs import TrainSpec
from vae_batch.training import Trained, Watch
from vae_batch.training.checkpoint import FOLDER
from vae_batch.training.device import choose_device
from vae_batch.work.cache import open_cache
from vae_batch.work.places import lies_in


def train(spec: TrainSpec, watch: Watch | None = None) -> Trained:
    """Train a VAE on a collection, and save it; see `training.train` for how it goes on where it stopped.

    Args:
        spec: what to train on, for how long, on how many workers.
        watch: follows it.

    Raises:
        SourceError: the collection cannot be read, or no image in it can be used.
        InterruptedJobError, MismatchError, OutputError, SpecError, ModelError: as by `training.train`.
        ClusterError: workers died again and again; the last checkpoint stays.
    """
    watch = watch or Watch()
    spec = spec.model_copy(update={"out": storage.absolute(storage.local(spec.out))})
    if lies_in(spec.out, storage.absolute(storage.local(spec.source))):
        raise OutputError(
            f"--out {spec.out} lies in the source {spec.source}, so that what is written would change the collection: "
            "give a folder outside it"
        )
    if spec.workers == 1:
        choose_device(spec.device)
    if spec.report:
        check_extra("--report")
    trained = training.look(spec, watch)
    if trained is not None and not spec.report:
        return trained
    with _decoded(spec, watch) as images:
        trained = trained or _train(spec, images, watch)
        if spec.report:
            watch.say(f"Report: {leave_report(spec, images)}")
        return trained


def _train(spec: TrainSpec, images: ImageCache, watch: Watch) -> Trained:
    if spec.workers == 1:
        return training.train(spec, images, watch)
    from vae_batch.cluster.workers import train_on_workers  # only they need Ray

    return train_on_workers(spec, images, watch)


@contextmanager
def _decoded(spec: TrainSpec, watch: Watch) -> Iterator[ImageCache]:
    """Give a collection's decoded images; those in OUT stay while it is in training, also over interruptions."""

    def read(images: int) -> None:
        watch.reading(images)
        if cause := watch.stopped_by():
            raise InterruptedJobError(f"{cause}: stopped while reading images; the same command starts again")

    if spec.cache is not None:
        folder = storage.local(spec.cache)
        yield open_cache(spec, folder if storage.is_remote(folder) else Path(folder).absolute(), read, watch.say)
    elif storage.is_remote(spec.out):
        with tempfile.TemporaryDirectory(prefix="vae_batch-images-") as scratch:
            yield open_cache(spec, scratch, read, watch.say)
    else:
        own = Path(spec.out) / FOLDER / "cache"
        try:
            images = open_cache(spec, own, read, watch.say)
        except BaseException:
            _remove_empty(own, own.parent, own.parent.parent)
            raise
        yield images
        shutil.rmtree(own, ignore_errors=True)
        _remove_empty(own.parent)


def _remove_empty(*folders: Path) -> None:
    with suppress(OSError):  # there is something in it
        for folder in folders:
            folder.rmdir()
