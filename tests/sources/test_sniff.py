"""Our table of extensions against Pillow's, our magic against what Pillow writes."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from vae_batch.sources.sniff import IMAGE_EXTENSIONS, has_image_extension, has_image_magic

NO_IMAGES = {"bufr", "emf", "eps", "grib", "h5", "hdf", "iim", "mpeg", "mpg", "palm", "pdf", "ps", "wmf"}


def test_every_extension_of_pillow_is_an_image_or_known_as_none() -> None:
    Image.init()
    known = {extension[1:] for extension in Image.registered_extensions()}
    assert known - IMAGE_EXTENSIONS - NO_IMAGES == set()
    assert set() == IMAGE_EXTENSIONS & NO_IMAGES


@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "DDS", "QOI", "SGI"]
)
def test_magic_of_what_pillow_writes(form: str) -> None:
    out = io.BytesIO()
    try:
        Image.new("RGB", (8, 8)).save(out, form)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {form}")
    assert has_image_magic(out.getvalue()[:32])


@pytest.mark.parametrize(
    "head", [b"", b"BMx", b"BM words that begin so", b"P5", b"P7 x", b"Perhaps", b"RIFF\0\0\0\0WAVE"]
)
def test_what_is_no_magic(head: bytes) -> None:
    assert not has_image_magic(head)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.JPG", True),
        ("d.jpg/a", False),
        ("jpg", False),
        ("x/._a.jpg", False),
        (".jpg", False),
        ("x/.a.jpg", True),
        ("a.jpg.txt", False),
    ],
)
def test_extensions(name: str, image: bool) -> None:
    assert has_image_extension(name) is image
