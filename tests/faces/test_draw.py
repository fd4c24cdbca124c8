"""What a face is: a pure function of (seed, index), whose attributes are independent and plain to see."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vae_batch.faces import Attributes, attributes, draw_face
from vae_batch.faces.attributes import STILL, setting
from vae_batch.faces.draw import render

GOLDEN_MEANS = [
    *([166.4, 143.6, 170.8], [194.4, 157.7, 120.4], [161.6, 129.4, 151.9]),
    *([173.7, 145.8, 153.1], [199.7, 170.4, 146.2], [175.0, 140.5, 141.8]),
    *([147.3, 119.8, 166.6], [152.9, 123.1, 131.9], [134.5, 98.8, 152.3]),
]
NAMES = [field.name for field in fields(Attributes)]


def small(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The square in the middle at 64×64, as a model sees it."""
    height, width, _ = picture.shape
    side, left, top = min(height, width), (width - min(height, width)) // 2, (height - min(height, width)) // 2
    square = Image.fromarray(picture).crop((left, top, left + side, top + side))
    return np.asarray(square.resize((64, 64), Image.Resampling.BILINEAR), dtype=np.float64)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**64),
    index=st.integers(0, 2**40),
    size=st.tuples(st.integers(32, 60), st.integers(32, 60)),
)
def test_a_face_is_a_pure_function_of_seed_index_and_size(seed: int, index: int, size: tuple[int, int]) -> None:
    face = draw_face(seed, index, size)
    draw_face(seed + 1, index + 1, size)
    assert face.shape == (size[1], size[0], 3)
    assert face.dtype == np.uint8
    np.testing.assert_array_equal(face, draw_face(seed, index, size))


def test_attributes_do_not_change_from_one_release_to_the_next() -> None:
    assert astuple(attributes(0, 12)) == (0.140577, 0.075657, 0.0, 0.158403, 0.734647, 0.416973)
    assert astuple(attributes(7, 10**12)) == (7.6e-05, 0.338838, 1.0, 0.672369, 0.765573, 0.887196)


def test_pictures_do_not_change_from_one_release_to_the_next() -> None:
    """Means of nine fields of a face, as red, green, blue; within 2 levels, should Pillow fill otherwise."""
    means = draw_face(0, 12, (180, 180)).reshape(3, 60, 3, 60, 3).mean(axis=(1, 3)).reshape(9, 3)
    np.testing.assert_allclose(means, GOLDEN_MEANS, atol=2)


def test_another_seed_or_index_is_another_face() -> None:
    faces = [draw_face(*key, (64, 64)) for key in ((0, 0), (0, 1), (1, 0))]
    assert all(np.abs(small(faces[a]) - small(faces[b])).mean() > 5 for a, b in ((0, 1), (0, 2), (1, 2)))


def test_attributes_are_uniform_and_independent_of_each_other_and_of_the_setting() -> None:
    drawn = np.array([[*astuple(attributes(3, i)), *astuple(setting(3, i))] for i in range(5000)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    glasses = NAMES.index("glasses")
    assert set(drawn[:, glasses]) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.03)
    quartiles = np.quantile(np.delete(drawn, glasses, axis=1), (0.25, 0.75), axis=0)
    np.testing.assert_allclose(quartiles, [[0.25] * 17, [0.75] * 17], atol=0.03)
    correlations = np.corrcoef(drawn.T) - np.eye(drawn.shape[1])
    assert np.abs(correlations).max() < 0.06  # four standard errors


@pytest.mark.parametrize("name", NAMES)
def test_each_attribute_alone_changes_the_picture_plainly(name: str) -> None:
    """From one end to the other by more than 2.5 of 255 levels in the mean over 64×64, whatever the rest."""
    for index in range(30):
        face, scene = attributes(1, index), setting(1, index)
        ends = [small(render(replace(face, **{name: end}), scene)) for end in (0.0, 1.0)]
        assert np.abs(ends[1] - ends[0]).mean() > 2.5


@pytest.mark.parametrize("name", [name for name in NAMES if name != "glasses"])
def test_an_attribute_changes_the_picture_all_along_its_way(name: str) -> None:
    face, scene = replace(attributes(1, 0), glasses=0.0), setting(1, 0)
    pictures = [small(render(replace(face, **{name: step / 8}), scene)) for step in range(9)]
    steps = [np.abs(b - a).mean() for a, b in pairwise(pictures)]
    assert min(steps) > 0.15
    assert max(steps) < 0.4 * sum(steps)


def test_a_linear_probe_of_the_pixels_finds_every_attribute() -> None:
    """R² on faces left out, from the 32 first principal components of 32×32 pictures."""
    count, train = 800, 650
    faces = np.array([draw_face(5, i, (64, 64)) for i in range(count)])
    pixels = faces.reshape(count, 32, 2, 32, 2, 3).mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    labels = np.array([astuple(attributes(5, i)) for i in range(count)])
    pixels -= pixels[:train].mean(axis=0)
    _, vectors = np.linalg.eigh(pixels[:train] @ pixels[:train].T)
    scores = pixels @ (pixels[:train].T @ vectors[:, -32:])
    design = np.c_[scores / scores.std(axis=0), np.ones(count)]
    weights = np.linalg.lstsq(design[:train], labels[:train], rcond=None)[0]
    residuals = labels[train:] - design[train:] @ weights
    r2 = 1 - (residuals**2).mean(axis=0) / labels[train:].var(axis=0)
    assert dict(zip(NAMES, r2 > 0.6, strict=True)) == dict.fromkeys(NAMES, True)


def test_still_faces_differ_by_their_attributes_alone() -> None:
    for index in range(3):
        np.testing.assert_array_equal(
            draw_face(1, index, (60, 60), still=True), render(attributes(1, index), STILL, (60, 60))
        )
    assert (draw_face(1, 0, still=True) != draw_face(1, 0)).any()
