"""From images to rows with models of diffusers: numbers that cannot be trusted are never rows, and --scaled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import vae_batch
from tests.cluster.inline import replicas_here
from tests.conftest import spec
from tests.models.diffusersmaking import edit_config, make, overflow_fp16, overflow_fp32
from vae_batch.cluster.report import Report
from vae_batch.errors import MismatchError, SpecError
from vae_batch.latents.footer import read_footer
from vae_batch.latents.part import read_rejects
from vae_batch.latents.sampling import draw_samples

pytest.importorskip("diffusers")

IMAGES = 20
BRIGHT = [1, 6, 7, 13]
"""Numbers of the white images; the others are grey, with noise of one level."""


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas_here(monkeypatch)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(IMAGES):
        grey = np.random.default_rng(number).integers(127, 129, (32, 32, 3), np.uint8)
        image = Image.new("RGB", (32, 32), "white") if number in BRIGHT else Image.fromarray(grey)
        image.save(folder / f"{number:02}.png")
    return folder


class Lines(Report):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, state: Any) -> None:
        pass


def encoded(images: Path, model: Path, out: Path, report: Report | None = None, **more: Any) -> dict[str, Any]:
    """Encode, verify, and give columns by name as numpy."""
    vae_batch.encode(
        spec(images, model, out, unit_size=IMAGES, **{"batch_size": 4, "max_reject_rate": 1, **more}), report
    )
    assert not vae_batch.verify(out).findings
    latents, table = vae_batch.read_latents(out), pq.read_table(out / "data")
    names = [n for n in ("mean", "variance", "sample") if table[n].null_count == 0]
    arrays = {name: latents.array(name).reshape(len(table), -1) for name in names}
    return arrays | {name: table[name].to_numpy() for name in ("id", "kl")} | {"metadata": table.schema.metadata}


def footer_of(out: Path) -> Any:
    return read_footer(out / "data" / "part-000000.parquet")


def test_what_overflows_fp16_is_made_in_fp32_and_marked(images: Path, tmp_path: Path) -> None:
    make("AutoencoderKL", tmp_path / "model", change=overflow_fp16)
    half = encoded(images, tmp_path / "model", tmp_path / "fp16", precision="fp16")
    full = encoded(images, tmp_path / "model", tmp_path / "fp32")
    assert len(half["id"]) == IMAGES and footer_of(tmp_path / "fp16").fp32_rows == BRIGHT
    assert json.loads((tmp_path / "fp16/.vae_batch/summary.json").read_text())["fp32_rows"] == len(BRIGHT)
    others = [n for n in range(IMAGES) if n not in BRIGHT]
    for name in ("mean", "variance", "kl"):
        np.testing.assert_array_equal(half[name][BRIGHT], full[name][BRIGHT])
        assert not np.array_equal(half[name][others], full[name][others])
    assert footer_of(tmp_path / "fp32").fp32_rows == []
    brain = encoded(images, tmp_path / "model", tmp_path / "bf16", precision="bf16")
    assert len(brain["id"]) == IMAGES and footer_of(tmp_path / "bf16").fp32_rows == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_no_number_in_fp32_either_is_a_reject_and_its_neighbours_stay(
    images: Path, tmp_path: Path, precision: str
) -> None:
    make("AutoencoderTiny", tmp_path / "model", change=overflow_fp32)
    out = tmp_path / "out"
    rows = encoded(images, tmp_path / "model", out, precision=precision, image_size=32)
    rejects = read_rejects(out / ".vae_batch" / "rejects" / footer_of(out).rejects_file).to_pylist()
    assert [r["id"] for r in rejects] == [f"{n:02}.png" for n in BRIGHT]
    assert {(r["stage"], r["error"]) for r in rejects} == {("encode", "NonFinite")}
    for number in BRIGHT:
        Image.new("RGB", (32, 32), (128, 128, 128)).save(images / f"{number:02}.png")
    without = encoded(images, tmp_path / "model", tmp_path / "without", precision=precision, image_size=32)
    kept = [n for n in range(IMAGES) if n not in BRIGHT]
    assert len(without["id"]) == IMAGES
    for name in ("id", "mean", "sample"):
        np.testing.assert_array_equal(rows[name], without[name][kept])


def test_a_model_that_must_not_run_in_fp16_does_not(images: Path, tmp_path: Path) -> None:
    make("AutoencoderKL", tmp_path / "model", change=overflow_fp16)
    edit_config(tmp_path / "model", force_upcast=True)
    report = Lines()
    asked = encoded(images, tmp_path / "model", tmp_path / "fp16", report, precision="fp16")
    full = encoded(images, tmp_path / "model", tmp_path / "fp32")
    assert any(line.startswith("Precision: fp32 instead of fp16") for line in report.lines)
    np.testing.assert_array_equal(asked["mean"], full["mean"])
    assert asked["metadata"][b"vae_batch.precision"] == b"fp32" and footer_of(tmp_path / "fp16").fp32_rows == []
    job = json.loads((tmp_path / "fp16" / ".vae_batch" / "job.json").read_text())
    assert job["model"]["force_upcast"] and job["fields"]["precision"] == "fp32"
    again = Lines()
    vae_batch.encode(spec(images, tmp_path / "model", tmp_path / "fp16", precision="fp16", unit_size=IMAGES), again)
    assert any(line.startswith("Already done") for line in again.lines)


SCALINGS = [
    ({"scaling_factor": 0.25}, [0.0], [0.25]),
    ({"scaling_factor": 0.5, "shift_factor": -0.75}, [-0.75], [0.5]),
    (
        {"scaling_factor": 0.5, "latents_mean": [0.0, 1.0, -2.0, 0.5], "latents_std": [0.5, 1.0, 2.0, 4.0]},
        [0.0, 1.0, -2.0, 0.5],
        [1.0, 0.5, 0.25, 0.125],
    ),
]


@pytest.mark.parametrize(("config", "shift", "factor"), SCALINGS)
def test_scaled_latents_are_those_that_diffusion_takes(
    images: Path, tmp_path: Path, config: dict[str, Any], shift: list[float], factor: list[float]
) -> None:
    make("AutoencoderKL", tmp_path / "model", **config)
    raw = encoded(images, tmp_path / "model", tmp_path / "raw", diagnostics=True, samples=2)
    scaled = encoded(images, tmp_path / "model", tmp_path / "scaled", diagnostics=True, samples=2, scaled=True)
    shift_D, factor_D = (np.repeat(np.float32(v), 4 * 64 // len(v)) for v in (shift, factor))
    np.testing.assert_allclose(scaled["mean"], (raw["mean"] - shift_D) * factor_D, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(scaled["variance"], raw["variance"] * factor_D**2, rtol=1e-6)
    drawn = draw_samples(scaled["mean"], scaled["variance"], 0, list(scaled["id"]), 2)
    np.testing.assert_array_equal(scaled["sample"], drawn.reshape(IMAGES, -1))
    np.testing.assert_array_equal(scaled["kl"], raw["kl"])
    statistics = [
        json.loads((tmp_path / name / ".vae_batch" / "summary.json").read_text())["statistics"]
        for name in ("raw", "scaled")
    ]
    np.testing.assert_allclose(statistics[1]["kl"], statistics[0]["kl"], rtol=1e-5)
    np.testing.assert_allclose(sum(statistics[1]["kl"]), raw["kl"].mean(), rtol=1e-4)
    assert raw["metadata"][b"vae_batch.scaled"] == b"false" and scaled["metadata"][b"vae_batch.scaled"] == b"true"
    for name, value in config.items():
        assert json.loads(raw["metadata"][f"vae_batch.{name}".encode()]) == value


def test_scaled_and_raw_latents_do_not_mix(images: Path, tmp_path: Path, model: Path) -> None:
    make("AutoencoderKL", tmp_path / "model")
    encoded(images, tmp_path / "model", tmp_path / "out")
    with pytest.raises(MismatchError, match=r"scaled +null +true"):
        encoded(images, tmp_path / "model", tmp_path / "out", scaled=True)
    with pytest.raises(SpecError, match=r"--scaled: the model .* names no scaling_factor"):
        encoded(images, model, tmp_path / "other", scaled=True)


@pytest.mark.parametrize("name", ["AutoencoderTiny", "AutoencoderDC"])
def test_a_deterministic_autoencoder_gives_means_alone(images: Path, tmp_path: Path, name: str) -> None:
    make(name, tmp_path / "model")
    out = tmp_path / "out"
    vae_batch.encode(spec(images, tmp_path / "model", out, image_size=32, scaled=True))
    table = pq.read_table(out / "data")
    assert table["variance"].null_count == table["kl"].null_count == IMAGES
    assert table["sample"].equals(table["mean"])
    latents = vae_batch.read_latents(out)
    assert latents.array("mean").shape == (IMAGES, *latents.latent_shape) and not vae_batch.verify(out).findings


def test_rows_of_large_latents_are_made_a_few_at_a_time(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vae_batch.latents import schema
    from vae_batch.work.rows import RowMaker

    make("AutoencoderKL", tmp_path / "model")
    whole = encoded(images, tmp_path / "model", tmp_path / "whole", batch_size=16)
    monkeypatch.setattr(schema, "ROW_GROUP_BYTES", 3 * 3500)  # three rows of 4×8×8
    made, rows = [], RowMaker.rows
    monkeypatch.setattr(RowMaker, "rows", lambda self: made.append(len(self)) or rows(self))
    few = encoded(images, tmp_path / "model", tmp_path / "few", batch_size=16)
    assert sum(made) == IMAGES and max(made) == 3
    assert pq.ParquetFile(tmp_path / "few" / "data" / "part-000000.parquet").metadata.num_row_groups == 7
    for name in ("id", "mean", "variance", "sample", "kl"):
        np.testing.assert_array_equal(few[name], whole[name])
    assert footer_of(tmp_path / "few").values_sha256 == footer_of(tmp_path / "whole").values_sha256


def test_fewer_images_at_a_time_where_they_are_large() -> None:
    from vae_batch.work.loaded import default_batch

    assert [default_batch("cpu", side) for side in (32, 128, 129, 256, 512, 1024, 4096)] == [64, 64, 32, 16, 4, 1, 1]
    assert [default_batch("cuda", side) for side in (128, 256, 512, 1024)] == [256, 64, 16, 4]
