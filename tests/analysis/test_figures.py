"""Pictures are drawn, have the size and the colours they should have, and show what they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_batch.analysis import figures
from vae_batch.analysis.bells import draw_posteriors
from vae_batch.analysis.curves import draw_curves
from vae_batch.analysis.figures import check_extra, montage
from vae_batch.analysis.latent_pictures import (
    draw_kl,
    draw_prior,
    draw_reconstructions,
    draw_traversals,
    kl_by_dimension,
)
from vae_batch.analysis.matches import correlations, draw_correlations
from vae_batch.analysis.planes import Plane, draw_planes, reached
from vae_batch.errors import SpecError

RNG = np.random.default_rng(0)


def decode(z_ND: np.ndarray) -> np.ndarray:
    """Images of 8×8 whose red follows the first number, and whose green follows the second."""
    images = np.full((len(z_ND), 8, 8, 3), 128, np.uint8)
    for channel in range(min(2, z_ND.shape[1])):
        images[..., channel] = np.clip(128 + 40 * z_ND[:, channel], 0, 255)[:, None, None]
    return images


def colours(path: Path) -> int:
    picture = Image.open(path)
    picture.load()
    return len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))


def test_curves_show_training_and_validation(tmp_path: Path) -> None:
    lines = [{"step": s, "elbo": s, "distortion": -s - 1.0, "rate": 1.0, "sigma": 1 / s} for s in range(1, 60)]
    draw_curves(tmp_path / "one.png", lines, [])
    draw_curves(tmp_path / "two.png", lines, lines[::10])
    assert 10 < colours(tmp_path / "one.png") < colours(tmp_path / "two.png")


def test_curves_of_one_line_and_without_sigma(tmp_path: Path) -> None:
    draw_curves(tmp_path / "x.png", [{"step": 1, "elbo": -3.0, "distortion": 2.0, "rate": 1.0, "sigma": None}], [])
    assert colours(tmp_path / "x.png") > 5


def test_an_odd_number_of_reconstructions_leaves_white(tmp_path: Path) -> None:
    images = np.full((5, 8, 8, 3), (200, 0, 0), np.uint8)
    draw_reconstructions(tmp_path / "x.png", images, images // 2, columns=3)
    pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB"))
    height, width = pixels.shape[:2]
    places = {(0.2, 0.12): 200, (0.2, 0.38): 100, (0.9, 0.62): 255, (0.9, 0.88): 255}
    for (x, y), red in places.items():
        assert pixels[int(y * height), int(x * width), 0] == pytest.approx(red, abs=3)


def test_a_traversal_moves_its_own_dimension(tmp_path: Path) -> None:
    seen = []
    draw_traversals(tmp_path / "x.png", lambda z: seen.append(z) or decode(z), 3, {2: "third", 0: "first"})
    (z,) = seen
    np.testing.assert_array_equal(z[:7], [(0, 0, step) for step in range(-3, 4)])
    np.testing.assert_array_equal(z[7:], [(step, 0, 0) for step in range(-3, 4)])
    assert colours(tmp_path / "x.png") > 7


@pytest.mark.parametrize("dims", [1, 6, 300])
def test_kl_and_prior(dims: int, tmp_path: Path) -> None:
    draw_kl(tmp_path / "kl.png", RNG.random(dims, dtype=np.float32))
    draw_prior(tmp_path / "prior.png", decode, dims)
    assert colours(tmp_path / "kl.png") > 5 and colours(tmp_path / "prior.png") > 5


def test_kl_by_dimension_is_that_of_gaussians() -> None:
    mean, variance = np.array([[0.0, 1.0], [0.0, -1.0]], np.float32), np.array([[1.0, 1.0], [1.0, 0.25]], np.float32)
    expected = [0.0, (0.5 + 0.5 * (1 + 0.25 - 1 - np.log(0.25))) / 2]
    np.testing.assert_allclose(kl_by_dimension(mean, variance), expected, rtol=1e-6)
    assert np.isfinite(kl_by_dimension(mean, np.zeros_like(mean))).all()


def test_planes_are_as_large_as_their_points_and_never_smaller_than_the_prior(tmp_path: Path) -> None:
    mean = RNG.normal(size=(200, 2)).astype(np.float32)
    small, large = (Plane("a", "b", scale * mean, np.full_like(mean, 0.01), decode) for scale in (0.1, 10))
    assert small.reach == 3.0 and 20 < large.reach < 50
    draw_planes(tmp_path / "x.png", [small, large], mean[:, 0], "hair colour")
    assert colours(tmp_path / "x.png") > 500


def test_posteriors_of_any_width_are_drawn(tmp_path: Path) -> None:
    mean = np.array([[0, 1.5, -9], [0.5, 0, 0]], np.float32)
    variance = np.array([[1, 1e-8, 1], [0, 4, 0.1]], np.float32)
    draw_posteriors(tmp_path / "x.png", decode(mean), mean, variance, ["a", "b", "c"], [["1", "2", "3"]] * 2)
    assert colours(tmp_path / "x.png") > 50


def test_correlations_are_pearsons(tmp_path: Path) -> None:
    mean = RNG.normal(size=(500, 3)).astype(np.float32)
    known = {"same": -2 * mean[:, 1] + 3, "mixed": mean[:, 0] + mean[:, 2], "constant": np.ones(500)}
    r_DA = correlations(mean, known)
    np.testing.assert_allclose(r_DA[:, :2], np.corrcoef(mean.T, [known["same"], known["mixed"]])[:3, 3:], atol=1e-6)
    np.testing.assert_array_equal(r_DA[:, 2], 0)
    draw_correlations(tmp_path / "x.png", r_DA, list(known))
    assert colours(tmp_path / "x.png") > 20


def test_a_montage_has_its_images_where_they_belong() -> None:
    rows = RNG.integers(0, 255, (2, 3, 4, 5, 3), dtype=np.uint8)
    sheet = montage(rows, gap=2)
    assert sheet.shape == (2 * 4 + 2, 3 * 5 + 2 * 2, 3)
    np.testing.assert_array_equal(sheet[6:10, 7:12], rows[1, 1])
    assert (sheet[4:6] == 255).all()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_extra("--report")
    monkeypatch.setattr(figures, "find_spec", lambda name: None if name == "jinja2" else object())
    with pytest.raises(SpecError, match=r"^--report needs jinja2: pip install 'vae_batch\[report\]'$"):
        check_extra("--report")


def test_places_that_no_posterior_reaches_are_known() -> None:
    mean, variance = np.array([[0, 0], [2, 2]], np.float32), np.array([[0.01, 0.04], [1e-8, 1e-8]], np.float32)
    plane = Plane("a", "b", mean, variance, decode)
    places = {(0.25, 0): True, (0.35, 0): False, (0, 0.45): True, (2.09, 2): True, (2.11, 2): False, (-2, -2): False}
    assert dict(zip(places, reached(plane, np.array(list(places), np.float32), 0.1), strict=True)) == places
