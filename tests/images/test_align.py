"""Faces aligned by their landmarks."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.images.making import encoded, loaded, noise, psnr, smooth
from vae_batch.images import ImageError
from vae_batch.images.align import TEMPLATE, align
from vae_batch.types import LANDMARK_COLUMNS


def labels_of(points: np.ndarray) -> dict[str, object]:
    flat = np.stack([points.real, points.imag], axis=1).ravel()
    return {name: float(value) for name, value in zip(LANDMARK_COLUMNS, flat, strict=True)}


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The paper's own way: by singular values, with the reflection taken out. Returns 2 × 3."""
    x, y = (np.stack([p.real, p.imag]) for p in (source, target))
    mx, my = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    u, d, vt = np.linalg.svd((y - my) @ (x - mx).T / x.shape[1])
    s = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    r = u @ s @ vt
    c = np.trace(np.diag(d) @ s) / (x - mx).var(axis=1).sum()
    return np.hstack([c * r, my - c * r @ mx])


@given(st.floats(0.1, 20), st.floats(-3, 3), st.lists(st.floats(-6, 6), min_size=10, max_size=10), st.integers(8, 512))
def test_the_similarity_is_that_of_umeyama(scale: float, angle: float, jitter: list[float], size: int) -> None:
    shaken = TEMPLATE + np.array(jitter[:5]) + 1j * np.array(jitter[5:])
    points = (shaken - 56 - 72j) * cmath.rect(scale, angle) + 5000 + 5000j
    found = align(10_000, 10_000, labels_of(points), size)
    wanted = umeyama(points + 0.5 + 0.5j, (TEMPLATE + 0.5 + 0.5j) * size / 112)
    matrix = [[found.a.real, -found.a.imag, found.b.real], [found.a.imag, found.a.real, found.b.imag]]
    np.testing.assert_allclose(matrix, wanted, rtol=1e-6, atol=1e-6)


def test_landmarks_at_the_template_leave_the_image_as_it_is() -> None:
    pixels = noise(112, 112)
    aligned = loaded(encoded(pixels), 112, "landmarks", labels=labels_of(TEMPLATE))
    assert np.abs(aligned.astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("scale", [1.5, 2, 3.3, 8, 11.7])
def test_a_straight_face_is_cut_and_resized_as_any_crop(scale: float) -> None:
    side = round(112 * scale)
    pixels = np.asarray(Image.fromarray(smooth(side + 40, side + 30, detail=20)))
    points = (TEMPLATE + 0.5 + 0.5j) * (side / 112) - (0.5 + 0.5j) + 25 + 10j
    aligned = loaded(encoded(pixels), 64, "landmarks", labels=labels_of(points))
    assert psnr(aligned, loaded(encoded(pixels), 64, f"{side}x{side}+25+10")) > 39


def test_what_is_finer_than_a_pixel_is_averaged() -> None:
    board = np.zeros((800, 800, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    for turn in (0.0, 0.3):
        points = (TEMPLATE - 56 - 72j) * cmath.rect(5.1, turn) + 400 + 420j
        out = loaded(encoded(board), 64, "landmarks", labels=labels_of(points))
        assert np.abs(out[8:-8, 8:-8].astype(int) - 127).max() <= 6


def test_a_turned_face_is_upright_after_it() -> None:
    upright = smooth(300, 300)
    turned = np.asarray(Image.fromarray(upright).rotate(90))  # counterclockwise, about the centre
    points = (TEMPLATE - 56 - 72j) * 2 + 150 + 150j
    moved = (points - (149.5 + 149.5j)) * -1j + (149.5 + 149.5j)
    a = loaded(encoded(upright), 64, "landmarks", labels=labels_of(points))
    b = loaded(encoded(turned), 64, "landmarks", labels=labels_of(moved))
    assert psnr(a, b) > 40


def test_beyond_the_edge_it_is_black() -> None:
    white = np.full((112, 112, 3), 255, np.uint8)
    out = loaded(encoded(white), 112, "landmarks", labels=labels_of(TEMPLATE - 30))
    assert not out[:, :29].any()
    assert (out[:, 31:] == 255).all()


def test_a_face_may_fill_the_largest_image() -> None:
    """What is taken from the image stays small, however large the face."""
    grey = np.full((3000, 3000, 3), 90, np.uint8)
    out = loaded(encoded(grey), 8, "landmarks", labels=labels_of(TEMPLATE * 3000 / 112))
    assert (out == 90).all()


MIRRORED = np.array([TEMPLATE[i] for i in (1, 0, 2, 4, 3)])


@pytest.mark.parametrize(("labels", "message"), [
    (None, "lefteye_x, lefteye_y, righteye_x"),
    (labels_of(TEMPLATE) | {"nose_y": None}, "nose_y is missing or null"),
    (labels_of(TEMPLATE) | {"nose_y": math.inf}, "nose_y is 'inf'"),
    (labels_of(np.full(5, 50 + 50j)), "not placed as a face's are"),
    (labels_of(MIRRORED), "are left and right exchanged"),
    (labels_of(TEMPLATE + 300), "the landmarks lie around"),
    (labels_of(TEMPLATE - 200j), "outside the image of 112×112"),
    (labels_of(TEMPLATE * 1e300), "outside"),
])  # fmt: skip
def test_landmarks_that_make_no_sense(labels: dict[str, object] | None, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        loaded(encoded(noise(112, 112)), 32, "landmarks", labels=labels)
    assert caught.value.stage == "transform"
