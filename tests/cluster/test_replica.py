"""What a replica looks at before it works."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import spec
from vae_batch.cluster.replica import check_out
from vae_batch.errors import OutputError
from vae_batch.work.job import open_job, prepare


def test_a_node_that_has_another_out_is_told(faces: Path, model: Path, tmp_path: Path) -> None:
    _, job = open_job(prepare(spec(faces, model, tmp_path / "out")))
    check_out(job)
    with pytest.raises(OutputError, match=r"is not the OUT of this job .*: --out must be storage that all nodes share"):
        check_out(replace(job, fingerprint="0" * 64))
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(OutputError, match="--out must be storage that all nodes share"):
        check_out(job)
