"""Label files, split and exclusion through the whole job: columns, counts, footers, and what may not change."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vae_batch
from tests.cluster.test_encode import Lines
from tests.conftest import image_bytes, spec
from tests.sources.labelmaking import ATTRIBUTES, attributes_text, value, write
from vae_batch.cluster.plan import plan
from vae_batch.cluster.verify import verify_by_recomputing
from vae_batch.errors import MismatchError, SpecError
from vae_batch.latents.footer import read_footers
from vae_batch.latents.part import read_rejects
from vae_batch.latents.verify import verify

IMAGES = 60
NAMES = [f"{i:06}.jpg" for i in range(IMAGES)]


@pytest.fixture(scope="module")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures, one broken, one that is no image, with attributes, boxes and a partition; one has no labels."""
    folder = tmp_path_factory.mktemp("celeba")
    (folder / "img").mkdir()
    for i, name in enumerate(NAMES):
        (folder / "img" / name).write_bytes(image_bytes(i) if i != 7 else b"no picture")
    (folder / "img" / "notes.txt").write_text("no image")
    write(folder / "Anno/list_attr_celeba.txt", attributes_text(NAMES[:-1]), "\r\n")
    boxes = "".join(f"{n}  {i} 2 30 40\n" for i, n in enumerate(NAMES))
    write(folder / "Anno/list_bbox_celeba.txt", f"{IMAGES}\nimage_id x_1 y_1 width height\n{boxes}")
    write(folder / "Eval/list_eval_partition.txt", "".join(f"{n} {i % 3}\n" for i, n in enumerate(NAMES)))
    return folder


def rows_of(out: Path) -> list[dict[str, object]]:
    return pq.read_table(out / "data").to_pylist()


