"""Synthetic data sets on real Ray: what is in them, that each image stands alone, and exactly once."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import vae_batch
from tests.cluster.test_encode import Lines
from tests.conftest import snapshot
from vae_batch.cluster.generate import generate
from vae_batch.cluster.verify import verify_by_recomputing
from vae_batch.errors import MismatchError, OutputError, SpecError, TooManyRejectsError
from vae_batch.latents.layout import Layout
from vae_batch.latents.part import read_rejects
from vae_batch.latents.summary import Summary
from vae_batch.samplers import Prior

COUNT = 90


def generate_spec(model: Path | str, out: Path | str, **more: Any) -> vae_batch.GenerateSpec:
    """A spec with small units and batches."""
    values: dict[str, Any] = {"unit_size": 25, "batch_size": 16, "replicas": 2, "seed": 5, **more}
    if "indices" not in values:
        values.setdefault("count", COUNT)
    return vae_batch.GenerateSpec(model=str(model), out=str(out), **values)


@pytest.fixture(scope="module")
def generated(ray_session: None, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 images in units of 25; not to be changed."""
    out = tmp_path_factory.mktemp("generated") / "out"
    vae_batch.generate(generate_spec(model, out))
    return out


def rows(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "data").to_pylist()


def pixels(row: dict[str, Any]) -> np.ndarray:
    with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
        return np.asarray(image)


