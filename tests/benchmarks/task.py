"""What every way is given, and the images and the model that it works on."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vae_batch.models import VAE

IMAGE_SIZE, LATENT_DIM, QUALITY = 64, 64, 92


@dataclass(frozen=True, slots=True)
class Task:
    """Encode the same images with the same model: mean and variance of each to Parquet files."""

    tars: str
    """Folder of tars of JPEGs, 178×218, without sidecars."""
    files: str
    """Folder of the same JPEGs as files."""
    images: int
    model: str
    out: str
    """Folder to write to; new for every run."""
    precision: Literal["fp32", "bf16"]
    batch_size: int
    cores: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def run_way(encode: Callable[[Task], dict[str, float]]) -> None:
    """The main program of a way: the task comes as the argument, its figures go out as the last line."""
    print(json.dumps(encode(Task(**json.loads(sys.argv[1])))))


def load_ready(task: Task) -> VAE:
    """Load the model for the task's precision, and run it once: the first pass is slower than the others."""
    import torch

    from vae_batch.models import load_model

    model = load_model(task.model).prepare("cpu", task.precision)
    with torch.inference_mode():
        model.encode(torch.zeros(task.batch_size, 3, IMAGE_SIZE, IMAGE_SIZE))
    return model


def posterior(model: VAE, pixels_BCHW: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance, each (B, D), of uint8 images."""
    found = model.encode(pixels_BCHW.float().div_(255.0))
    assert found.variance is not None
    return found.mean.numpy(), found.variance.numpy()


def make_images(folder: Path, shards: int, shard_size: int, drawn: int = 1000) -> tuple[Path, Path]:
    """Make the tars and the files, once; up to `drawn` different faces, repeated under new names."""
    home = folder / f"{shards}x{shard_size}"
    tars, files = home / "tars", home / "files"
    if not (home / "complete").exists():
        tars.mkdir(parents=True, exist_ok=True)
        files.mkdir(exist_ok=True)
        faces = _faces(min(drawn, shards * shard_size))
        for shard in range(shards):
            with tarfile.open(tars / f"faces-{shard:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for index in range(shard * shard_size, (shard + 1) * shard_size):
                    data = faces[index % len(faces)]
                    header = tarfile.TarInfo(f"{index:09d}.jpg")
                    header.size = len(data)
                    tar.addfile(header, io.BytesIO(data))
                    (files / header.name).write_bytes(data)
        (home / "complete").touch()
    return tars, files


def _faces(count: int) -> list[bytes]:
    import simplejpeg

    from vae_batch.faces import draw_face

    draw = (draw_face(0, index) for index in range(count))
    return [simplejpeg.encode_jpeg(pixels, QUALITY, colorspace="RGB", colorsubsampling="444") for pixels in draw]


def make_model(folder: Path) -> Path:
    """Save the built-in network with random weights: speed does not depend on what it has learnt."""
    import torch

    from vae_batch.images import Transform
    from vae_batch.models.conv import ConvConfig, ConvVAE
    from vae_batch.models.save import save_model

    torch.manual_seed(0)
    network = ConvVAE(ConvConfig(image_size=IMAGE_SIZE, latent_dim=LATENT_DIM))
    save_model(network, folder, transform=Transform(IMAGE_SIZE).to_dict())
    return folder
