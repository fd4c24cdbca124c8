"""Forty drawn faces, and a training of them that takes a moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from vae_batch.faces import draw_face
from vae_batch.specs import TrainSpec


@pytest.fixture(scope="module", autouse=True)
def threads() -> None:
    """As many as in a process of its own, whatever the tests before have set."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty drawn faces, a broken one and a text file."""
    folder = tmp_path_factory.mktemp("train") / "faces"
    folder.mkdir()
    for i in range(40):
        Image.fromarray(draw_face(0, i, (44, 54))).save(folder / f"{i:03}.jpg", quality=95)
    (folder / "017x.jpg").write_bytes((folder / "017.jpg").read_bytes()[:300])
    (folder / "notes.txt").write_text("not an image")
    return folder


def spec(source: Path | str, out: Path | str, **more: Any) -> TrainSpec:
    """A small training, of all images, which are decoded once for all tests."""
    values = {"image_size": 32, "latent_dim": 8, "batch_size": 16, "steps": 45, "device": "cpu", "validation": 0}
    return TrainSpec(source=str(source), out=str(out), **{**values, "cache": f"{source}.cache", **more})
