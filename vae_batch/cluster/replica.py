"""The actor: one copy of the model in one process, one unit at a time."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from vae_batch.errors import NoResourcesError, OutputError
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.types import Receipt, Unit

if TYPE_CHECKING:
    from vae_batch.latents.quarantine import Poison
    from vae_batch.work.maker import Job, UnitMaker


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica reserves."""

    cpus: int
    gpus: float


@dataclass(frozen=True, slots=True)
class ReplicaInfo:
    """Where a replica is and what moves its values by rounding."""

    host: str
    pid: int
    device: str
    batch_size: int
    """Images at once."""
    numerics: str


class Replica:
    """Methods that the pool calls; torch is first imported in `setup`.

    Two units may be in hand: one is published while the next is made. `place` and `progress` answer at any moment.
    """

    def __init__(self, job: Job, resources: Resources, sources: Mapping[str, str]) -> None:
        self._job, self._resources, self._sources = job, resources, sources
        self._maker: UnitMaker | None = None
        self._sees_out = False

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    def place(self) -> str:
        """Answer as soon as the process is there."""
        return socket.gethostname()

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    def progress(self) -> tuple[int, int, int, float]:
        """Give the unit in hand (-1: none), its images done, its rejects, and since how many seconds one is decoded."""
        return (*self._maker.progress, self._maker.watch.seconds()) if self._maker else (-1, 0, 0, 0.0)

    def setup(self, most: int | None = None) -> ReplicaInfo:
        """Load the model.

        Args:
            most: images at once, at most; None: as many as the job says.

        Raises:
            NoResourcesError: a GPU was promised and none is visible.
            ModelError: the model cannot be loaded here.
            DeviceMemoryError: there is no room for it.
        """
        from vae_batch.models import install_sources

        _keep_memory()
        if self._sources:
            install_sources(self._sources)
        device = self._device()
        self._maker = self._job.maker(device, self._resources.cpus)
        loaded = self._maker.loaded
        loaded.batch_size = loaded.at_most(most)
        return ReplicaInfo(socket.gethostname(), os.getpid(), device, loaded.batch_size, loaded.numerics)

    def _device(self) -> str:
        if not self._resources.gpus:
            return "cpu"
        import torch

        if not torch.cuda.is_available():
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
            raise NoResourcesError(
                f"a replica on {socket.gethostname()} was given GPU {ray.get_gpu_ids()} by Ray, but torch "
                f"{torch.__version__} sees no CUDA device there (CUDA_VISIBLE_DEVICES={visible}): install a CUDA "
                "build of torch on that node, look at its driver, or give --gpus-per-replica 0"
            )
        return "cuda"

    def process(self, unit: Unit, most: int | None = None) -> Receipt:
        """Make a unit's part and publish it.

        Args:
            unit: the unit.
            most: as for `setup`.

        Raises:
            OutputError: OUT is not the same here as where the job was begun.
            DeviceMemoryError: so many images at once are too many.
        """
        if not self._sees_out:
            check_out(self._job)
            self._sees_out = True
        maker = self._ready()
        return maker.make(unit, batch_size=maker.loaded.at_most(most))

    def quarantine(self, unit: Unit, hang_seconds: float) -> list[Poison]:
        """Find the images that kill or hang the process that decodes them; see `work.quarantine.examine`."""
        from vae_batch.work.job import EncodeJob
        from vae_batch.work.quarantine import examine

        assert isinstance(self._job, EncodeJob)
        return examine(self._job, unit, hang_seconds)

    def probe(self, unit: Unit, images: int, most: int | None = None) -> tuple[int, float]:
        """Time the first images of a unit; see `UnitEncoder.probe`."""
        from vae_batch.work.encode import UnitEncoder

        encoder = self._ready()
        assert isinstance(encoder, UnitEncoder)
        return encoder.probe(unit, images, encoder.loaded.at_most(most))

    def check(self, unit: Unit, most: int | None = None) -> list[str]:
        """Make a unit again beside OUT and compare; give the findings."""
        from vae_batch.work.recompute import recompute

        return recompute(self._ready(), unit, most)

    def _ready(self) -> UnitMaker:
        if self._maker is None:
            raise RuntimeError("setup() was not called")
        return self._maker


def check_out(job: Job) -> None:
    """Refuse to write where nobody will look: on a node whose OUT is a folder of its own. Raises OutputError."""
    try:
        found = JobFile.load(Layout(job.out)).fingerprint
    except OutputError as error:
        found = str(error)
    if found != job.fingerprint:
        raise OutputError(
            f"on {socket.gethostname()}, {job.out} is not the OUT of this job ({found}): --out must be storage that "
            "all nodes share, a mounted folder or a URI"
        )


def spawn(job: Job, resources: Resources, sources: Mapping[str, str]) -> Any:
    """Start a replica; Ray restarts and retries nothing, the pool does."""
    actor = ray.remote(concurrency_groups={"control": 1})(Replica)
    return actor.options(
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=2,
    ).remote(job, resources, dict(sources))


def _keep_memory() -> None:
    """Let glibc keep what is freed: batches come and go, and fetching their pages anew costs a tenth of the time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(-1, 256 << 20)  # M_TRIM_THRESHOLD
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
