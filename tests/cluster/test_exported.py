"""A job with exported programs: its batches, the word it needs, and its values."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest
import torch

import vae_batch
from tests.cli.test_commands import vae_batch as cli
from tests.conftest import spec
from tests.models.test_exported import DIMS, SIZE, Decoder, Encoder, export
from vae_batch.errors import ModelError, SpecError
from vae_batch.images import Transform, load_image
from vae_batch.latents.footer import read_footer


def test_exported_programs_encode_like_the_module(ray_session, faces, tmp_path):
    model, out = tmp_path / "model", tmp_path / "out"
    encoder = export(Encoder(), model / "encoder.pt2", torch.rand(6, 3, SIZE, SIZE))
    decoder = export(Decoder(), model / "decoder.pt2", torch.rand(6, DIMS))
    more = {"diagnostics": True, "batch_size": None, "units": "0:1", "replicas": 1}
    with pytest.raises(ModelError, match="give --trust-model-code"):
        vae_batch.encode(spec(faces, model, out, **more))
    more["trust_model_code"] = True
    with pytest.raises(SpecError, match="was exported for batches of 6 images"):
        vae_batch.encode(spec(faces, model, out, **{**more, "batch_size": 16}))
    rows = vae_batch.encode(spec(faces, model, out, **more)).rows
    assert json.loads(read_footer(str(out / "data/part-000000.parquet")).numerics)["batch_size"] == 6

    x, latents = pixels(faces, rows), vae_batch.read_latents(out)
    with torch.inference_mode():
        mean, logvar = encoder(x)
        mse = (decoder(mean) - x).square().mean((1, 2, 3))
    for column, values in (("mean", mean), ("variance", logvar.exp()), ("mse", mse)):
        np.testing.assert_allclose(latents.array(column), values.numpy(), rtol=1e-4, atol=1e-5)

    refused = cli("verify", out, "--recompute", "1")
    assert refused.returncode == 1 and "give --trust-model-code" in refused.stderr


def pixels(faces, count):
    """The first images, as the job prepares them."""
    with tarfile.open(faces / "faces-000000.tar") as tar:
        images = [tar.extractfile(member).read() for member in tar if member.name.endswith(".jpg")]
    slots = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    for slot, data in zip(slots, images, strict=False):
        load_image(data, Transform(SIZE), slot)
    return torch.from_numpy(slots).permute(0, 3, 1, 2) / 255