@pytest.mark.usefixtures("ray_session")
def test_labels_become_columns(celeba: Path, model: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out", Lines()
    settings = {"labels": [str(celeba / "Anno"), str(celeba / "Eval/list_eval_partition.txt")], "max_reject_rate": 1}
    summary = vae_batch.encode(spec(celeba / "img", model, out, **settings), report)
    assert (summary.seen, summary.rows, summary.rejects, summary.skipped, summary.excluded) == (61, 59, 1, 1, 0)
    assert summary.notes == {"unmatched": {"list_attr_celeba.txt": 1}}
    schema = pq.read_schema(out / "data/part-000000.parquet")
    types = [(name, pa.bool_()) for name in ATTRIBUTES]
    types += [(name, pa.int64()) for name in ("x_1", "y_1", "bbox_width", "bbox_height", "partition")]
    assert [(f.name, f.type) for f in schema][-9:] == types
    for row in rows_of(out):
        i = int(str(row["id"])[:6])
        expected = {a: value(i, j) == 1 if i < IMAGES - 1 else None for j, a in enumerate(ATTRIBUTES)}
        assert {a: row[a] for a in ATTRIBUTES} == expected
        assert (row["x_1"], row["bbox_width"], row["width"], row["partition"]) == (i, 30, 40, i % 3)
    assert "images without a row in list_attr_celeba.txt: 1" in report.text
    assert (
        "Labels list_attr_celeba.txt: 59 rows, 4 columns, joined by id; 1 of 60 images looked at have none"
        in report.text
    )
    assert verify(out).ok
    again = vae_batch.encode(spec(celeba / "img", model, out, **settings), report)
    assert again.rows == 59 and "Already done" in report.text


@pytest.mark.usefixtures("ray_session")
def test_split_and_exclusion_are_counted_and_leave_no_trace(celeba: Path, model: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out", Lines()
    digest = hashlib.sha256(image_bytes(10)).hexdigest()
    gone = write(tmp_path / "gone.txt", f"# takedowns\n{NAMES[7]}\n{NAMES[4]}\n{NAMES[6]}\n{digest}\nnobody.jpg\n")
    labels = str(celeba / "Eval/list_eval_partition.txt")
    settings = {"labels": labels, "split": "valid", "exclude": str(gone), "max_reject_rate": 0}
    summary = vae_batch.encode(spec(celeba / "img", model, out, **settings), report)
    # of twenty images for validation two are named (one of them broken) and one has the digest
    assert (summary.seen, summary.rows, summary.rejects, summary.skipped, summary.excluded) == (61, 17, 0, 1, 43)
    assert [row["id"] for row in rows_of(out)] == [n for i, n in enumerate(NAMES) if i % 3 == 1 and i not in (4, 7, 10)]
    assert sum(n for reason, n in summary.notes["excluded"].items() if reason != "split") == 4
    assert "excluded by --exclude: 4" in report.text and "excluded as of another split: 39" in report.text
    assert "entries of --exclude that left no image out: 1" in report.text
    assert "17 rows, 0 rejects, 1 skipped, 43 excluded in" in report.text
    assert vae_batch.status(out).excluded == 43
    footers = list(read_footers(sorted((out / "data").iterdir())))
    assert sum(f.excluded for f in footers) == 43  # type: ignore[union-attr]
    assert verify(out).ok
    assert verify_by_recomputing(str(out), 2).ok
    for file in (f for f in out.rglob("*") if f.is_file() and "labels" not in f.parts):
        assert NAMES[4].encode() not in file.read_bytes() or file.parent.name == ".vae_batch"


@pytest.mark.usefixtures("ray_session")
def test_an_excluded_image_is_no_reject_either(celeba: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    gone = write(tmp_path / "gone.txt", NAMES[3])
    vae_batch.encode(spec(celeba / "img", model, out, exclude=str(gone), max_reject_rate=1))
    (rejects,) = (out / ".vae_batch/rejects").iterdir()
    assert read_rejects(rejects)["id"].to_pylist() == [NAMES[7]]
    gone.write_text(f"{NAMES[3]}\n{NAMES[7]}\n")
    with pytest.raises(MismatchError, match="exclude"):
        vae_batch.encode(spec(celeba / "img", model, out, exclude=str(gone), max_reject_rate=1))


@pytest.mark.usefixtures("ray_session")
def test_a_label_file_that_changed_is_refused(celeba: Path, model: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "list_attr_celeba.txt"
    shutil.copy(celeba / "Anno/list_attr_celeba.txt", file)
    first = spec(celeba / "img", model, out, labels=str(file), units="0:1", max_reject_rate=1)
    vae_batch.encode(first)
    file.write_text(file.read_text().replace("-1", " 1", 1))
    with pytest.raises(MismatchError, match="label_files"):
        vae_batch.encode(first)
    with pytest.raises(MismatchError, match="label_files"):
        vae_batch.encode(first.model_copy(update={"labels": ()}))
    with pytest.raises(MismatchError, match="split"):
        labels = (str(file), str(celeba / "Eval/list_eval_partition.txt"))
        vae_batch.encode(first.model_copy(update={"labels": labels, "split": "train"}))


@pytest.mark.usefixtures("ray_session")
def test_a_table_that_was_lost_is_made_again(celeba: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = {"labels": str(celeba / "Anno"), "max_reject_rate": 1}
    vae_batch.encode(spec(celeba / "img", model, out, units="0:1", **settings))
    shutil.rmtree(out / ".vae_batch/labels")
    assert vae_batch.encode(spec(celeba / "img", model, out, **settings)).rows == 59
    assert all(row["Smiling"] is not None for row in rows_of(out)[:-1])


@pytest.mark.usefixtures("ray_session")
def test_sidecars_columns_and_prefix(faces: Path, model: Path, tmp_path: Path) -> None:
    ids = [f"{i:09}" for i in range(240)]
    file = write(tmp_path / "l.csv", "stem,smile,age,split\n" + "".join(f"{x},7,{i},test\n" for i, x in enumerate(ids)))
    settings = {"labels": str(file), "label_prefix": "l_"}
    vae_batch.encode(spec(faces, model, tmp_path / "a", **settings))
    row = rows_of(tmp_path / "a")[41]
    assert (row["l_smile"], row["l_age"], row["id"]) == (7, 41, "faces-000001.tar/000000041.jpg")
    assert isinstance(row["l_beard"], float)
    settings = {"labels": str(file), "columns": "age:string,beard:float64"}
    summary = vae_batch.encode(spec(faces, model, tmp_path / "b", **settings))
    assert set(pq.read_schema(tmp_path / "b/data/part-000000.parquet").names[-2:]) == {"age", "beard"}
    assert rows_of(tmp_path / "b")[41]["age"] == "41"
    assert "age" not in summary.notes.get("unforeseen", {}) and "split" not in summary.notes.get("unforeseen", {})


def test_a_plan_is_told_with_labels(ray_session: None, celeba: Path, model: Path, tmp_path: Path) -> None:
    settings = {"labels": str(celeba / "Eval/list_eval_partition.txt"), "split": "test"}
    estimate = plan(spec(celeba / "img", model, tmp_path / "out", **settings))
    assert estimate.images_per_second and "partition" in estimate.column_bytes
    assert not (tmp_path / "out").exists()


def test_labels_and_names_of_ours(celeba: Path, model: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "l.csv", "name,row\n" + "".join(f"{n},1\n" for n in NAMES))
    with pytest.raises(SpecError, match="label row would clash with columns of the output: give --label-prefix"):
        vae_batch.encode(spec(celeba / "img", model, tmp_path / "out", labels=str(file)))


def test_training_knows_the_split_and_the_excluded(celeba: Path, tmp_path: Path) -> None:
    from vae_batch.specs import TrainSpec
    from vae_batch.work.cache import open_cache

    gone = write(tmp_path / "gone.txt", f"{NAMES[7]}\n{NAMES[4]}\n")
    labels = str(celeba / "Eval/list_eval_partition.txt")
    told = TrainSpec(source=str(celeba / "img"), out="", labels=labels, split="validation", exclude=str(gone))
    images = open_cache(told, tmp_path / "cache")
    assert (images.count, images.rejected) == (18, 0)
    assert json.loads(json.dumps(told.model_dump()))["split"] == "validation"
