"""Further draws from stored posteriors are those that `encode` would have stored."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import vae_batch
from tests.conftest import FACES, image_bytes, snapshot, spec
from tests.s3 import S3
from vae_batch import storage
from vae_batch.errors import MismatchError, OutputError, SpecError
from vae_batch.work import resample as module
from vae_batch.work.resample import resample


@pytest.fixture(scope="module")
def spoiled(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces, and some files that are rejects."""
    folder = tmp_path_factory.mktemp("source") / "faces"
    shutil.copytree(faces, folder)
    loose = folder / "loose"
    loose.mkdir()
    for number in range(3):
        (loose / f"broken{number}.jpg").write_bytes(image_bytes(number)[:200])
    return folder


@pytest.mark.parametrize("more", [{}, {"store": "float16", "diagnostics": True, "sha256": True}])
def test_it_is_to_the_byte_what_encode_writes(
    ray_session: None, spoiled: Path, model: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    more = {"max_reject_rate": 0.5, **more}
    vae_batch.encode(spec(spoiled, model, tmp_path / "one", **more))
    vae_batch.encode(spec(spoiled, model, tmp_path / "three", samples=3, seed=7, **more))
    summary = resample(str(tmp_path / "one"), str(tmp_path / "again"), 3, 7)
    assert snapshot(tmp_path / "again") == snapshot(tmp_path / "three")
    assert summary.rows == FACES and summary.rejects == 3
    jobs = [json.loads((tmp_path / name / ".vae_batch/job.json").read_text()) for name in ("again", "three", "one")]
    assert jobs[0]["fingerprint"] == jobs[1]["fingerprint"] != jobs[2]["fingerprint"]
    assert vae_batch.verify(tmp_path / "again").ok
    assert vae_batch.status(tmp_path / "again").state == "finished"
    lines = []
    vae_batch.encode(spec(spoiled, model, tmp_path / "again", samples=3, seed=7, **more))  # nothing to do
    resample(str(tmp_path / "one"), str(tmp_path / "again"), 3, 7, lines.append)
    assert "Already done" in lines[0] and snapshot(tmp_path / "again") == snapshot(tmp_path / "three")


def test_readers_and_the_seed_of_the_data_set(encoded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    resample(str(encoded), str(out), 2)
    read, before = vae_batch.read_latents(out), vae_batch.read_latents(encoded)
    assert read.samples == 2 and read.array("sample").shape == (FACES, 2, 8)
    assert np.array_equal(read.array("sample")[:, 0], before.array("sample"))  # the first draw, by the same seed
    assert not np.array_equal(read.array("sample")[:, 0], read.array("sample")[:, 1])


def test_stopped_it_goes_on(encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    resample(str(encoded), str(whole), 2)
    made, make = [], module._make_part

    def failing(task: Any, plan: Any, unit: int) -> None:
        if unit == 4:
            raise OSError("the disk is gone")
        make(task, plan, unit)
        made.append(unit)

    monkeypatch.setattr(module, "_make_part", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        resample(str(encoded), str(out), 2)
    assert made and not (out / ".vae_batch/summary.json").exists()
    monkeypatch.setattr(module, "_make_part", lambda task, plan, unit: (made.append(unit), make(task, plan, unit)))
    resample(str(encoded), str(out), 2)
    assert sorted(made) == list(range(12))  # each once
    assert snapshot(out) == snapshot(whole) and vae_batch.verify(out).ok
    assert not list((out / ".vae_batch/tmp").iterdir())


def test_parts_that_were_made_anew_are_made_anew_here(
    ray_session: None, faces: Path, model: Path, tmp_path: Path
) -> None:
    """A reject is mended, and --retry-rejects makes its unit anew."""
    source = tmp_path / "faces"
    source.mkdir()
    for number in range(30):
        (source / f"{number:02}.jpg").write_bytes(image_bytes(number))
    (source / "07.jpg").write_bytes(b"\xff\xd8 nothing")
    encoded, out = tmp_path / "encoded", tmp_path / "out"
    how = {"unit_size": 10, "max_reject_rate": 0.5}
    vae_batch.encode(spec(source, model, encoded, **how))
    assert resample(str(encoded), str(out), 2).rows == 29
    kept = (out / "data/part-000001.parquet").stat().st_ino
    (source / "07.jpg").write_bytes(image_bytes(7))
    vae_batch.encode(spec(source, model, encoded, retry_rejects=True, **how))
    assert resample(str(encoded), str(out), 2).rows == 30
    assert vae_batch.verify(out).ok
    assert (out / "data/part-000001.parquet").stat().st_ino == kept
    (source / "new.jpg").write_bytes(image_bytes(99))
    vae_batch.encode(spec(source, model, encoded, extend=True, **how))
    assert resample(str(encoded), str(out), 2).rows == 31
    assert vae_batch.verify(out).ok


def test_on_an_object_store(encoded: Path, tmp_path: Path, s3: S3) -> None:
    here = tmp_path / "here"
    resample(str(encoded), str(here), 2)
    s3.put_tree(encoded, "faces/resampled/encoded")
    out = s3.uri("faces/resampled/out")
    s3.fail_every(10)
    resample(s3.uri("faces/resampled/encoded"), out, 2)
    assert s3.failed
    for name, data in snapshot(here).items():
        assert storage.read_bytes(storage.join(out, name)) == data
    assert vae_batch.verify(out).ok and len(vae_batch.read_latents(out)) == FACES


def test_what_cannot_be(encoded: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(SpecError, match="samples=0"):
        resample(str(encoded), out, 0)
    resample(str(encoded), out, 2)
    with pytest.raises(MismatchError, match="\n  samples "):
        resample(str(encoded), out, 3)
    with pytest.raises(MismatchError, match="\n  seed "):
        resample(str(encoded), out, 2, 1)
    with pytest.raises(SpecError, match="is the data set that is read"):
        resample(str(encoded), str(encoded), 1)
    half = tmp_path / "half"
    shutil.copytree(encoded, half)
    (half / "data/part-000003.parquet").unlink()
    with pytest.raises(OutputError, match="is not finished: 1 parts are missing"):
        resample(str(half), str(tmp_path / "no"), 2)
    assert not (tmp_path / "no").exists()


def test_the_command_needs_no_ray(encoded: Path, tmp_path: Path) -> None:
    code = "import sys; from vae_batch.cli import group; group.main(sys.argv[1:], standalone_mode=False); "
    code += "print(sorted({'ray'} & set(sys.modules)))"
    command = [sys.executable, "-c", code, "resample", str(encoded), "--samples", "2", "--out", str(tmp_path / "o")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"Done: {FACES} rows in 12 parts" in done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert pq.read_table(tmp_path / "o/data").num_rows == FACES
