"""Images from latents that there are: fitted densities, draws around encoded images, a user's own; on real Ray."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vae_batch
from tests.cluster.test_encode import Lines
from tests.cluster.test_generate import generate_spec, pixels, rows
from tests.conftest import FACES, snapshot, spec
from tests.s3 import S3
from vae_batch.cluster.generate import generate
from vae_batch.cluster.verify import verify_by_recomputing
from vae_batch.errors import MismatchError, SpecError
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.read import open_parts
from vae_batch.samplers import AttributeVector, Density, Traverse, read_fit
from vae_batch.work.generate_job import open_generate, prepare_generate


@pytest.fixture(scope="module")
def fitted(ray_session: None, model: Path, encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images from three Gaussians; not to be changed."""
    out = tmp_path_factory.mktemp("fitted") / "out"
    vae_batch.generate(fitted_spec(model, encoded, out))
    return out


def fitted_spec(model: Path, encoded: Path, out: Path, **more: Any) -> vae_batch.GenerateSpec:
    values = {"count": 60, "sampler": "fitted", "latents": str(encoded), "components": 3, **more}
    return generate_spec(model, out, **values)


def from_data(model: Path, latents: Path, out: Path, sampler: str, **more: Any) -> vae_batch.GenerateSpec:
    return generate_spec(model, out, **{"count": None, "sampler": sampler, "latents": str(latents), **more})


def fit_file(out: Path) -> Path:
    return out / ".vae_batch" / JobFile.load(Layout.of(out)).source["fit"]


def test_fitted_rows_say_their_component_and_the_fit_is_kept(fitted: Path, encoded: Path) -> None:
    found = rows(fitted)
    density, digest = read_fit(Density, str(fit_file(fitted)))
    assert len(found) == 60 and {row["component"] for row in found} == {0, 1, 2}
    assert density.means.shape == (3, 8) and fit_file(fitted).name == f"fit-{digest[:16]}.safetensors"
    assert density.facts["rows"] == FACES and density.facts["latents"] == str(encoded)
    assert verify_by_recomputing(str(fitted), 1).ok


