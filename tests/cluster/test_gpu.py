"""On a real GPU; skipped without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import vae_batch
from tests.conftest import FACES, snapshot, spec
from vae_batch.latents.footer import read_footer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a CUDA device"),
]


@pytest.fixture
def ray_with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's cluster has no GPU: each job here starts its own."""
    import ray

    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_gives_what_a_cpu_gives_and_the_same_bytes_again(
    ray_with_gpu: None, faces: Path, model: Path, tmp_path: Path, precision: str
) -> None:
    outs = [tmp_path / name for name in ("gpu", "again", "cpu")]
    for out in outs:
        gpus = 0 if out.name == "cpu" else None
        summary = vae_batch.encode(
            spec(faces, model, out, precision=precision, gpus_per_replica=gpus, replicas=1, address="local")
        )
        assert summary.rows == FACES
    assert snapshot(outs[0]) == snapshot(outs[1])
    assert torch.cuda.get_device_name() in read_footer(outs[0] / "data" / "part-000000.parquet").numerics
    gpu, cpu = (np.stack(pq.read_table(out / "data")["mean"].to_numpy()) for out in (outs[0], outs[2]))
    tolerance = 1e-5 if precision == "fp32" else 2e-2
    assert (np.abs(gpu - cpu) <= tolerance * np.maximum(1, np.abs(cpu))).all()
