"""Contact sheets are made from the data set itself, wherever its pictures are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

import vae_batch
from tests.cluster.test_generate import generate_spec
from tests.s3 import S3
from vae_batch.analysis.preview import LEAST, MARGIN, MOST_LINES, _caption, _run, preview
from vae_batch.errors import OutputError, SpecError


@pytest.fixture(scope="module")
def generated(ray_session: None, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images in each format."""
    folder = tmp_path_factory.mktemp("previewed")
    for name in ("parquet", "webdataset", "folder"):
        vae_batch.generate(generate_spec(model, folder / name, format=name, count=40))
    return folder


def test_each_picture_is_in_its_cell(generated: Path, tmp_path: Path) -> None:
    sheets = []
    for name in ("parquet", "webdataset", "folder"):
        assert preview(str(generated / name), tmp_path / f"{name}.png", 4, 7) == 28
        sheets.append((tmp_path / f"{name}.png").read_bytes())
    assert sheets[0] == sheets[1] == sheets[2]
    rows = pq.read_table(generated / "parquet/data").to_pylist()
    with Image.open(tmp_path / "parquet.png") as sheet:
        step = (sheet.width - MARGIN) // 7, (sheet.height - MARGIN) // 4
        for number in (0, 6, 7, 27):
            left, top = MARGIN + number % 7 * step[0], MARGIN + number // 7 * step[1]
            cell = sheet.crop((left, top, left + LEAST, top + LEAST))
            with Image.open(io.BytesIO(rows[number]["image"]["bytes"])) as picture:
                assert picture.resize((LEAST, LEAST), Image.Resampling.NEAREST).tobytes() == cell.tobytes()
            caption = sheet.crop((left, top + LEAST, left + LEAST, top + step[1] - MARGIN))
            assert caption.convert("L").getextrema()[0] < 128  # something is written there


@pytest.mark.parametrize("name", ["parquet", "webdataset", "folder"])
def test_on_an_object_store(generated: Path, tmp_path: Path, s3: S3, name: str) -> None:
    s3.put_tree(generated / name, f"faces/previewed/{name}")
    preview(s3.uri(f"faces/previewed/{name}"), tmp_path / "there.png", 2, 3)
    preview(str(generated / name), tmp_path / "here.png", 2, 3)
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "here.png").read_bytes()


def test_a_sheet_is_not_longer_than_the_data_set(generated: Path, tmp_path: Path) -> None:
    assert preview(str(generated / "parquet"), tmp_path / "sheet.png") == 40
    assert preview(str(generated / "parquet"), tmp_path / "sheet.png", 1, 5) == 5


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        ({"sampler": "interpolate", "steps": 6}, 6),
        ({"sampler": "traverse", "steps": 5, "indices": [[3, 9]]}, 8),
        ({"sampler": "posterior", "draws": 1}, 8),
        ({"sampler": "posterior", "draws": 4}, 4),
        ({"sampler": "grid", "steps": 40}, 8),
        ({"sampler": "edit", "strength": [-1, 0, 1]}, 3),
        ({"sampler": "edit", "strength": [1]}, 8),
        ({"sampler": "prior"}, 8),
    ],
)
def test_what_belongs_together_is_a_row(fields: dict[str, Any], columns: int) -> None:
    assert _run(fields) == columns


def test_what_has_no_pictures_is_refused(encoded: Path, generated: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is an encoded data set: it has posteriors, and no pictures"):
        preview(str(encoded), tmp_path / "sheet.png")
    with pytest.raises(SpecError, match="too large"):
        preview(str(generated / "parquet"), tmp_path / "sheet.png", 1000, 1000)
    assert not (tmp_path / "sheet.png").exists()


def test_a_caption_says_what_is_predicted_in_few_lines() -> None:
    row = {"id": "000000010", "index": 10, "predicted_glasses": 0.25, **{f"predicted_{i}": 0.5 for i in range(40)}}
    lines = _caption(row)
    assert lines[:2] == ["10", "glasses 0.25"] and len(lines) == 1 + MOST_LINES