def test_killed_while_it_fits_or_later_it_goes_on_with_the_fit_that_is_there(
    fitted: Path, encoded: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    vae_batch.generate(fitted_spec(model, encoded, out, units="0:1"))
    monkeypatch.setattr("vae_batch.work.origin.fit", pytest.fail)
    stray = out / ".vae_batch" / "fit-0123456789abcdef.safetensors"
    stray.write_bytes(b"left by a killed attempt")
    vae_batch.generate(fitted_spec(model, encoded, out))
    assert snapshot(out) == snapshot(fitted) and not stray.exists()
    assert fit_file(out).read_bytes() == fit_file(fitted).read_bytes()


def test_a_larger_count_is_of_the_same_fit(
    fitted: Path, encoded: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(fitted, out)
    monkeypatch.setattr("vae_batch.work.origin.fit", pytest.fail)
    vae_batch.generate(fitted_spec(model, encoded, out, count=70))
    assert rows(out)[:60] == rows(fitted) and len(rows(out)) == 70 and fit_file(out).exists()


def test_a_fit_can_be_given_again(fitted: Path, model: Path, tmp_path: Path) -> None:
    fit, out = fit_file(fitted), tmp_path / "out"
    vae_batch.generate(generate_spec(model, out, count=60, sampler="fitted", fit=str(fit)))
    assert rows(out) == rows(fitted)
    assert fit_file(out).read_bytes() == fit.read_bytes()


@pytest.mark.parametrize(("more", "field"), [({"components": 2}, "components"), ({"where": "row < 9"}, "where")])
def test_another_fit_is_another_job(fitted: Path, encoded: Path, model: Path, more: dict[str, Any], field: str) -> None:
    with pytest.raises(MismatchError, match=f"\n  {field} "):
        vae_batch.generate(fitted_spec(model, encoded, fitted, **more))


def test_posterior_draws_are_those_that_encode_stores(
    ray_session: None, faces: Path, model: Path, tmp_path: Path
) -> None:
    """With the seed of the encoding, to the bit; where --where chose some, those."""
    vae_batch.encode(spec(faces, model, tmp_path / "latents", samples=3, seed=5))
    stored = pq.read_table(tmp_path / "latents" / "data").to_pylist()
    report = Lines()
    generate(from_data(model, tmp_path / "latents", tmp_path / "all", "posterior", draws=3), report)
    found = rows(tmp_path / "all")
    assert [(row["source_id"], row["draw"]) for row in found] == [(row["id"], k) for row in stored for k in range(3)]
    assert [row["latent"] for row in found] == [draw for row in stored for draw in row["sample"]]
    wanted = [row for row in stored if row["glasses"] and not row["beard"] > 0.5]
    where = {"where": "glasses AND NOT beard > 0.5"}
    generate(from_data(model, tmp_path / "latents", tmp_path / "some", "posterior", draws=3, **where), report)
    assert 0 < len(wanted) < FACES and f"--where: {len(wanted)} of {FACES} rows" in report.text
    chosen = rows(tmp_path / "some")
    assert [row["latent"] for row in chosen] == [draw for row in wanted for draw in row["sample"]]
    assert [row["source_id"] for row in chosen] == [row["id"] for row in wanted for _ in range(3)]


def test_reconstructions_are_those_of_the_means_and_a_count_limits_them(
    encoded: Path, model: Path, tmp_path: Path
) -> None:
    stored = pq.read_table(encoded / "data").to_pylist()
    out = tmp_path / "out"
    vae_batch.generate(from_data(model, encoded, out, "reconstruct", count=30))
    assert [(row["source_id"], row["latent"]) for row in rows(out)] == [(r["id"], r["mean"]) for r in stored[:30]]
    vae_batch.generate(from_data(model, encoded, out, "reconstruct"))
    found = rows(out)
    assert [(row["source_id"], row["latent"]) for row in found] == [(r["id"], r["mean"]) for r in stored]
    vae_batch.generate(from_data(model, encoded, tmp_path / "two", "reconstruct", indices="239,7"))
    assert rows(tmp_path / "two") == [found[7], found[239]]
    assert verify_by_recomputing(str(out), 2).ok
    with pytest.raises(SpecError, match="--count 241: the sampler reconstruct makes 240 images"):
        vae_batch.generate(from_data(model, encoded, tmp_path / "three", "reconstruct", count=241))


def test_given_latents_are_decoded_as_they_are(encoded: Path, model: Path, tmp_path: Path) -> None:
    """The means, in two files of a folder, give the pictures of `reconstruct`."""
    mean = pq.read_table(encoded / "data", columns=["mean"])["mean"].to_pylist()[:50]
    (tmp_path / "mine").mkdir()
    for name, some in (("b", mean[20:]), ("a", mean[:20])):
        table = pa.table({"z": pa.array(some, pa.list_(pa.float64()))})
        pq.write_table(table, tmp_path / "mine" / f"{name}.parquet", row_group_size=7)
    vae_batch.generate(from_data(model, tmp_path / "mine", tmp_path / "given", "given", latent_column="z"))
    vae_batch.generate(from_data(model, encoded, tmp_path / "wanted", "reconstruct", count=50))
    found, wanted = rows(tmp_path / "given"), rows(tmp_path / "wanted")
    assert [row["source_row"] for row in found] == list(range(50))
    assert all(np.array_equal(pixels(a), pixels(b)) for a, b in zip(found, wanted, strict=True))
    assert [row["latent"] for row in found] == [row["latent"] for row in wanted]


def test_a_generated_data_set_is_a_source_of_given_latents(fitted: Path, model: Path, tmp_path: Path) -> None:
    vae_batch.generate(from_data(model, fitted / "data", tmp_path / "again", "given"))
    assert [r["image"]["bytes"] for r in rows(tmp_path / "again")] == [r["image"]["bytes"] for r in rows(fitted)]


def test_latents_of_another_model_are_refused(encoded: Path, fitted: Path, tmp_path: Path) -> None:
    import torch

    from vae_batch.models.conv import ConvConfig, ConvVAE
    from vae_batch.models.save import save_model

    torch.manual_seed(1)
    save_model(ConvVAE(ConvConfig(image_size=32, latent_dim=8, width=8)), tmp_path / "other")
    digest = json.loads((encoded / ".vae_batch" / "job.json").read_text())["model"]["digest"]
    with pytest.raises(SpecError, match=f"was encoded by the model with the digest {digest[:16]}.*--model .*other has"):
        vae_batch.generate(from_data(tmp_path / "other", encoded, tmp_path / "out", "reconstruct"))
    with pytest.raises(SpecError, match="was made of latents of the model with the digest"):
        vae_batch.generate(
            generate_spec(tmp_path / "other", tmp_path / "out", count=3, sampler="fitted", fit=str(fit_file(fitted)))
        )


def test_where_that_chooses_nothing_or_is_wrong_names_the_columns(encoded: Path, model: Path, tmp_path: Path) -> None:
    for where, message in [
        ("row < 0", "chooses none of the 240 rows"),
        ("Smiling AND NOT Male", 'column "Smiling" not found'),
        ("row <", "syntax error"),
        ("avg(kl) > 3", "gives 1 answers for 240 rows"),
    ]:
        with pytest.raises(SpecError, match=message) as caught:
            vae_batch.generate(from_data(model, encoded, tmp_path / "out", "reconstruct", where=where))
        assert "glasses" in str(caught.value) or "kl > (select" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_replicas_do_not_matter_to_latents_of_a_data_set(encoded: Path, model: Path, tmp_path: Path) -> None:
    for replicas in (1, 2):
        more = {"where": "row % 3 = 0", "draws": 2, "replicas": replicas}
        vae_batch.generate(from_data(model, encoded, tmp_path / str(replicas), "posterior", **more))
    assert snapshot(tmp_path / "1") == snapshot(tmp_path / "2")


def test_all_of_it_on_an_object_store_that_fails_now_and_then(
    s3: S3, encoded: Path, fitted: Path, model: Path, tmp_path: Path
) -> None:
    s3.put_tree(encoded, "faces/made/latents")
    s3.put_tree(fitted / "data", "faces/made/mine")
    s3.fail_every(40)
    latents, where = s3.uri("faces/made/latents"), {"where": "row % 2 = 0"}
    vae_batch.generate(from_data(model, latents, s3.uri("faces/made/posterior"), "posterior", **where))
    vae_batch.generate(fitted_spec(model, latents, s3.uri("faces/made/fitted")))
    vae_batch.generate(from_data(model, s3.uri("faces/made/mine"), s3.uri("faces/made/given"), "given"))
    one = s3.uri("faces/made/mine/part-000001.parquet")
    vae_batch.generate(from_data(model, one, tmp_path / "one", "given"))
    s3.heal()
    vae_batch.generate(from_data(model, encoded, tmp_path / "posterior", "posterior", **where))
    assert there(s3.uri("faces/made/posterior")) == rows(tmp_path / "posterior")
    wanted = rows(fitted)
    assert [r["component"] for r in there(s3.uri("faces/made/fitted"))] == [r["component"] for r in wanted]
    assert [r["image"] for r in there(s3.uri("faces/made/given"))] == [r["image"] for r in wanted]
    assert [r["latent"] for r in rows(tmp_path / "one")] == [r["latent"] for r in wanted[25:50]]


def there(out: str) -> list[dict[str, Any]]:
    layout = Layout.of(out)
    return open_parts(layout, sorted(layout.parts()[0])).to_table().to_pylist()


EDIT = {"sampler": "edit", "attribute": "glasses", "balance": "beard,smile", "strength": "0,1.5", "count": 40}
NEW = {
    "interpolate": {
        "sampler": "interpolate",
        "path": "slerp",
        "across": "glasses",
        "where": "beard > 0.2",
        "count": 40,
    },
    "traverse": {"sampler": "traverse", "dimensions": "3,1", "where": "glasses"},
    "grid": {"sampler": "grid", "dimensions": "3,1", "steps": 4, "around": "faces-000001.tar/000000050.jpg"},
    "edit": EDIT,
}


@pytest.mark.parametrize("name", NEW)
def test_interrupted_it_goes_on_to_the_same_bytes_and_nothing_is_worked_out_again(
    encoded: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    more = {**NEW[name], "unit_size": 10}
    vae_batch.generate(from_data(model, encoded, tmp_path / "whole", **more, replicas=1))
    vae_batch.generate(from_data(model, encoded, tmp_path / "out", **more, units="0:1"))
    monkeypatch.setattr("vae_batch.work.axes_origin.mean_and_active", pytest.fail)
    monkeypatch.setattr("vae_batch.work.edit_origin.condition", pytest.fail)
    monkeypatch.setattr("vae_batch.work.edit_origin.attribute_vector", pytest.fail)
    report = Lines()
    generate(from_data(model, encoded, tmp_path / "out", **more), report)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole") and "1 of" in report.text
    assert (tmp_path / "out" / "README.md").read_bytes() == (tmp_path / "whole" / "README.md").read_bytes()
    assert verify_by_recomputing(str(tmp_path / "out"), 1).ok
    assert f"(sampler `{name}`)" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("interpolate", {"path": "lerp"}),
        ("traverse", {"reach": 2.0}),
        ("grid", {"around": None}),
        ("edit", {"balance": ""}),
    ],
)
def test_another_question_is_another_job(
    encoded: Path, model: Path, tmp_path: Path, name: str, other: dict[str, Any]
) -> None:
    prepared = prepare_generate(from_data(model, encoded, tmp_path, **NEW[name]))
    open_generate(prepared)
    with pytest.raises(MismatchError, match=f"\n  {next(iter(other))} "):
        prepare_generate(from_data(model, encoded, tmp_path, **{**NEW[name], **other}))


def test_edits_are_of_the_vector_that_is_kept_and_that_may_be_given_again(
    encoded: Path, model: Path, tmp_path: Path
) -> None:
    """Learnt from all rows, whichever are edited; given, it is added to the faces of any set of the model."""
    report = Lines()
    generate(from_data(model, encoded, tmp_path / "out", **EDIT, where="NOT glasses"), report)
    vector, _ = read_fit(AttributeVector, str(fit_file(tmp_path / "out")))
    stored = pq.read_table(encoded / "data").to_pylist()
    lacking = [row for row in stored if not row["glasses"]]
    assert "Vector of glasses, balanced for beard, smile: " in report.text
    assert (vector.facts["with"], vector.facts["without"]) == (FACES - len(lacking), len(lacking))
    for i, row in enumerate(rows(tmp_path / "out")):
        face, strength = lacking[i // 2], (0.0, 1.5)[i % 2]
        assert (row["source_id"], row["attribute"], row["strength"]) == (face["id"], "glasses", strength)
        assert row["latent"] == (np.array(face["mean"]) + strength * vector.vector).astype(np.float32).tolist()
    again = {"sampler": "edit", "fit": str(fit_file(tmp_path / "out")), "strength": "0,1.5", "count": 40}
    vae_batch.generate(from_data(model, encoded, tmp_path / "again", **again, where="NOT glasses"))
    assert rows(tmp_path / "again") == rows(tmp_path / "out")


def test_a_traversal_finds_its_dimensions_and_a_grid_needs_no_latents(
    encoded: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traverse = {"sampler": "traverse", "steps": 2}
    mean = np.array(pq.read_table(encoded / "data", columns=["mean"])["mean"].to_pylist(), float)
    least = float(np.sort(mean.var(0))[3]) * (1 - 1e-9)
    monkeypatch.setattr("vae_batch.samplers.centre.ACTIVE_THRESHOLD", least)
    sampler = prepare_generate(from_data(model, encoded, tmp_path / "out", **traverse)).origin.sampler
    assert isinstance(sampler, Traverse) and sampler.total == 10
    assert set(sampler.dimensions) == set(np.flatnonzero(mean.var(0) >= least).tolist())
    monkeypatch.setattr("vae_batch.samplers.centre.ACTIVE_THRESHOLD", 99.0)
    with pytest.raises(SpecError, match="See for yourself with --dimensions 0,1"):
        prepare_generate(from_data(model, encoded, tmp_path / "out", **traverse))
    grid = {"sampler": "grid", "steps": 3, "dimensions": "7,0", "count": None}
    vae_batch.generate(generate_spec(model, tmp_path / "grid", **grid))
    found = np.array([row["latent"] for row in rows(tmp_path / "grid")])
    assert found.shape == (9, 8) and not found[:, 1:7].any() and not found[4].any()
    assert np.array_equal(found[:, 7].reshape(3, 3), found[:, 0].reshape(3, 3).T)
    assert "all else as in the prior's mean, 0" in (tmp_path / "grid" / "README.md").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"sampler": "edit", "attribute": "glases"}, "--attribute 'glases': .*\"glases\" not found"),
        ({"sampler": "edit", "attribute": "glasses", "balance": "id"}, "--balance id: .* no such column of bools"),
        ({"sampler": "edit", "attribute": "glasses", "balance": "glasses"}, "--balance glasses: that is the attribute"),
        ({"sampler": "traverse", "dimensions": "3,8"}, "there is no dimension 8, latents have 8 numbers, from 0"),
        ({"sampler": "traverse", "dimensions": "3", "around": "me.jpg"}, "--around: .* has no row with the id.*me.jpg"),
        ({"sampler": "grid"}, "a grid is over two dimensions, and latents have 8: name two"),
        ({"sampler": "grid", "dimensions": "0,1", "count": 50}, "--count 50: the sampler grid makes 49 images"),
        ({"sampler": "interpolate", "where": "row = 3 and shard like '%0.tar'", "count": 9}, "one row counts"),
        ({"sampler": "interpolate", "across": "smile > 2", "count": 9}, "--across 'smile > 2' is true for none"),
        ({"sampler": "interpolate", "pairs": "none.csv"}, "--pairs .*none.csv: there is no such file"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_written(
    encoded: Path, model: Path, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        prepare_generate(from_data(model, encoded, tmp_path / "out", **more))
    assert not (tmp_path / "out").exists()
