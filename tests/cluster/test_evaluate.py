"""Judging a generated data set: what is encoded for it, what is refused, and what comes out; on real Ray."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from safetensors.numpy import load_file, save_file

import vae_batch
from tests.cluster.test_encode import Lines
from tests.cluster.test_generate import COUNT, generate_spec
from tests.conftest import FACES
from tests.s3 import S3
from vae_batch import storage
from vae_batch.cli.evaluate import command
from vae_batch.cluster.evaluate import evaluate
from vae_batch.errors import OutputError, SpecError
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout


@pytest.fixture(scope="module")
def judged(ray_session: None, model: Path, encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """90 images from the prior as JPEG, judged once, so that their encoding is there; copied before use."""
    out = tmp_path_factory.mktemp("generated") / "out"
    vae_batch.generate(generate_spec(model, out, codec="jpeg"))
    return out, judge(out, encoded)[1]


@pytest.fixture
def made(judged: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged[0], tmp_path / "made"))


def judge(made: Path | str, real: Path | str, **more: Any) -> tuple[Any, str]:
    report = Lines()
    values = {key: str(value) if isinstance(value, Path) else value for key, value in more.items()}
    found = evaluate(vae_batch.EvaluateSpec(generated=str(made), real=str(real), **values), report)
    return found, report.text


def test_it_says_all_that_it_compared_and_keeps_it(made: Path, encoded: Path) -> None:
    found, _ = judge(made, encoded, train=encoded, k=3, limit=80, seed=2)
    told = json.loads((made / ".vae_batch" / "evaluation.json").read_text())
    assert told == json.loads(json.dumps(found.to_dict()))
    assert told["generated"] == {
        **{"location": str(made), "where": None, "sampler": "prior", "format": "parquet", "codec": "jpeg"},
        **{"quality": None, "image_size": 32, "crop": "center", "fit": "cover", "rows": COUNT, "used": 80},
    }
    assert (told["real"]["rows"], told["real"]["used"], told["real"]["crop"]) == (FACES, 80, "center")
    assert (told["k"], told["limit"], told["seed"], told["dims"]) == (3, 80, 2, 8)
    assert told["copying"]["same"] == 80 and "no held-out ones" in told["notes"][-1]
    assert told["latent_frechet"]["train"] == pytest.approx(0, abs=1e-6)
    assert told["latent_frechet"]["generated"] > 1e-4
    assert {shift["attribute"] for shift in told["attributes"]} >= {"smile", "glasses"}
    ids = {pair["generated"] for pair in told["copying"]["closest"]}
    assert len(ids) == 10 and all(0 <= int(name) < COUNT for name in ids)


def test_the_second_time_encodes_nothing_and_gives_the_same(
    judged: tuple[Path, str], made: Path, encoded: Path
) -> None:
    before = json.loads((made / ".vae_batch" / "evaluation.json").read_text())
    again, said = judge(made, encoded)
    assert f"Done: {COUNT} rows" in judged[1] and "Already done" in said and "--extend" not in judged[1] + said
    before["generated"]["location"] = str(made)
    assert json.loads(json.dumps(again.to_dict())) == before
    assert vae_batch.verify(str(made)).ok
    read = datasets.load_dataset(str(made), split="train", cache_dir=str(made.parent / "cache"))
    assert len(read) == COUNT  # the work folder is none of theirs


def test_images_as_they_are_will_do_for_the_real(made: Path, encoded: Path, faces: Path, tmp_path: Path) -> None:
    """They are encoded as the model's own were; asked for again, they are found in the work folder."""
    found, _ = judge(made, encoded, train=encoded)
    raw, said = judge(made, faces, train=faces, work=tmp_path / "work")
    assert said.count(f"Done: {FACES} rows") == 1 and "Already done" in said
    assert raw.prdc == found.prdc and raw.real["location"] == str(faces)
    assert raw.latent_frechet.generated == pytest.approx(found.latent_frechet.generated)
    assert [s.attribute for s in raw.attributes] == [s.attribute for s in found.attributes]


def test_every_option_is_a_key_of_the_spec_and_the_other_way() -> None:
    options = {parameter.name for parameter in command.params} - {"verbose", "as_json"}
    assert options == set(vae_batch.EvaluateSpec.model_fields) - {"kind"}


