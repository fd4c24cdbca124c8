from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture
from vae_batch.images.codecs import encode_image
from vae_batch.images.decode import decode


def test_png_keeps_every_bit() -> None:
    pixels = np.asarray(picture(1))
    assert np.array_equal(decode(encode_image(pixels, "png")), pixels)


@pytest.mark.parametrize("codec", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_is_of_its_format_and_near(codec: str, channels: int) -> None:
    pixels = np.ascontiguousarray(np.asarray(picture(2))[:, :, :channels])
    data = encode_image(pixels, codec)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == codec.upper() and image.size == (40, 50)
        assert channels == 3 or codec == "webp" or image.mode == "L"
    assert np.abs(decode(data).astype(int)[:, :, :channels] - pixels).mean() < 3
    assert encode_image(pixels, codec) == data


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_a_lower_quality_is_smaller(codec: str) -> None:
    pixels = np.asarray(picture(3))
    assert (
        len(encode_image(pixels, codec, 30)) < len(encode_image(pixels, codec)) < len(encode_image(pixels, codec, 100))
    )
