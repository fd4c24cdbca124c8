"""Generated pictures beside their parts, in tars and in folders; the card; and the way back into `encode`."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import duckdb
import polars
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

import vae_batch
from tests.cluster.test_generate import COUNT, generate_spec
from tests.s3 import S3
from vae_batch import storage
from vae_batch.cluster.verify import verify_by_recomputing
from vae_batch.errors import MismatchError
from vae_batch.latents import pictures
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.summary import Summary
from vae_batch.work.generate_card import card_text
from vae_batch.work.outlets import outlet

BESIDE = ("webdataset", "folder")


@pytest.fixture(scope="module")
def formats(ray_session: None, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same 90 images in each format; not to be changed."""
    folder = tmp_path_factory.mktemp("formats")
    for name in ("parquet", *BESIDE):
        vae_batch.generate(generate_spec(model, folder / name, format=name))
    return {name: folder / name for name in ("parquet", *BESIDE)}


def tree(out: Path) -> dict[str, bytes]:
    """The bytes of all files that are no state."""
    files = [file for file in sorted(out.rglob("*")) if file.is_file() and ".vae_batch" not in file.parts]
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def rows(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "data").to_pylist()


@pytest.mark.parametrize("name", BESIDE)
def test_the_parts_are_an_index_of_the_same_pictures(formats: dict[str, Path], name: str) -> None:
    out, whole = formats[name], rows(formats["parquet"])
    table = pq.read_table(out / "data")
    assert table.schema.names == ["id", "index", "latent", "seed", "file", "sha256"]
    for row, same in zip(table.to_pylist(), whole, strict=True):
        image = same.pop("image")
        assert {key: row[key] for key in same} == same
        assert row["sha256"] == storage.bytes_sha256(image["bytes"])
    files = str(out / "data" / "*.parquet")
    assert duckdb.sql(f"select count(*), max(index) from '{files}'").fetchall() == [(COUNT, COUNT - 1)]
    assert polars.scan_parquet(files).select("file").collect().n_unique() == COUNT
    assert vae_batch.verify(str(out)).ok
    assert verify_by_recomputing(str(out), 2).ok


def test_tars_hold_picture_and_json_by_turns_and_nothing_of_the_day(formats: dict[str, Path]) -> None:
    out, whole = formats["webdataset"], rows(formats["parquet"])
    shards = sorted((out / "shards").iterdir())
    assert [shard.name for shard in shards] == [f"shard-{unit:06d}.tar" for unit in range(4)]
    members = []
    for shard in shards:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
                file = archive.extractfile(member)
                assert file is not None
                members.append((member.name, file.read()))
    assert [name for name, _ in members[::2]] == [row["image"]["path"] for row in whole]
    assert [data for _, data in members[::2]] == [row["image"]["bytes"] for row in whole]
    assert [json.loads(data) for _, data in members[1::2]] == [{"index": i, "seed": 5} for i in range(COUNT)]


