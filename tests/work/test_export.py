"""Data sets in the formats of others, opened by those who read them; stopped, damaged, and on an object store."""

from __future__ import annotations

import errno
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import vae_batch
from tests.cluster.inline import replicas_here
from tests.conftest import FACES, spec
from tests.s3 import S3
from tests.work.test_predicted import made
from vae_batch import storage
from vae_batch.errors import MismatchError, OutputError, SpecError
from vae_batch.images import Transform
from vae_batch.models.resnet import ResNetConfig, ResNetVAE
from vae_batch.models.save import save_model
from vae_batch.work.export import destination, export
from vae_batch.work.export.data_set import open_data_set
from vae_batch.work.resample import resample

COUNT = 40
FORMATS = ("hf", "npy", "webdataset")
FRAMES = ("parquet", "webdataset", "folder")


@pytest.fixture(scope="module")
def generated(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same 40 images with their pictures in parts, tars and folders; not to be changed."""
    folder = tmp_path_factory.mktemp("generated")
    for name in FRAMES:
        made(folder / name, model, format=name)
    return {name: folder / name for name in FRAMES}


@pytest.fixture(scope="module")
def maps(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latents of shape (2, 4, 4), three draws of each, float16, with diagnostics; not to be changed."""
    folder = tmp_path_factory.mktemp("maps")
    torch.manual_seed(0)
    network = ResNetVAE(ResNetConfig(64, latent_dim=2, latent_grid=4, width=4))
    (folder / "model").mkdir()
    save_model(network, folder / "model", transform=Transform(64).to_dict())
    with pytest.MonkeyPatch.context() as patch:
        replicas_here(patch)
        source = faces / "faces-000000.tar"
        more = {"samples": 3, "store": "float16", "diagnostics": True, "replicas": 1, "sha256": True}
        vae_batch.encode(spec(source, folder / "model", folder / "out", **more))
    return folder / "out"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def rows(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "data").to_pylist()


def opened(folder: Path, cache: Path) -> datasets.Dataset:
    return datasets.load_dataset(str(folder), split="train", cache_dir=str(cache))


@pytest.mark.parametrize("frame", FRAMES)
def test_the_hubs_folder_shows_pictures(generated: dict[str, Path], tmp_path: Path, frame: str) -> None:
    export(str(generated[frame]), "hf", str(tmp_path / "hf"))
    read, whole = opened(tmp_path / "hf", tmp_path / "cache"), rows(generated["parquet"])
    assert isinstance(read.features["image"], datasets.Image) and len(read) == COUNT
    assert read.column_names == ["id", "index", "image", "latent", "seed"]
    for row, wanted in zip(read, whole, strict=True):
        with Image.open(io.BytesIO(wanted["image"]["bytes"])) as picture:
            assert picture.tobytes() == row["image"].tobytes()
        assert (row["id"], row["latent"]) == (wanted["id"], wanted["latent"])
    card = (tmp_path / "hf/README.md").read_text()
    assert "path: data/train-*.parquet" in card and "`data/train-*.parquet` hold the pictures" in card
    assert not any(word in card for word in ("shards/", "images/", str(tmp_path)))
    names = [file.name for file in sorted((tmp_path / "hf/data").iterdir())]
    assert names == [f"train-{n:05d}-of-00003.parquet" for n in range(3)]


def test_what_a_person_wrote_into_the_card_goes_along_and_stays(generated: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(generated["folder"], out)
    card = out / "README.md"
    card.write_text(card.read_text().replace("# license: none", "license: cc0-1.0 # none"))
    export(str(out), "hf", str(tmp_path / "hf"))
    text = (tmp_path / "hf/README.md").read_text()
    assert "\nlicense: cc0-1.0" in text and "path: data/train-*.parquet" in text
    (tmp_path / "hf/README.md").write_text(text + "Mine.\n")
    export(str(out), "hf", str(tmp_path / "hf"))
    assert (tmp_path / "hf/README.md").read_text() == text + "Mine.\n"


def test_the_hubs_folder_has_latents_in_their_shape(maps: Path, tmp_path: Path) -> None:
    export(str(maps), "hf", str(tmp_path / "maps"), shard_rows=15)
    whole = pq.read_table(maps / "data").to_pydict()
    read = opened(tmp_path / "maps", tmp_path / "cache")
    assert read["id"][:] == whole["id"] and len(read) == 40
    for name, shape in (("mean", (2, 4, 4)), ("variance", (2, 4, 4)), ("sample", (3, 2, 4, 4))):
        values = np.array(read.with_format("numpy")[:][name])
        assert np.array_equal(values, np.array(whole[name], np.float32).reshape(40, *shape))
    assert read.features["mean"].feature.feature.feature.dtype == "float16"
    assert read["smile"][:] == whole["smile"] and read["shard"][:] == whole["shard"]
    stretches = open_data_set(str(maps)).stretches(15)
    assert [s.stop - s.start for s in stretches] == [15, 5, 15, 5] and [s.first for s in stretches] == [0, 15, 20, 35]
    card = (tmp_path / "maps/README.md").read_text()
    assert "# Latents of 40 images" in card and "halffloat[3×2×4×4]" in card and "and 3 draws from it" in card
    assert str(maps.parent) not in card and "Licence: to be filled in" in card


def test_arrays_of_an_encoded_data_set(maps: Path, tmp_path: Path) -> None:
    export(str(maps), "npy", str(tmp_path / "npy"))
    whole = pq.read_table(maps / "data")
    arrays = {f.stem: np.load(f, mmap_mode="r", allow_pickle=False) for f in (tmp_path / "npy").glob("*.npy")}
    assert {name: (a.dtype.name, a.shape) for name, a in arrays.items() if name != "ids"} == {
        "mean": ("float16", (40, 2, 4, 4)),
        "variance": ("float32", (40, 2, 4, 4)),
        "sample": ("float16", (40, 3, 2, 4, 4)),
    }
    for name in ("mean", "variance", "sample"):
        assert np.array_equal(arrays[name].reshape(40, -1), np.array(whole[name].to_pylist()).reshape(40, -1))
    assert arrays["ids"].tolist() == whole["id"].to_pylist()
    others = pq.read_table(tmp_path / "npy/rows.parquet")
    assert others.column_names == [n for n in whole.column_names if n not in arrays]
    for name in others.column_names:
        assert others[name].to_pylist() == whole[name].to_pylist()
    meta = json.loads((tmp_path / "npy/meta.json").read_text())
    assert meta["rows"] == 40 and meta["arrays"]["mean.npy"] == {"dtype": "float16", "shape": [40, 2, 4, 4]}


@pytest.mark.parametrize("frame", FRAMES)
def test_arrays_of_a_generated_data_set(generated: dict[str, Path], tmp_path: Path, frame: str) -> None:
    export(str(generated[frame]), "npy", str(tmp_path / "npy"))
    images, latents = (np.load(tmp_path / "npy" / f"{name}.npy", allow_pickle=False) for name in ("images", "latent"))
    whole = rows(generated["parquet"])
    assert images.shape == (COUNT, 32, 32, 3) and latents.shape == (COUNT, 8)
    for at, row in enumerate(whole):
        with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
            assert np.array_equal(images[at], picture)
    assert np.array_equal(latents, np.array([row["latent"] for row in whole], np.float32))
    assert pq.read_table(tmp_path / "npy/rows.parquet").column_names == ["id", "index", "seed"]


def members(folder: Path) -> Iterator[tuple[str, bytes]]:
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
                file = tar.extractfile(member)
                assert file is not None
                yield member.name, file.read()


def test_tars_of_an_encoded_data_set(maps: Path, tmp_path: Path) -> None:
    export(str(maps), "webdataset", str(tmp_path / "wds"), shard_rows=7)
    whole = rows(maps)
    found = list(members(tmp_path / "wds"))
    wanted = [f"{at:09d}.{name}" for at in range(40) for name in ("json", "mean.npy", "variance.npy", "sample.npy")]
    assert [name for name, _ in found] == wanted
    for at in (0, 19, 20, 39):
        said, mean, _, sample = (data for _, data in found[4 * at : 4 * at + 4])
        assert json.loads(said) == {k: v for k, v in whole[at].items() if k not in ("mean", "variance", "sample")}
        assert np.array_equal(np.load(io.BytesIO(mean)).ravel(), np.array(whole[at]["mean"]).ravel())
        assert np.load(io.BytesIO(sample)).shape == (3, 2, 4, 4)
    read = opened(tmp_path / "wds", tmp_path / "cache")
    assert len(read) == 40 and np.array_equal(read[5]["mean.npy"], np.array(whole[5]["mean"]).reshape(2, 4, 4))


@pytest.mark.parametrize("frame", FRAMES)
def test_tars_of_a_generated_data_set_are_a_source(
    generated: dict[str, Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: str
) -> None:
    export(str(generated[frame]), "webdataset", str(tmp_path / "wds"))
    found = dict(members(tmp_path / "wds"))
    for row in rows(generated["parquet"]):
        assert found[row["image"]["path"]] == row["image"]["bytes"]
        assert json.loads(found[f"{row['id']}.json"]) == {"index": row["index"], "seed": 0}
        assert np.load(io.BytesIO(found[f"{row['id']}.latent.npy"])).tolist() == pytest.approx(row["latent"], abs=0)
    replicas_here(monkeypatch)
    summary = vae_batch.encode(spec(tmp_path / "wds", model, tmp_path / "again", replicas=1))
    assert (summary.rows, summary.rejects, summary.skipped) == (
        COUNT,
        0,
        COUNT + 1,
    )  # arrays, and the note of the export
    assert sorted(row["index"] for row in rows(tmp_path / "again")) == list(range(COUNT))


@pytest.mark.parametrize("to", FORMATS)
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(
    generated: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any
) -> None:
    out, whole = str(generated["webdataset"]), tmp_path / "whole"
    export(out, to, str(whole), shard_rows=None)
    publish, room = storage.publish, iter([True, False, True, False, *[True] * 20])

    def stopping(*arguments: Any) -> None:
        if not next(room):
            raise OSError(errno.ENOSPC, "the disk is full")
        publish(*arguments)

    monkeypatch.setattr(storage, "publish", stopping)
    for _ in range(2 if to == "npy" else 1):
        with pytest.raises(OSError, match="the disk is full"):
            export(out, to, str(tmp_path / "half"))
        assert not list((tmp_path / "half/.vae_batch/tmp").iterdir())
        assert not (tmp_path / "half/meta.json").exists() and not (tmp_path / "half/README.md").exists()
    lines = list[str]()
    room = iter([True] * 20)
    export(out, to, str(tmp_path / "half"), say=lines.append)
    assert tree(tmp_path / "half") == tree(whole)
    export(out, to, str(tmp_path / "half"), say=lines.append)
    assert lines[2].startswith("0 of ") and tree(tmp_path / "half") == tree(whole)


def test_another_export_or_something_else_in_the_folder_is_refused(
    generated: dict[str, Path], encoded: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "x", str(generated["parquet"])
    export(out, "webdataset", str(folder))
    before = tree(folder)
    with pytest.raises(MismatchError, match="\n  format: webdataset there, hf asked for"):
        export(out, "hf", str(folder))
    with pytest.raises(MismatchError, match="\n  data_set: "):
        export(str(encoded), "webdataset", str(folder))
    with pytest.raises(MismatchError, match="\n  shard_rows: None there, 5 asked for"):
        export(out, "webdataset", str(folder), shard_rows=5)
    assert tree(folder) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    for where, message in (("mine", "is not empty, and no export"), ("mine/file", "is a file")):
        with pytest.raises(OutputError, match=message):
            export(out, "npy", str(tmp_path / where))
    with pytest.raises(OutputError, match="lies in the data set that is exported"):
        export(out, "npy", f"{out}/arrays")
    with pytest.raises(SpecError, match="npy has one file for each column"):
        export(out, "npy", str(tmp_path / "y"), shard_rows=5)
    assert not (tmp_path / "y").exists()


def test_an_unfinished_data_set_is_refused_unless_asked_for(encoded: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(encoded, half)
    (half / "data/part-000003.parquet").unlink()
    with pytest.raises(OutputError, match="is not finished: 11 of 12 parts are there"):
        export(str(half), "npy", str(tmp_path / "npy"))
    assert export(str(half), "npy", str(tmp_path / "npy"), partial=True) == FACES - 20
    assert len(np.load(tmp_path / "npy/mean.npy")) == FACES - 20
    with pytest.raises(OutputError, match="is no output of vae_batch"):
        export(str(tmp_path / "npy"), "hf", str(tmp_path / "again"))


@pytest.mark.parametrize("to", FORMATS)
def test_a_picture_that_was_changed_is_found(generated: dict[str, Path], tmp_path: Path, to: Any) -> None:
    out = tmp_path / "out"
    shutil.copytree(generated["folder"], out)
    picture = out / "images/000001-000/000000020.png"
    picture.write_bytes(picture.read_bytes()[:-1] + b"x")
    with pytest.raises(OutputError, match=r"000000020.png: its content is not what the part says"):
        export(str(out), to, str(tmp_path / "x"))
    picture.unlink()
    with pytest.raises(OutputError, match=r"000000020.png is gone"):
        export(str(out), to, str(tmp_path / "x"))


def test_draws_that_were_made_anew(encoded: Path, tmp_path: Path) -> None:
    resample(str(encoded), str(tmp_path / "three"), 3)
    export(str(tmp_path / "three"), "npy", str(tmp_path / "npy"))
    wanted = vae_batch.read_latents(tmp_path / "three").array("sample")
    assert np.array_equal(np.load(tmp_path / "npy/sample.npy"), wanted) and wanted.shape == (FACES, 3, 8)


@pytest.mark.parametrize("to", FORMATS)
def test_on_an_object_store(
    generated: dict[str, Path], tmp_path: Path, s3: S3, to: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_tree(generated["webdataset"], "faces/exported/out")
    export(str(generated["webdataset"]), to, str(tmp_path / "here"))
    folder = s3.uri(f"faces/exported/{to}")
    monkeypatch.setattr(destination, "PAUSES", (0.0,) * 9)
    s3.fail_every(25)
    export(s3.uri("faces/exported/out"), to, folder)
    assert s3.failed
    for name, data in tree(tmp_path / "here").items():
        assert storage.read_bytes(storage.join(folder, name)) == data, name
    lines: list[str] = []
    export(s3.uri("faces/exported/out"), to, folder, say=lines.append)
    assert lines[0].startswith("0 of ")


def test_the_command_needs_neither_ray_nor_torch(encoded: Path, tmp_path: Path) -> None:
    code = "import sys; from vae_batch.cli import group; group.main(sys.argv[1:], standalone_mode=False); "
    code += "print(sorted({'ray', 'torch'} & set(sys.modules)))"
    command = [sys.executable, "-c", code, "export", str(encoded), "--to", "hf", "--out", str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"Done: {FACES} rows in 12 files" in done.stderr and done.stdout.splitlines()[-1] == "[]"
