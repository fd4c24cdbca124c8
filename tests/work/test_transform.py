"""The transform of a job: the model's own, and what a spec says instead."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import image_bytes, spec
from vae_batch.cluster.train import train
from vae_batch.errors import MismatchError, SpecError
from vae_batch.images import Transform
from vae_batch.specs import TrainSpec
from vae_batch.work.encode import UnitEncoder
from vae_batch.work.job import open_job, prepare


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten pictures with boxes, one without, one whose box is elsewhere."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i:02}.jpg").write_bytes(image_bytes(i))
        labels = {"x_1": 900 if i == 11 else 4, "y_1": 5, "width": 30, "height": 32 + i}
        if i != 10:
            (folder / f"{i:02}.json").write_text(json.dumps(labels))
    return folder


def test_a_spec_goes_before_the_model_and_another_transform_is_another_job(
    images: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert prepare(spec(images, model, out, label_prefix="b_")).job.transform == Transform(32)
    asked = {"crop": "center:36", "fit": "contain", "decode": "fast"}
    prepared = prepare(spec(images, model, out, label_prefix="b_", **asked))
    assert prepared.job.transform == Transform(32, **asked)  # type: ignore[arg-type]
    open_job(prepared)
    with pytest.raises(MismatchError, match=r"transform.crop +center:36 +center\n") as caught:
        prepare(spec(images, model, out, label_prefix="b_"))
    assert "transform.decode" in str(caught.value)
    with pytest.raises(SpecError, match="crop is 'middle'; it must be none, center"):
        prepare(spec(images, model, tmp_path / "other", crop="middle"))


def test_a_model_brings_the_transform_of_its_training(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = TrainSpec(source=str(images), out=str(tmp_path / "vae"), image_size=32, steps=2, crop="box", fit="stretch")
    with pytest.raises(SpecError, match="crop box: the boxes leave the image for 1 of 11 images"):
        train(asked)
    monkeypatch.setattr("vae_batch.work.boxes.MAX_OUTSIDE", 1.0)
    train(asked)
    prepared = prepare(spec(images, tmp_path / "vae", tmp_path / "out", label_prefix="b_"))
    assert prepared.job.transform == Transform(32, "box", "stretch")
    config = json.loads((tmp_path / "vae" / "config.json").read_text())
    assert config["extra"]["training"]["images"] == 10
    assert config["extra"]["training"]["rejected"] == 2


def test_boxes_reach_the_transform_and_images_without_are_rejects(
    images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vae_batch.work.boxes.MAX_OUTSIDE", 1.0)
    asked = spec(images, model, tmp_path / "out", crop="box", fit="stretch", label_prefix="b_")
    prepared = prepare(asked)
    _, job = open_job(prepared)
    receipt = UnitEncoder(job, "cpu", 2).make(next(prepared.units()))
    assert (receipt.rows, receipt.rejects) == (10, 2)
    assert {(r.id, r.stage, r.error) for r in receipt.examples} == {
        ("10.jpg", "transform", "LabelError"),
        ("11.jpg", "transform", "OutsideImage"),
    }
    table = pq.read_table(tmp_path / "out" / "data")
    assert table["b_width"].to_pylist() == [30.0] * 10
    assert set(zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True)) == {(40, 50)}
    assert np.isfinite(table["kl"].to_numpy()).all()
