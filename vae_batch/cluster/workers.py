"""Training on several workers, by Ray Train: each takes its slice of every batch; their gradients are added up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.config import LoggingConfig

from vae_batch import storage, training
from vae_batch.cluster.connect import Cluster, connect
from vae_batch.cluster.desk import Desk, Told, pass_on
from vae_batch.cluster.replica import Resources
from vae_batch.cluster.resources import choose
from vae_batch.cluster.team import Workers
from vae_batch.errors import ClusterError, InterruptedJobError, NoResourcesError, OutputError, SpecError, VaeBatchError
from vae_batch.images.cache import ImageCache
from vae_batch.specs import TrainSpec
from vae_batch.training import Trained, Watch
from vae_batch.training.checkpoint import FOLDER, JOB
from vae_batch.training.job import begin

MAX_FAILURES = 20
"""So often workers may die; each time all begin again from the last checkpoint."""

TICK_SECONDS = 0.3


def train_on_workers(spec: TrainSpec, images: ImageCache, watch: Watch) -> Trained:
    """Train on `spec.workers` processes of a Ray cluster: a GPU each where there are GPUs, else a core each.

    Args:
        spec: `out` is absolute, and like the images' folder the same for all of them.
        images: what to train on.
        watch: follows it, from here.

    Raises:
        NoResourcesError: the cluster has no place for them.
        ClusterError: they died too often; running again goes on from the last checkpoint.
        VaeBatchError: whatever one of them raised.
    """
    if spec.workers > spec.batch_size:
        raise SpecError(f"workers={spec.workers} for batches of {spec.batch_size} images: give no more than these")
    spec = spec.model_copy(update={"source": storage.absolute(storage.local(spec.source))})
    begin(spec.out, spec, images.ids)
    with connect(spec.address) as cluster, _run_folder(spec.out) as place:
        watch.say(cluster.line())
        resources = _resources(cluster, spec)
        desk = ray.remote(Desk).options(num_cpus=0).remote()
        fit = _Fit(_trainer(spec, images, resources, desk, place))
        fit.start()
        while fit.is_alive():
            pass_on(desk, watch)
            fit.join(TICK_SECONDS)
        pass_on(desk, watch)
        if error := ray.get(desk.failure.remote()):
            raise error
        return fit.result()


@contextmanager
def _run_folder(out: str) -> Iterator[dict[str, Any]]:
    """Have a folder in OUT for Ray Train, which looks from every node whether that is shared; nothing else is in it."""
    folder = storage.join(out, f"{FOLDER}/ray")
    place: dict[str, Any] = {"storage_path": folder}
    if storage.is_remote(out):
        system, path = storage.filesystem(folder)
        place = {"storage_path": path, "storage_filesystem": system}
    try:
        yield place
    finally:
        storage.remove_folder(folder)
        with suppress(OSError):  # there is a checkpoint beside it
            Path(folder).parent.rmdir()


class _Fit(threading.Thread):
    """Runs a trainer; in a thread of its own, where Ray Train leaves the signals alone."""

    def __init__(self, trainer: TorchTrainer) -> None:
        super().__init__(daemon=True)
        self._trainer = trainer
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run it to its end."""
        try:
            self._result = self._trainer.fit()
        except BaseException as error:
            self._error = error

    def result(self) -> Trained:
        """Give what the first worker gave. Raises ClusterError."""
        if self._result is None:
            raise ClusterError(
                f"training on workers failed: {self._error}\nRun the same command to go on from the last checkpoint"
            ) from self._error
        trained: Trained = self._result.return_value
        return trained


def _resources(cluster: Cluster, spec: TrainSpec) -> Resources:
    gpus = 0.0 if spec.device == "cpu" or not cluster.total("GPU") else 1.0
    if spec.device == "cuda" and not gpus:
        raise NoResourcesError("device=cuda, but the cluster has no GPU: give --device cpu, or another --address")
    places, resources = choose(cluster, "auto", gpus, None)
    if cluster.private and places < spec.workers:
        raise NoResourcesError(
            f"workers={spec.workers}, but this machine has place for {places}, a {'GPU' if gpus else 'core'} each: "
            "give fewer --workers, or the --address of a larger cluster"
        )
    return resources


def _trainer(
    spec: TrainSpec, images: ImageCache, resources: Resources, desk: Any, place: dict[str, Any]
) -> TorchTrainer:
    gpu = bool(resources.gpus)
    told = {
        "spec": spec.model_copy(update={"device": "cuda" if gpu else "cpu"}),
        "images": str(images.folder),
        "threads": resources.cpus,
        "desk": desk,
    }
    return TorchTrainer(
        work,
        train_loop_config=told,
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=spec.workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": resources.cpus, **({"GPU": 1} if gpu else {})},
        ),
        run_config=RunConfig(
            name="train",
            **place,
            failure_config=FailureConfig(max_failures=MAX_FAILURES, controller_failure_limit=MAX_FAILURES),
            callbacks=[_GiveUp(desk)],
            logging_config=LoggingConfig("ERROR"),
        ),
    )


class _GiveUp(UserCallback):  # type: ignore[misc]
    """Ends the run where a worker raised an error of ours: another attempt would end there too."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Look at what the workers died of."""
        causes = [getattr(error, "_base_exc", error) for error in worker_exceptions.values()]
        for cause in causes:
            if isinstance(cause, VaeBatchError):
                raise cause
        what = f"{type(causes[0]).__name__}"
        self._desk.tell.remote("say", f"A worker died ({what}); all begin again from the last checkpoint.")


def work(told: dict[str, Any]) -> Trained | None:
    """Train, as one of the workers; the first one gives the result."""
    spec, desk = told["spec"], told["desk"]
    context = ray.train.get_context()
    rank = context.get_world_rank()
    torch.set_num_threads(told["threads"])
    try:
        watch = Told(desk, rank, spec.device)
        done = training.look(spec, Watch())
        if done is None:
            images = _shared(spec, told["images"])
            size = context.get_world_size()
            team = Workers(rank, size, one_node=context.get_local_world_size() == size)
            done = training.train(spec, images, watch, team)
    except VaeBatchError as error:
        ray.get(desk.fail.remote(error, rank))
        if isinstance(error, InterruptedJobError):
            torch.distributed.barrier()  # the first one has written its checkpoint
        raise
    return done if rank == 0 else None


def _shared(spec: TrainSpec, folder: str) -> ImageCache:
    """Open the decoded images on this node, which must see them, and OUT too. Raises OutputError."""
    what = "--out" if spec.cache is None else "--cache"
    try:
        images = ImageCache.open(folder)
        what = "--out"
        storage.read_bytes(storage.join(spec.out, f"{FOLDER}/{JOB}"))
    except FileNotFoundError as error:
        raise OutputError(
            f"on {socket.gethostname()}, {error.filename} is not there: with workers on several nodes, {what} must be "
            "a folder that all of them share"
        ) from None
    return images