def test_folders_have_their_metadata(ray_session: None, model: Path, tmp_path: Path, formats: dict[str, Path]) -> None:
    whole = rows(formats["parquet"])
    found = []
    for folder in sorted((formats["folder"] / "images").iterdir()):
        with (folder / "metadata.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert {file.name for file in folder.iterdir()} == {"metadata.csv", *(line["file_name"] for line in lines)}
        found += [(int(line["index"]), line["seed"], (folder / line["file_name"]).read_bytes()) for line in lines]
    assert found == [(row["index"], "5", row["image"]["bytes"]) for row in whole]


def test_a_folder_has_so_many_pictures_at_most(model: Path, tmp_path: Path, ray_session: None) -> None:
    """A unit of 2,100 images is three subfolders, whatever the batches."""
    out = tmp_path / "out"
    vae_batch.generate(generate_spec(model, out, format="folder", count=2100, unit_size=2100, codec="jpeg"))
    sizes = {folder.name: len(list(folder.glob("*.jpeg"))) for folder in (out / "images").iterdir()}
    assert sizes == {"000000-000": 1000, "000000-001": 1000, "000000-002": 100}
    for folder in (out / "images").iterdir():
        assert len((folder / "metadata.csv").read_text().splitlines()) == sizes[folder.name] + 1
    assert vae_batch.verify(str(out)).ok


@pytest.mark.parametrize("name", ["parquet", *BESIDE])
def test_datasets_opens_it_by_its_card(formats: dict[str, Path], tmp_path: Path, name: str) -> None:
    read = datasets.load_dataset(str(formats[name]), split="train", cache_dir=str(tmp_path))
    image = "png" if name == "webdataset" else "image"
    assert len(read) == COUNT and isinstance(read.features[image], datasets.Image)
    whole = rows(formats["parquet"])
    by_index = {(row["json"] if name == "webdataset" else row)["index"]: row for row in read}
    for i in (0, 31, 89):
        with Image.open(io.BytesIO(whole[i]["image"]["bytes"])) as picture:
            assert picture.tobytes() == by_index[i][image].tobytes()


@pytest.mark.parametrize("name", ["parquet", *BESIDE])
def test_the_card_says_what_it_is(formats: dict[str, Path], model: Path, tmp_path: Path, name: str) -> None:
    text = (formats[name] / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert "synthetic" in front["tags"] and "license" not in front and front["size_categories"] == ["n<1K"]
    assert "Licence: to be filled in" in text and f"| images | {COUNT} |" in text
    assert vae_batch.load_model(str(model)).card.digest in text
    assert str(model) not in text and str(formats[name]) not in text  # no paths of this machine
    said = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    vae_batch.generate(vae_batch.GenerateSpec(**{**said, "model": str(model), "out": str(tmp_path / "again")}))
    assert tree(tmp_path / "again") == tree(formats[name])


def test_a_card_is_there_only_when_all_is_and_what_a_person_wrote_stays(
    ray_session: None, model: Path, tmp_path: Path
) -> None:
    out, card = tmp_path / "out", tmp_path / "out" / "README.md"
    vae_batch.generate(generate_spec(model, out, units=":2"))
    assert not card.exists()
    vae_batch.generate(generate_spec(model, out))
    assert f"| images | {COUNT} |" in card.read_text() and vae_batch.verify(str(out)).ok
    card.write_text(card.read_text().replace("# license: none", "license: cc0-1.0 # none"))
    vae_batch.generate(generate_spec(model, out))
    assert "license: cc0-1.0" in card.read_text()
    vae_batch.generate(generate_spec(model, out, count=120, units=":4"))
    assert not card.exists()
    vae_batch.generate(generate_spec(model, out, count=120))
    assert "| images | 120 |" in card.read_text()


def test_the_card_names_the_training_images_where_the_model_does(formats: dict[str, Path]) -> None:
    layout = Layout.of(formats["parquet"])
    job, summary = JobFile.load(layout), Summary.load(layout)
    assert summary is not None and "| training images | not said by the model |" in card_text(job, summary)
    trained = {"spec": {"source": "s3://bucket/faces?endpoint_override=host:1"}, "source_sha256": "ab" * 32}
    told = card_text(replace(job, model={**job.model, "extra": {"training": trained}}), summary)
    assert "| training images | `s3://bucket/faces` |" in told and "ab" * 32 in told and "host:1" not in told


@pytest.mark.parametrize("name", BESIDE)
def test_a_larger_count_keeps_what_is_there(formats: dict[str, Path], model: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    vae_batch.generate(generate_spec(model, out, format=name, count=50))
    before = {path: data for path, data in tree(out).items() if path != "README.md"}
    vae_batch.generate(generate_spec(model, out, format=name))
    after = tree(out)
    assert {path: after[path] for path in before} == before
    assert [row["sha256"] for row in rows(out)] == [row["sha256"] for row in rows(formats[name])]
    with pytest.raises(MismatchError, match="\n  format "):
        vae_batch.generate(generate_spec(model, out))


def damage_of(name: str, out: Path) -> list[tuple[str, Any, str]]:
    """Ways to spoil a data set: what is touched, how, and what is said of it."""

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[600] ^= 1
        path.write_bytes(data)

    if name == "webdataset":
        tar = "shards/shard-000001.tar"
        return [(tar, flip, f"{tar}: its content"), (tar, Path.unlink, f"{tar}: cannot be read")]
    picture, table = "images/000001-000/000000030.png", "images/000001-000/metadata.csv"
    return [
        (picture, lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), f"{picture}: its content"),
        (picture, Path.unlink, f"{picture}: cannot be read"),
        (table, lambda path: path.write_text(path.read_text() + "x.png,1,1\n"), f"{table}: its content"),
    ]


@pytest.mark.parametrize("name", BESIDE)
def test_verify_looks_at_the_pictures(formats: dict[str, Path], tmp_path: Path, name: str) -> None:
    for number, (path, spoil, said) in enumerate(damage_of(name, formats[name])):
        out = tmp_path / str(number)
        shutil.copytree(formats[name], out)
        spoil(out / path)
        findings = vae_batch.verify(str(out)).findings
        assert any(f"part-000001.parquet: {said}" in finding for finding in findings), findings


@pytest.mark.parametrize("name", BESIDE)
def test_what_a_killed_attempt_left_is_written_over(
    formats: dict[str, Path], model: Path, tmp_path: Path, name: str
) -> None:
    """Killed between the pictures and the part, or while it wrote the pictures."""
    out = tmp_path / "out"
    shutil.copytree(formats[name], out)
    (out / "data/part-000001.parquet").unlink()
    (out / ".vae_batch/summary.json").unlink()
    for path in [path for path in tree(out) if "/000001-" in path or "shard-000001" in path][::3]:
        (out / path).write_bytes(b"of no part")
    vae_batch.generate(generate_spec(model, out, format=name))
    assert tree(out) == tree(formats[name]) and vae_batch.verify(str(out)).ok


@pytest.mark.parametrize("name", BESIDE)
def test_killed_it_goes_on_to_the_same_bytes(formats: dict[str, Path], model: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    command = [str(Path(sys.executable).parent / "vae-batch"), "generate", "--model", str(model), "--out", str(out)]
    command = [sys.executable, "-c", "from vae_batch.cli import main; main()", *command[1:]]
    command += ["--count", str(COUNT), "--unit-size", "25", "--format", name]
    command += ["--batch-size", "16", "--replicas", "1", "--seed", "5", "--address", "local"]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    beside = out / ("shards" if name == "webdataset" else "images")
    end = time.monotonic() + 120
    while time.monotonic() < end and not beside.exists():
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not (out / "README.md").exists()
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert tree(out) == tree(formats[name]) and vae_batch.verify(str(out)).ok


@pytest.mark.parametrize("name", BESIDE)
def test_on_an_object_store(formats: dict[str, Path], model: Path, name: str, s3: S3, ray_session: None) -> None:
    s3.put_tree(model, "faces/model")
    out = s3.uri(f"faces/made/{name}")
    s3.fail_every(15)
    vae_batch.generate(generate_spec(model, out, format=name))
    assert s3.failed
    s3.heal()
    for path, data in tree(formats[name]).items():
        assert storage.read_bytes(storage.join(out, path)) == data, path
    assert vae_batch.verify(out).ok


@pytest.mark.parametrize(
    ("name", "folder", "labels"),
    [("parquet", "data", []), ("webdataset", "shards", []), ("folder", "images", ["data"])],
)
def test_a_generated_data_set_is_a_source(
    formats: dict[str, Path], model: Path, tmp_path: Path, name: str, folder: str, labels: list[str]
) -> None:
    out = formats[name]
    given = [str(out / one) for one in labels]
    spec = vae_batch.EncodeSpec(
        source=str(out / folder), model=str(model), out=str(tmp_path / "e"), labels=given, batch_size=16, unit_size=1000
    )
    vae_batch.encode(spec)
    read = pq.read_table(tmp_path / "e/data").to_pylist()
    assert sorted(row["index"] for row in read) == list(range(COUNT)) and {row["seed"] for row in read} == {5}
    assert all(int(Path(row["id"]).stem) == row["index"] for row in read)
    assert vae_batch.verify(tmp_path / "e").ok
    table = pq.read_table(tmp_path / "e/data")
    assert ("latent" in table.column_names) == (name == "folder")


def test_numbers_of_a_sampler_arrive_as_numbers(tmp_path: Path) -> None:
    """What numpy gives is no JSON, and what is None is an empty cell."""
    facts = [{"index": 3, "t": 0.25, "source": "a,b.jpg"}, {"index": 4, "t": None, "source": 'say "x"'}]
    with outlet("folder", Layout(str(tmp_path)), 2) as files:
        files.write(["3.png", "4.png"], [b"3", b"4"], facts)
        named = files.finish()
    (path,) = named
    assert path == f"{pictures.folder_name(2, 0)}/metadata.csv"
    read = list(csv.DictReader((tmp_path / path).open(newline="")))
    assert read[0] == {"file_name": "3.png", "index": "3", "t": "0.25", "source": "a,b.jpg"}
    assert (read[1]["t"], read[1]["source"]) == ("", 'say "x"')
    assert pa_csv.read_csv(tmp_path / path)["t"].to_pylist() == [0.25, None]