def test_the_columns(generated: Path) -> None:
    table = pq.read_table(generated / "data")
    assert [(f.name, f.type) for f in table.schema] == [
        ("id", pa.string()),
        ("index", pa.int64()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("latent", pa.list_(pa.field("element", pa.float32()), 8)),
        ("seed", pa.uint64()),
    ]
    assert table["index"].to_pylist() == list(range(COUNT))
    assert set(table["seed"].to_pylist()) == {5}
    assert json.loads(table.schema.field("latent").metadata[b"shape"]) == [8]
    assert len(list((generated / "data").iterdir())) == 4


def test_a_picture_is_the_decoded_latent_and_the_latent_that_of_the_prior(generated: Path, model: Path) -> None:
    found = rows(generated)
    z = np.array([row["latent"] for row in found], np.float32)
    assert np.array_equal(z, Prior(8, 5).draw(0, COUNT).latents)
    with torch.inference_mode():
        x = vae_batch.load_model(str(model)).prepare("cpu", "fp32").decode(torch.from_numpy(z))
    wanted = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy().astype(int)
    given = np.stack([pixels(row) for row in found]).astype(int)
    assert given.shape == (COUNT, 32, 32, 3) and np.abs(given - wanted).max() <= 1


def test_readers_open_it_and_datasets_shows_pictures(generated: Path, tmp_path: Path) -> None:
    files = str(generated / "data" / "*.parquet")
    assert duckdb.sql(f"select count(*), max(index) from '{files}'").fetchall() == [(COUNT, COUNT - 1)]
    assert (
        polars.scan_parquet(files).select(polars.col("image").struct.field("path")).collect()[3, 0] == "000000003.png"
    )
    read = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert isinstance(read.features["image"], datasets.Image)
    assert read[3]["image"].size == (32, 32)


def test_verify_finds_nothing_in_it_and_everything_in_a_forgery(generated: Path, tmp_path: Path) -> None:
    verdict = verify_by_recomputing(str(generated), 2)
    assert verdict.ok and any("generated again: units " in note for note in verdict.notes)
    out = tmp_path / "out"
    shutil.copytree(generated, out)
    part = out / "data" / "part-000001.parquet"
    table = pq.read_table(part)
    image = table["image"].to_pylist()
    image[3]["bytes"] = image[4]["bytes"]
    forged = table.set_column(2, table.schema.field("image"), pa.array(image, table.schema.field("image").type))
    pq.write_table(forged, part)
    assert any("part-000001" in finding for finding in vae_batch.verify(str(out)).findings)


def test_a_finished_job_does_nothing(generated: Path, model: Path) -> None:
    before, report = snapshot(generated), Lines()
    generate(generate_spec(model, generated), report)
    assert "Already done: 90 rows" in report.text and snapshot(generated) == before
    assert vae_batch.status(generated).state == "finished"


def test_replicas_and_their_number_do_not_matter(generated: Path, model: Path, tmp_path: Path) -> None:
    vae_batch.generate(generate_spec(model, tmp_path / "one", replicas=1))
    assert snapshot(tmp_path / "one") == snapshot(generated)


def test_a_larger_count_keeps_what_is_there(generated: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    vae_batch.generate(generate_spec(model, out, count=40))
    before = snapshot(out)
    summary = vae_batch.generate(generate_spec(model, out))
    after = snapshot(out)
    assert summary.rows == COUNT and {name: after[name] for name in before} == before
    assert rows(out) == rows(generated)  # the same images, in other parts
    assert vae_batch.verify(str(out)).ok
    assert len(list((out / ".vae_batch").glob("plan-*"))) == 1
    with pytest.raises(MismatchError, match="a data set of 90 images, and 40 are asked for"):
        vae_batch.generate(generate_spec(model, out, count=40))


def test_single_images_are_those_of_the_whole(generated: Path, model: Path, tmp_path: Path) -> None:
    vae_batch.generate(generate_spec(model, tmp_path / "some", indices="41,3,70-73", unit_size=3))
    found, all_ = rows(tmp_path / "some"), rows(generated)
    assert found == [all_[i] for i in (3, 41, 70, 71, 72, 73)]
    assert vae_batch.verify(str(tmp_path / "some")).ok
    vae_batch.generate(generate_spec(model, tmp_path / "other", indices="70-72", batch_size=16, unit_size=2))
    assert rows(tmp_path / "other") == [all_[i] for i in (70, 71, 72)]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"seed": 6}, "seed"),
        ({"temperature": 0.5}, "temperature"),
        ({"codec": "jpeg"}, "codec"),
        ({"unit_size": 9}, "unit_size"),
    ],
)
def test_another_job_into_the_same_out_is_refused(
    generated: Path, model: Path, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(MismatchError, match=f"\n  {field} "):
        vae_batch.generate(generate_spec(model, generated, **more))


def test_an_encoded_data_set_is_no_place_for_it(encoded: Path, model: Path, generated: Path, faces: Path) -> None:
    with pytest.raises(MismatchError, match="is an encoded data set"):
        vae_batch.generate(generate_spec(model, encoded))
    with pytest.raises(OutputError, match="has generated images"):
        vae_batch.read_latents(generated)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_not_finite_is_a_reject(ray_session: None, tmp_path: Path, module_in_cwd: Any, precision: str) -> None:
    """Latents whose first number is above 1.5 give what no picture is; in bf16 others do, which fp32 can make."""
    module_in_cwd("spoiled", SPOILED)
    out = tmp_path / "out"
    with pytest.raises(TooManyRejectsError):
        vae_batch.generate(generate_spec("spoiled:Spoiled", out, precision=precision, image_size=8))
    z = Prior(4, 5).draw(0, COUNT).latents
    bad = z[:, 0] > 1.5
    assert bad.any() and [row["index"] for row in rows(out)] == np.flatnonzero(~bad).tolist()
    found = [row for file in sorted((out / ".vae_batch/rejects").iterdir()) for row in read_rejects(file).to_pylist()]
    assert [row["row"] for row in found] == np.flatnonzero(bad).tolist()
    assert {(row["stage"], row["error"]) for row in found} == {("generate", "NonFinite")}
    status = vae_batch.status(out)
    assert (status.seen, status.rows, status.rejects) == (COUNT, COUNT - bad.sum(), bad.sum())
    repaired = ((z[:, 1] > 1.0) & ~bad).sum() if precision == "bf16" else 0
    assert Summary.load(Layout.of(out)).fp32_rows == repaired
    assert vae_batch.verify(str(out)).ok


SPOILED = """
import torch
from torch import nn

class Spoiled(nn.Module):
    image_size = 8

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3 * 64))

    def encode(self, x):
        return torch.zeros(len(x), 4), torch.zeros(len(x), 4)

    def decode(self, z):
        x = torch.sigmoid(z @ self.weight)
        x = x + torch.where(z[:, :1] > 1.5, torch.nan, 0.0)
        if torch.is_autocast_enabled("cpu"):
            x = x + torch.where(z[:, 1:2] > 1.0, torch.inf, 0.0)
        return x.view(-1, 3, 8, 8)
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"count": None}, "give count or indices"),
        ({"indices": "3"}, "give count or indices"),
        ({"count": None, "indices": "3-"}, "give numbers and ranges from 0"),
        ({"quality": 50}, "png has no quality"),
    ],
)
def test_contradictions_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        vae_batch.GenerateSpec(model="m", out="o", **{"count": 4, **more})


def test_an_encoder_alone_generates_nothing(tmp_path: Path) -> None:
    class Half(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x.mean((2, 3)), x.mean((2, 3))

    program = torch.export.export(Half().eval(), (torch.zeros(4, 3, 8, 8),))
    torch.export.save(program, tmp_path / "half.pt2")
    with pytest.raises(SpecError, match="has no decoder"):
        vae_batch.generate(generate_spec(tmp_path / "half.pt2", tmp_path / "out", trust_model_code=True))


def test_killed_it_goes_on_to_the_same_bytes(generated: Path, model: Path, tmp_path: Path) -> None:
    """The driver is killed once there is a part; the same command ends with the undisturbed bytes."""
    out = tmp_path / "out"
    command = [str(Path(sys.executable).parent / "vae-batch"), "generate", "--model", str(model), "--out", str(out)]
    command += ["--count", str(COUNT), "--unit-size", "25"]
    command += ["--batch-size", "16", "--replicas", "1", "--seed", "5", "--address", "local"]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 120
    while time.monotonic() < end and not list((out / "data").glob("*.parquet") if (out / "data").exists() else ()):
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert snapshot(out) == snapshot(generated)
