"""`generate --label-with`: probes kept in OUT, columns beside the pictures, the card. In this process, without Ray."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vae_batch
from tests.conftest import FACES
from vae_batch.errors import MismatchError, OutputError, SpecError
from vae_batch.images import Transform
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import open_plan
from vae_batch.latents.summary import Summary, remove_strays, summarise
from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.models.save import save_model
from vae_batch.work import predicted
from vae_batch.work.generate_card import kept_probes, write_card
from vae_batch.work.generate_job import open_generate, prepare_generate
from vae_batch.work.recompute import recompute

NAMES = ["smile", "skin_tone", "glasses", "beard", "hair_colour", "hair_length"]


def made(out: Path, model: Path, units: slice = slice(None), **more: Any) -> list[str]:
    """Carry out a job here; give its remarks."""
    values: dict[str, Any] = {"count": 40, "unit_size": 16, "batch_size": 8, **more}
    prepared = prepare_generate(vae_batch.GenerateSpec(model=str(model), out=str(out), **values))
    file, job = open_generate(prepared)
    layout, maker, plan = Layout.of(out), job.maker("cpu", 1), open_plan(Layout.of(out), file.plan)
    for unit in range(len(plan))[units]:
        maker.make(plan[unit])
    if units == slice(None):
        summary: Summary = summarise(layout, file, range(len(plan)))
        remove_strays(layout, file, range(len(plan)))
        write_card(layout, file, summary)
        assert recompute(maker, plan[0]) == []
    return prepared.remarks


@pytest.fixture(scope="module")
def labelled(encoded: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images with the attributes that the drawn faces have; not to be changed."""
    out = tmp_path_factory.mktemp("labelled") / "out"
    (remark,) = made(out, model, label_with=str(encoded))
    assert remark.startswith("Probes fitted to ") and "glasses AUC " in remark and "smile R² " in remark
    return out


def test_each_image_has_the_predictions_of_its_latent(labelled: Path, encoded: Path) -> None:
    table = pq.read_table(labelled / "data")
    columns = [f"predicted_{name}" for name in NAMES]
    assert table.column_names == ["id", "index", "image", "latent", "seed", *columns]
    assert all(table.schema.field(name).type == pa.float32() for name in columns)
    layout = Layout.of(labelled)
    probes = kept_probes(layout, JobFile.load(layout))
    assert probes is not None and probes.facts["rows"] == FACES
    wanted = probes.predict(np.array(table["latent"].to_pylist(), np.float32))
    assert np.array_equal(np.stack([table[name] for name in columns], axis=1), wanted)
    glasses = table["predicted_glasses"].to_numpy()
    assert 0 <= glasses.min() < glasses.max() <= 1
    assert vae_batch.verify(labelled).ok


def test_one_alone_has_the_same(labelled: Path, encoded: Path, model: Path, tmp_path: Path) -> None:
    made(tmp_path / "out", model, count=None, indices="3,21", label_with=str(encoded))
    whole = pq.read_table(labelled / "data").to_pylist()
    assert pq.read_table(tmp_path / "out/data").to_pylist() == [whole[3], whole[21]]


@pytest.mark.parametrize("name", ["webdataset", "folder"])
def test_they_stand_beside_the_pictures_too(
    labelled: Path, encoded: Path, model: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    made(out, model, label_with=str(encoded), attributes="glasses, smile", format=name, count=20)
    rows = pq.read_table(out / "data").to_pylist()
    said: list[dict[str, Any]] = []
    for file in sorted(out.glob("images/*/metadata.csv")):
        with file.open(newline="") as lines:
            said += csv.DictReader(lines)
    for shard in sorted(out.glob("shards/*.tar")):
        shutil.unpack_archive(shard, tmp_path / "unpacked")
    said += [json.loads(file.read_text()) for file in sorted((tmp_path / "unpacked").glob("*.json"))]
    assert [[*row][-2:] for row in said] == [["predicted_glasses", "predicted_smile"]] * 20
    for row, beside in zip(rows, said, strict=True):
        assert float(beside["predicted_smile"]) == row["predicted_smile"]


def test_a_begun_job_needs_the_labelled_data_set_no_more(
    labelled: Path, encoded: Path, model: Path, tmp_path: Path
) -> None:
    latents, out = tmp_path / "latents", tmp_path / "out"
    shutil.copytree(encoded, latents)
    made(out, model, slice(1), label_with=str(latents), count=20)
    shutil.rmtree(latents)
    stray = out / ".vae_batch" / "probes-0123456789abcdef.safetensors"
    stray.write_bytes(b"left by a killed attempt")
    assert made(out, model, label_with=str(latents)) == []
    assert not stray.exists()
    assert pq.read_table(out / "data").equals(pq.read_table(labelled / "data"))
    with pytest.raises(OutputError, match="no output of vae_batch"):
        made(out, model, label_with=str(latents), attributes="smile")
    (out / ".vae_batch" / JobFile.load(Layout.of(out)).source["probes"]).unlink()
    with pytest.raises(OutputError, match="no such file of probes"):
        made(out, model, label_with=str(latents))


def test_other_probes_in_the_same_out_are_refused(
    labelled: Path, encoded: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for more in ({"label_with": str(encoded), "attributes": "smile"}, {}):
        with pytest.raises(MismatchError, match="\n  label_with "):
            made(labelled, model, **more)
    monkeypatch.chdir(encoded.parent)
    monkeypatch.setattr(predicted, "fit_probes", pytest.fail)
    made(labelled, model, label_with=encoded.name)  # the same, named in another way


def test_the_card_says_how_well(labelled: Path) -> None:
    layout = Layout.of(labelled)
    probes, text = kept_probes(layout, JobFile.load(layout)), (labelled / "README.md").read_text()
    assert probes is not None
    assert f"data set\nof {FACES} images" in text and "label_with: out" in text
    for score in probes.scores:
        assert f"| `{score.attribute}` | " in text and f" | {score.at_mean:.3f} | {score.at_draw:.3f} | " in text
    assert "| `glasses` | probability of 1, not 0 | AUC | " in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"attributes": "smile,Male"}, "--attributes Male: .* has the labels smile, skin_tone, glasses"),
        ({"label_with": None, "attributes": "smile"}, "it goes with label_with"),
        ({"attributes": " , "}, "it goes with label_with"),
    ],
)
def test_wrong_attributes_are_refused(
    encoded: Path, model: Path, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        made(tmp_path / "out", model, **{"label_with": str(encoded), **more})
    assert not (tmp_path / "out").exists()


def test_another_models_data_set_is_refused(encoded: Path, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "model"
    other.mkdir()
    save_model(ConvVAE(ConvConfig(image_size=32, latent_dim=8, width=8)), other, transform=Transform(32).to_dict())
    with pytest.raises(SpecError, match="their latents have nothing in common"):
        made(tmp_path / "out", other, label_with=str(encoded))
