"""Labels of other images are found before a job is begun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import image_bytes, spec
from vae_batch.errors import SpecError
from vae_batch.images import Transform
from vae_batch.images.align import TEMPLATE
from vae_batch.sources import Reading, open_source, plan_units
from vae_batch.types import BOX_COLUMNS, LANDMARK_COLUMNS
from vae_batch.work import boxes
from vae_batch.work.boxes import check_places
from vae_batch.work.job import open_job, prepare

INSIDE, OUTSIDE = (3, 4, 30, 40), (95, 71, 226, 313)


def collection(folder: Path, places: list[tuple[object, ...] | None], names: tuple[str, ...] = BOX_COLUMNS) -> Path:
    """Images of 40×50 with sidecars."""
    folder.mkdir()
    for i, place in enumerate(places):
        (folder / f"{i:03}.jpg").write_bytes(image_bytes(i))
        if place:
            (folder / f"{i:03}.json").write_text(json.dumps(dict(zip(names, place, strict=True))))
    return folder


def check(folder: Path, crop: str = "box") -> None:
    source = open_source(str(folder))
    check_places(Reading(source.root, source.options), plan_units(source, 16), Transform(8, crop))


def test_boxes_of_other_images_stop_the_job_with_the_cause(tmp_path: Path) -> None:
    folder = collection(tmp_path / "x", [INSIDE, OUTSIDE, OUTSIDE, INSIDE])
    with pytest.raises(SpecError) as caught:
        check(folder)
    message = str(caught.value)
    assert "the boxes leave the image for 2 of 4 images looked at (50%; 5% are allowed)" in message
    assert "001.jpg (334 pixels outside its 40×50)" in message
    assert "list_bbox_celeba.txt belongs to the in-the-wild images" in message


@pytest.mark.parametrize(("outside", "stops"), [(2, False), (3, True)])
def test_five_percent_are_allowed(tmp_path: Path, outside: int, stops: bool) -> None:
    folder = collection(tmp_path / "x", [OUTSIDE] * outside + [INSIDE] * (40 - outside))
    if stops:
        with pytest.raises(SpecError, match="3 of 40"):
            check(folder)
    else:
        check(folder)


def test_a_pixel_beyond_the_edge_and_a_missing_label_do_not_count(tmp_path: Path) -> None:
    check(collection(tmp_path / "x", [(1, 1, 40, 50), None, (1, None, 2, 3), INSIDE]))


def test_images_without_any_such_labels(tmp_path: Path) -> None:
    folder = collection(tmp_path / "x", [("a",), None], ("name",))
    with pytest.raises(SpecError, match=r"000.jpg: crop box .* x_1, y_1, width, height are missing .* from --labels"):
        check(folder)


def test_landmarks(tmp_path: Path) -> None:
    points = [v for p in TEMPLATE * 0.35 for v in (p.real, p.imag)]
    check(collection(tmp_path / "x", [tuple(points)] * 3, LANDMARK_COLUMNS), "landmarks")
    folder = collection(tmp_path / "y", [tuple(9 * v for v in points)] * 3, LANDMARK_COLUMNS)
    with pytest.raises(SpecError, match=r"the landmarks leave the image for 3 of 3 .* list_landmarks_celeba.txt"):
        check(folder, "landmarks")


def test_only_the_first_images_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "LOOKED_AT", 20)
    check(collection(tmp_path / "x", [INSIDE] * 20 + [OUTSIDE] * 9))


def test_other_crops_read_nothing(tmp_path: Path) -> None:
    check_places(Reading(str(tmp_path / "nowhere")), iter(()), Transform(8, "center:4"))


def test_a_new_job_is_refused_before_anything_is_written_and_one_that_was_begun_goes_on(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = collection(tmp_path / "x", [INSIDE, OUTSIDE])
    asked = spec(folder, model, tmp_path / "out", crop="box", label_prefix="bbox_")
    with pytest.raises(SpecError, match="boxes leave the image"):
        open_job(prepare(asked))
    assert not (tmp_path / "out" / ".vae_batch" / "job.json").exists()
    monkeypatch.setattr(boxes, "MAX_OUTSIDE", 1.0)
    open_job(prepare(asked))
    monkeypatch.undo()
    open_job(prepare(asked))
