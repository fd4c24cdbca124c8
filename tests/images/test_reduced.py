"""Scaled decoding: where it is used, and how close it comes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.images.making import encoded, loaded, noise, psnr, smooth
from tests.images.test_align import labels_of
from vae_batch.images import ImageError, Transform, load_image
from vae_batch.images.align import TEMPLATE
from vae_batch.images.reduced import decode_reduced


@pytest.mark.parametrize(("shrink", "reduction"), [(2, 2), (3.99, 2), (4, 4), (8, 8), (100, 8)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_least_size_that_has_all_the_pixels(shrink: float, reduction: int, mode: str) -> None:
    for width, height in [(178, 218), (301, 299), (9, 17), (8, 8), (1, 3)]:
        data = encoded(np.asarray(Image.fromarray(noise(width, height)).convert(mode)), "JPEG")
        picture = decode_reduced(data, lambda w, h: shrink)
        assert picture is not None
        assert (picture.width, picture.height, picture.reduction) == (width, height, reduction)
        assert picture.pixels.shape == (-(-height // reduction), -(-width // reduction), 3)


def test_what_is_decoded_whole() -> None:
    plain = encoded(noise(64, 64), "JPEG")
    for data, shrink in [
        (plain, 1.99),
        (encoded(noise(64, 64)), 8),  # PNG
        (plain[: len(plain) // 2], 8),
        (b"", 8),
        (encoded(np.zeros((64, 64, 4), np.uint8), "PNG"), 8),
    ]:
        assert decode_reduced(data, lambda w, h, shrink=shrink: shrink) is None


@pytest.mark.parametrize("crop", ["center", "center:148", "147x149+13+21", "none", "box", "landmarks"])
@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
@pytest.mark.parametrize("size", [24, 64])
def test_close_to_exact(crop: str, fit: str, size: int) -> None:
    labels = {"x_1": 20, "y_1": 31, "width": 141, "height": 150} | labels_of(TEMPLATE * 1.3 + 16 + 33j)
    data = encoded(smooth(178, 218), "JPEG", quality=92)
    exact = loaded(data, size, crop, fit, labels=labels)
    fast = loaded(data, size, crop, fit, labels=labels, decode="fast")
    assert psnr(fast, exact) > 35


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(200, 160), (201, 163)])
def test_orientation(orientation: int, shape: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth(*shape), "JPEG", exif=exif, quality=95)
    assert psnr(loaded(data, 32, decode="fast"), loaded(data, 32)) > 38


def test_what_is_not_shrunk_is_exact() -> None:
    for data in [encoded(noise(100, 100), "JPEG"), encoded(noise(300, 300))]:
        assert np.array_equal(loaded(data, 64, decode="fast"), loaded(data, 64))


def test_damage_has_the_verdict_of_whole_decoding() -> None:
    data = encoded(smooth(300, 300), "JPEG")
    with pytest.raises(ImageError) as caught:
        load_image(data[: len(data) // 2], Transform(32, decode="fast"), np.empty((32, 32, 3), np.uint8))
    assert caught.value.stage == "decode"
