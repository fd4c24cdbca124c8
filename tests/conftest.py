"""What the tests share: one Ray for the whole session, drawn faces, a small model, user modules."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

import vae_batch
from tests import s3
from tests.s3 import CREDENTIALS, S3

FACES, SHARD = 240, 40

settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

PLUG = Path(__file__).parent / "plug"
"""Folder of the `sitecustomize` with decoders that crash or hang."""


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A private cluster with two CPUs, whose decoders crash when an image says so; `encode` leaves it open."""
    import ray

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUG), os.environ.get("PYTHONPATH")]))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.update(CREDENTIALS)  # replicas have the environment of their cluster
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 drawn faces in six tars, with their attributes as sidecars."""
    from vae_batch.faces import write_faces

    folder = tmp_path_factory.mktemp("faces") / "tars"
    write_faces(str(folder), FACES, shard_size=SHARD, size=(89, 109))
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small conv VAE with random weights: 32 pixels to 8 dimensions."""
    import torch

    from vae_batch.images import Transform
    from vae_batch.models.conv import ConvConfig, ConvVAE
    from vae_batch.models.save import save_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    network = ConvVAE(ConvConfig(image_size=32, latent_dim=8, width=8))
    save_model(network, folder, transform=Transform(32).to_dict())
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """A server of S3's API; what tests put there stays."""
    with s3.serve() as server:
        yield server


@pytest.fixture(name="s3")
def healthy_s3(s3_server: S3) -> Iterator[S3]:
    """The same, for a test that may let it fail."""
    s3_server.heal()
    yield s3_server
    s3_server.heal()


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[Any]:
    """A server of Google Cloud Storage's API; what tests put there stays."""
    pytest.importorskip("gcp_storage_emulator", reason="comes with the extra `dev`")
    from tests import gcs

    with gcs.serve() as server:
        yield server


@pytest.fixture(name="gcs")
def healthy_gcs(gcs_server: Any) -> Iterator[Any]:
    """The same, for a test that may let it fail."""
    gcs_server.heal()
    yield gcs_server
    gcs_server.heal()


@pytest.fixture(scope="session")
def encoded(ray_session: None, faces: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces encoded in units of 25; not to be changed."""
    out = tmp_path_factory.mktemp("encoded") / "out"
    vae_batch.encode(spec(faces, model, out))
    return out


def spec(source: Path, model: Path | str, out: Path | str, **more: Any) -> vae_batch.EncodeSpec:
    """A spec with small units and batches."""
    values: dict[str, Any] = {"unit_size": 25, "batch_size": 16, "replicas": 2, **more}
    return vae_batch.EncodeSpec(source=str(source), model=str(model), out=str(out), **values)


def snapshot(out: Path) -> dict[str, bytes]:
    """The bytes of every part and every rejects file."""
    files = [*(out / "data").iterdir(), *(out / ".vae_batch" / "rejects").iterdir()]
    return {str(f.relative_to(out)): f.read_bytes() for f in files}


def picture(seed: int = 0, size: tuple[int, int] = (40, 50), mode: str = "RGB") -> Image.Image:
    """A smooth random picture."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


def image_bytes(seed: int = 0, format: str = "JPEG", **options: Any) -> bytes:
    """An encoded picture."""
    sink = io.BytesIO()
    picture(seed, **options).save(sink, format)
    return sink.getvalue()


@pytest.fixture
def module_in_cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Write a module of the user's into a fresh working directory; it is forgotten afterwards."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        (folder / f"{name}.py").write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if (sys.modules[name].__dict__.get("__file__") or "").startswith(str(folder)):
            del sys.modules[name]
