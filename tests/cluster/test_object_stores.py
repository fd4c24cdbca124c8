"""Jobs whose source, model and output are on an object store, on a good day and on bad ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import vae_batch
from tests.cluster.test_kills import SLOW, wait_for
from tests.conftest import FACES, image_bytes, snapshot
from tests.s3 import S3
from vae_batch import storage
from vae_batch.errors import MismatchError, ModelError, OutputError, StorageError
from vae_batch.latents.layout import Layout
from vae_batch.latents.status import status
from vae_batch.models import describe_model
from vae_batch.specs import EncodeSpec


@pytest.fixture(scope="module", autouse=True)
def filled(s3_server: S3, faces: Path, model: Path) -> None:
    """The faces and the model."""
    s3_server.put_tree(faces, "faces/tars")
    s3_server.put_tree(model, "faces/model")


@pytest.fixture(scope="module")
def filled_gcs(gcs_server: Any, faces: Path, model: Path) -> None:
    """The faces and the model."""
    gcs_server.put_tree(faces, "faces/tars")
    gcs_server.put_tree(model, "faces/model")


@pytest.fixture(params=["s3", "gcs"])
def store(request: pytest.FixtureRequest) -> Any:
    """Each of the object stores that there are servers of, with the faces and the model."""
    if request.param == "gcs":
        request.getfixturevalue("filled_gcs")
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def here(ray_session: None, faces: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same job with everything on this machine."""
    out = tmp_path_factory.mktemp("here") / "out"
    vae_batch.encode(spec(faces, model, out))
    return out


def spec(source: object, model: object, out: object, **more: Any) -> EncodeSpec:
    values = {"unit_size": 30, "batch_size": 16, "replicas": 2, **more}
    return EncodeSpec(source=str(source), model=str(model), out=str(out), **values)


def remote_snapshot(out: str) -> dict[str, bytes]:
    """What `snapshot` gives, of an output under a URI."""
    found = {}
    for folder in ("data", ".vae_batch/rejects"):
        for name in storage.list_files(storage.join(out, folder)):
            found[f"{folder}/{name}"] = storage.read_bytes(storage.join(out, f"{folder}/{name}"))
    return found


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vae_batch.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("fault", ["", "every tenth request"])
def test_everything_on_an_object_store_gives_the_same_bytes(
    fault: str, store: Any, here: Path, ray_session: None
) -> None:
    out = store.uri(f"faces/out{len(fault)}")
    if fault:
        store.fail_every(10)
    summary = vae_batch.encode(spec(store.uri("faces/tars"), store.uri("faces/model"), out))
    assert (summary.rows, summary.rejects, summary.seen) == (FACES, 0, FACES)
    assert bool(store.failed) == bool(fault)
    assert remote_snapshot(out) == snapshot(here)
    assert summary.bytes == sum(len(data) for data in snapshot(here).values())
    verdict = vae_batch.verify(out)
    assert verdict.ok and verdict.rows == FACES, verdict
    store.heal()
    with pytest.raises(MismatchError, match="seed"):
        vae_batch.encode(spec(store.uri("faces/tars"), store.uri("faces/model"), out, seed=1))
    data, local = vae_batch.read_latents(out), vae_batch.read_latents(here)
    assert data.ids() == local.ids() and (data.array("mean") == local.array("mean")).all()
    assert next(data.batches(rows=7))["mean"].shape == (7, 8)


def test_loose_files_under_faults(s3: S3, model: Path, ray_session: None, tmp_path: Path) -> None:
    """Hundreds of requests for a unit, of which each tenth fails."""
    (tmp_path / "loose/deep").mkdir(parents=True)
    for i in range(100):
        (tmp_path / "loose" / f"{'deep/' * (i % 2)}{i}.jpg").write_bytes(image_bytes(i))
    (tmp_path / "loose/bad.jpg").write_bytes(b"<html>")
    (tmp_path / "loose/empty.jpg").write_bytes(b"")
    s3.put_tree(tmp_path / "loose", "faces/loose")
    vae_batch.encode(spec(tmp_path / "loose", model, tmp_path / "out", unit_size=51, max_reject_rate=0.1))
    s3.fail_every(10)
    out = s3.uri("faces/loose-out")
    summary = vae_batch.encode(spec(s3.uri("faces/loose"), model, out, unit_size=51, max_reject_rate=0.1))
    assert (summary.rows, summary.rejects, summary.seen) == (100, 2, 102)
    assert s3.failed > 20
    assert remote_snapshot(out) == snapshot(tmp_path / "out")
    assert vae_batch.verify(out).ok


