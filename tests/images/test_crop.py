"""What is cut out of an image, and how it becomes a square."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.images.making import encoded, loaded, noise
from vae_batch.images import ImageError, Transform, load_image, upright_size
from vae_batch.images.crop import Patch, Rectangle
from vae_batch.types import BOX_COLUMNS, LANDMARK_COLUMNS


@pytest.mark.parametrize(
    ("crop", "part"),
    [
        ("center:40", np.s_[24:64, 19:59]),  # 78 × 89: of an odd remainder the smaller half left and above
        ("40x40+3+7", np.s_[7:47, 3:43]),
        ("40x40+38+49", np.s_[49:89, 38:78]),
    ],
)
def test_rectangles(crop: str, part: Any) -> None:
    pixels = noise(78, 89)
    assert np.array_equal(loaded(encoded(pixels), 40, crop), pixels[part])


def test_the_whole_image_covers_as_the_centred_square() -> None:
    data = encoded(noise(83, 50))
    assert np.array_equal(loaded(data, 32, "none"), loaded(data, 32, "center"))


@pytest.mark.parametrize(("crop", "message"), [
    ("center:51", "center:51 is larger than the image of 83×50"),
    ("50x50+34+0", r"ends at \(84, 50\), outside the image of 83×50"),
    ("10x10+0+41", r"ends at \(10, 51\), outside"),
])  # fmt: skip
@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_a_rectangle_that_leaves_the_image_is_refused(crop: str, message: str, decode: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        loaded(encoded(noise(83, 50), "JPEG"), 4, crop, decode=decode)
    assert (caught.value.stage, caught.value.error) == ("transform", "OutsideImage")


def test_contain_pads_with_black_and_keeps_the_aspect() -> None:
    wide, tall = noise(40, 30), noise(20, 40)
    out = loaded(encoded(wide), 40, "none", "contain")
    assert np.array_equal(out[5:35], wide)
    assert not out[:5].any() and not out[35:].any()
    out = loaded(encoded(tall), 40, "none", "contain")
    assert np.array_equal(out[:, 10:30], tall)
    assert not out[:, :10].any() and not out[:, 30:].any()


def test_contain_of_an_extreme_shape_keeps_a_pixel() -> None:
    assert loaded(encoded(np.full((1, 900, 3), 200, np.uint8)), 16, "none", "contain").sum(axis=(1, 2)).tolist() == [
        0 if row != 7 else 16 * 3 * 200 for row in range(16)
    ]


def test_stretch_takes_all_of_it() -> None:
    pixels = noise(60, 30)
    wanted = np.asarray(Image.fromarray(pixels).resize((20, 20), Image.Resampling.BILINEAR))
    assert np.abs(loaded(encoded(pixels), 20, "none", "stretch").astype(int) - wanted).max() <= 3


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 64), st.sampled_from(["cover", "contain", "stretch"]))
def test_what_is_fitted_lies_in_the_region_and_in_the_square(width: int, height: int, size: int, fit: Any) -> None:
    patch = Patch.fitted(Rectangle(5, 6, width, height), fit, size)
    assert max(patch.rows, patch.columns) == size
    assert min(patch.rows, patch.columns) >= 1
    region = patch.region
    assert region.left >= 5 and region.left + region.width <= 5 + width
    assert region.top >= 6 and region.top + region.height <= 6 + height
    if fit == "cover":
        assert region.width == region.height == min(width, height)
        assert abs((region.left - 5) - (5 + width - region.left - region.width)) <= 1


def box(*values: object) -> dict[str, object]:
    return dict(zip(BOX_COLUMNS, values, strict=True))


def test_boxes_are_rounded_and_cut_at_the_edge() -> None:
    pixels = noise(80, 60)
    data = encoded(pixels)
    rounded = loaded(data, 20, "21x19+10+5")
    assert np.array_equal(loaded(data, 20, "box", labels=box(10.4, 4.6, 20.2, 19.6)), rounded)
    assert np.array_equal(loaded(data, 20, "box", labels=box(-5, 0, 25, 20)), pixels[:20, :20])
    assert np.array_equal(loaded(data, 20, "box", labels=box(60, 40, 22, 24)), pixels[40:60, 60:80])


@pytest.mark.parametrize(("labels", "error", "message"), [
    (None, "LabelError", "x_1, y_1, width, height are missing or null"),
    ({}, "LabelError", "are missing"),
    (box(1, 2, None, 4), "LabelError", "needs this image's labels, and width is missing or null"),
    (box(1, math.nan, 3, 4), "LabelError", "y_1 is 'nan', no finite number"),
    (box(1, 2, math.inf, 4), "LabelError", "width is 'inf'"),
    (box(1, 2, 3, 10**400), "LabelError", "height is '1000"),
    (box(1, 2, "30", 4), "LabelError", "width is '30', no finite number"),
    (box(1, 2, True, 4), "LabelError", "width is 'True'"),
    (box(1, 2, [3], 4), "LabelError", r"width is '\[3\]'"),
    (box(1, 2, 0, 4), "LabelError", "is empty"),
    (box(1, 2, 5, -4), "LabelError", "is empty"),
    (box(200, 2, 5, 4), "OutsideImage", "lies by 0% in the image of 80×60 pixels"),
    (box(70, 2, 30, 10), "OutsideImage", "lies by 33% in the image"),
    (box(1e308, 1e308, 1e308, 1e308), "OverflowError", "infinity"),
])  # fmt: skip
@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_boxes_that_make_no_sense(labels: dict[str, object] | None, error: str, message: str, decode: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        loaded(encoded(noise(80, 60), "JPEG"), 4, "box", labels=labels, decode=decode)
    assert (caught.value.stage, caught.value.error) == ("transform", error)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_places_are_those_of_the_upright_image(orientation: int, decode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((80, 160, 3), np.uint8)
    pixels[:40, :40] = 255  # where the white is in the upright image
    data = encoded(pixels, "JPEG", exif=exif)
    corners = {1: (0, 0), 2: (120, 0), 3: (120, 40), 4: (0, 40), 5: (0, 0), 6: (40, 0), 7: (40, 120), 8: (0, 120)}
    x, y = corners[orientation]
    out = np.empty((10, 10, 3), np.uint8)
    assert load_image(data, Transform(10, f"40x40+{x}+{y}", decode=decode), out) == (  # type: ignore[arg-type]
        (160, 80) if orientation < 5 else (80, 160)
    )
    assert out.min() > 240


def test_a_transform_says_which_labels_it_needs() -> None:
    assert Transform(8).columns == Transform(8, "none").columns == ()
    assert Transform(8, "box").columns == BOX_COLUMNS
    assert Transform(8, "landmarks").columns == LANDMARK_COLUMNS
    assert LANDMARK_COLUMNS[:3] == ("lefteye_x", "lefteye_y", "righteye_x")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 5, 8])
def test_the_upright_size_is_told_by_the_header(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(30, 20), form, exif=exif)
    assert upright_size(data) == ((30, 20) if orientation < 5 else (20, 30))
    with pytest.raises(ImageError, match="begins with b'no image'"):
        upright_size(b"no image")