def test_an_encoded_set_can_be_judged_too(encoded: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(encoded, tmp_path / "copy")
    itself, _ = judge(copy, encoded)
    assert itself.prdc.coverage == 1 and itself.latent_frechet.generated == pytest.approx(0, abs=1e-6)
    assert "codec" not in itself.generated


def test_pictures_beside_the_parts_are_judged_alike(model: Path, made: Path, encoded: Path, tmp_path: Path) -> None:
    vae_batch.generate(generate_spec(model, tmp_path / "folder", format="folder", codec="jpeg"))
    results = [judge(out, encoded)[0] for out in (made, tmp_path / "folder")]
    assert results[0].latent_frechet.generated == pytest.approx(results[1].latent_frechet.generated)
    assert results[1].generated["format"] == "folder" and results[1].generated["rows"] == COUNT


def test_where_chooses_among_the_real(made: Path, encoded: Path) -> None:
    found, _ = judge(made, encoded, where="smile > 0.5")
    assert 50 < found.real["rows"] < FACES and found.real["where"] == "smile > 0.5"
    with pytest.raises(SpecError, match='column "Smiling" not found'):
        judge(made, encoded, where="Smiling")
    with pytest.raises(
        SpecError, match=r"--k 5 neighbours want more than 5 images of each set, and here are 1 of .*out where row < 1"
    ):
        judge(made, encoded, where="row < 1 and shard like '%2.tar'")


def test_a_set_that_grew_is_encoded_on(made: Path, model: Path, encoded: Path) -> None:
    vae_batch.generate(generate_spec(model, made, codec="jpeg", count=COUNT + 30))
    found, said = judge(made, encoded)
    assert found.generated["rows"] == COUNT + 30 and "Extending by what is new in the source" in said


def test_what_is_not_finished_or_no_generated_set_is_refused(
    made: Path, encoded: Path, faces: Path, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="is no output of vae_batch"):
        judge(faces, encoded)
    some = Path(shutil.copytree(encoded, tmp_path / "some"))
    for part in sorted((some / "data").iterdir())[2:]:
        part.unlink()
    found, _ = judge(made, some)
    rows, notes = found.real["rows"], found.notes
    assert 0 < rows < FACES and any(note.startswith("2 of 12 parts of") for note in notes)
    (made / ".vae_batch" / "summary.json").unlink()
    with pytest.raises(OutputError, match="made is not finished; let `generate` go on with it first"):
        judge(made, encoded)


def changed(encoded: Path, to: Path, **more: Any) -> Path:
    """An encoded data set whose job file says something else."""
    shutil.copytree(encoded, to)
    layout = Layout.of(to)
    job = JobFile.load(layout)
    replace(job, **{name: {**getattr(job, name), **values} for name, values in more.items()}).save(layout)
    return to


def test_another_model_another_cut_or_another_size_is_refused(
    made: Path, model: Path, encoded: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        SpecError, match=r"theirs was encoded by the model with the digest 9+…, and .*two latent spaces"
    ):
        judge(made, changed(encoded, tmp_path / "theirs", model={"digest": "9" * 64}))
    cut = changed(encoded, tmp_path / "cut", fields={"transform.crop": "center:50"})
    with pytest.raises(SpecError, match=r"encoded0/out has crop center and .*cut has crop center:50"):
        judge(made, cut, train=encoded)
    large = changed(encoded, tmp_path / "large", fields={"transform.image_size": 64})
    with pytest.raises(SpecError, match=r"made has image_size 32 and .*large has image_size 64"):
        judge(made, large)
    shutil.copytree(model, tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, tmp_path / "other" / "model.safetensors")
    with pytest.raises(SpecError, match=r"other has the digest .*: give the model that made it with --model"):
        judge(made, encoded, model=tmp_path / "other")


def test_a_model_that_has_moved_is_found_where_one_says(made: Path, model: Path, encoded: Path, tmp_path: Path) -> None:
    file = made / ".vae_batch" / "job.json"
    file.write_text(file.read_text().replace(str(model), str(tmp_path / "gone")))
    with pytest.raises(vae_batch.VaeBatchError, match="gone"):
        judge(made, encoded)
    assert judge(made, encoded, model=model)[0].generated["rows"] == COUNT


def test_on_an_object_store(made: Path, encoded: Path, s3: S3) -> None:
    s3.put_tree(made, "faces/judged/made")
    s3.put_tree(encoded, "faces/judged/real")
    found, _ = judge(s3.uri("faces/judged/made"), s3.uri("faces/judged/real"))
    here, _ = judge(made, encoded)
    assert found.prdc == here.prdc and found.latent_frechet == here.latent_frechet
    told = json.loads(storage.read_bytes(s3.uri("faces/judged/made/.vae_batch/evaluation.json")))
    assert told["prdc"] == here.to_dict()["prdc"]