def test_a_driver_killed_goes_on_where_it_was(
    store: Any, faces: Path, ray_session: None, tmp_path: Path, module_in_cwd: Callable[[str, str], None]
) -> None:
    module_in_cwd("slow_s3", SLOW)
    out, model = store.uri("faces/killed"), "slow_s3:Net"
    layout = Layout.of(out)
    command = [sys.executable, "-c", "from vae_batch.cli import main; main()", "encode", store.uri("faces/tars")]
    command += ["--model", model, "--out", out, "--unit-size", "30", "--batch-size", "16", "--replicas", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(layout.parts()[0]) >= 2, process)
    process.kill()
    process.communicate()
    assert 2 <= len(layout.parts()[0]) < 6
    done = cli("status", out, "--json")
    state = json.loads(done.stdout)
    assert state["out"] == out and state["rows"] == 40 * state["units_done"] >= 80
    done = cli(*command[3:])
    assert done.returncode == 0 and "Going on: " in done.stderr and out in done.stderr, done.stderr
    vae_batch.encode(spec(faces, model, tmp_path / "out"))
    assert remote_snapshot(out) == snapshot(tmp_path / "out")
    done = cli("verify", out, "--json")
    assert json.loads(done.stdout)["ok"], done.stdout
    assert status(out).state == "finished"


def test_verify_finds_a_damaged_part(s3: S3, here: Path, ray_session: None) -> None:
    s3.put_tree(here, "faces/damaged")
    part = pq.read_table(here / "data/part-000001.parquet")
    s3.put("faces/damaged/data/part-000000.parquet", (here / "data/part-000001.parquet").read_bytes())
    s3.put("faces/damaged/data/part-000002.parquet", b"PAR1")
    s3.put("faces/damaged/data/stranger", b"x")
    findings = "\n".join(vae_batch.verify(s3.uri("faces/damaged")).findings)
    assert "part-000000.parquet: holds unit 1" in findings and "stranger" in findings
    assert "part-000002.parquet: not a whole Parquet file" in findings
    assert f"id {part['id'][0].as_py()!r} occurs 2 times" in findings


def test_recomputing_reads_the_parts_there(s3: S3, here: Path, ray_session: None) -> None:
    from vae_batch.cluster.verify import verify_by_recomputing

    out = s3.uri("faces/again")
    vae_batch.encode(spec(s3.uri("faces/tars"), s3.uri("faces/model"), out))
    verdict = verify_by_recomputing(out, units=2)
    assert verdict.ok and verdict.notes


def test_an_out_that_cannot_be_used_is_named(s3: S3, faces: Path, model: Path) -> None:
    s3.put("faces/taken/notes.txt", b"x")
    with pytest.raises(OutputError, match="is not empty") as error:
        vae_batch.encode(spec(faces, model, s3.uri("faces/taken")))
    assert s3.uri("faces/taken") in str(error.value)
    with pytest.raises(OutputError, match="lies in the source"):
        vae_batch.encode(spec(s3.uri("faces/tars"), model, s3.uri("faces/tars/out")))
    with pytest.raises(StorageError, match="environment") as secret:
        vae_batch.encode(spec(faces, model, "s3://key:topsecret@faces/out"))
    assert "topsecret" not in str(secret.value)
    done = cli("status", s3.uri("faces/nothing"))
    assert done.returncode == 1 and f"{s3.uri('faces/nothing')} is no output" in done.stderr, done.stderr
    s3.fail = lambda method, path, number: "403"
    done = cli("encode", str(faces), "--model", str(model), "--out", s3.uri("faces/forbidden"))
    assert done.returncode == 1 and "AWS_ACCESS_KEY_ID" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_model_is_the_same_wherever_it_lies(s3: S3, model: Path) -> None:
    there, local = describe_model(s3.uri("faces/model")), describe_model(str(model))
    assert there.digest == local.digest
    assert describe_model(f"file://{model}").digest == local.digest
    with pytest.raises(ModelError, match=r"holds no model: it has no config\.json"):
        describe_model(s3.uri("faces/tars"))


def test_an_output_on_a_file_system_of_fsspec(s3: S3, here: Path, faces: Path, model: Path, tmp_path: Path) -> None:
    out = f"local://{tmp_path}/out"
    assert vae_batch.encode(spec(f"local://{faces}", f"local://{model}", out)).rows == FACES
    assert remote_snapshot(out) == snapshot(here)
    assert vae_batch.verify(out).ok and len(vae_batch.read_latents(out)) == FACES
    assert vae_batch.verify(f"file://{tmp_path}/out").ok
    assert not os.listdir(tmp_path / "out/.vae_batch/tmp")  # noqa: PTH208


def test_training_reads_from_there_and_saves_there(s3: S3, faces: Path, tmp_path: Path) -> None:
    more = {"image_size": 16, "latent_dim": 4, "steps": 2, "device": "cpu"}
    s3.fail_every(10)
    for source, out in ((s3.uri("faces/tars"), s3.uri("faces/trained")), (str(faces), str(tmp_path / "trained"))):
        trained = vae_batch.train(vae_batch.TrainSpec(source=source, out=out, **more))
        assert str(trained.out) == out and trained.images == FACES
    assert storage.list_files(s3.uri("faces/trained")).keys() == {
        "README.md",
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
    }
    assert describe_model(s3.uri("faces/trained")).digest == describe_model(str(tmp_path / "trained")).digest
    with pytest.raises(OutputError, match="holds a model already"):
        vae_batch.train(vae_batch.TrainSpec(source=source, out=s3.uri("faces/trained"), **more))
