"""Pictures of every usual kind against Pillow, and files that are no pictures."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from vae_batch.images import ImageError, decode
from vae_batch.images.decode import FORMATS, MAX_PIXELS
from vae_batch.images.jpeg import inspect

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest puts its own filters before those of the package


def picture(width: int = 37, height: int = 23) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    channels = [x * 255 // width, y * 255 // height, (x * y) % 256]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def encoded(image: Image.Image, form: str = "JPEG", **kwargs: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **kwargs)
    return out.getvalue()


def with_exif(body: bytes) -> bytes:
    """A JPEG with an APP1 segment."""
    plain = encoded(picture())
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 5}, {"optimize": True}])
def test_plain_jpegs_take_the_fast_path_with_the_pixels_of_pillow(mode: str, options: dict[str, object]) -> None:
    for size in [(37, 23), (1, 1), (178, 218), (8, 300)]:
        data = encoded(picture(*size).convert(mode), **options)
        assert inspect(data) is not None
        pixels = decode(data)
        assert np.array_equal(pixels, pillow(data))
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous


def test_jpegs_that_only_pillow_gets_right() -> None:
    for data in [encoded(picture().convert("CMYK")), encoded(picture(), keep_rgb=True)]:
        assert inspect(data) is None
        assert np.array_equal(decode(data), pillow(data))


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "WEBP", "TIFF", "TGA", "GIF", "PCX", "SGI"])
def test_formats(form: str) -> None:
    data = encoded(picture(), form)
    assert np.array_equal(decode(data), pillow(data))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_modes_without_transparency(form: str, mode: str) -> None:
    data = encoded(picture().convert(mode), form)
    assert np.array_equal(decode(data), pillow(data))


def test_transparency_is_laid_over_white() -> None:
    red = Image.new("RGBA", (4, 2), (200, 0, 0, 255))
    red.putpixel((0, 0), (0, 0, 0, 0))
    red.putpixel((1, 0), (0, 0, 0, 128))
    palette = Image.new("P", (4, 2), 1)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.putpixel((0, 0), 0)
    grey = Image.new("LA", (4, 2), (7, 0))
    for data, expected in [
        (encoded(red, "PNG"), (255, 255, 255)),
        (encoded(red, "WEBP", lossless=True), (255, 255, 255)),
        (encoded(palette, "PNG", transparency=0), (255, 255, 255)),
        (encoded(palette, "GIF", transparency=0), (255, 255, 255)),
        (encoded(grey, "PNG"), (255, 255, 255)),
        (encoded(Image.new("RGB", (4, 2), (1, 2, 3)), "PNG", transparency=(1, 2, 3)), (255, 255, 255)),
        (encoded(Image.new("L", (4, 2), 5), "PNG", transparency=5), (255, 255, 255)),
    ]:
        assert tuple(decode(data)[0, 0]) == expected
    pixels = decode(encoded(red, "PNG"))
    assert tuple(pixels[0, 1]) == (127, 127, 127)
    assert tuple(pixels[1, 1]) == (200, 0, 0)


def test_sixteen_bits_and_floats_are_scaled_not_clipped() -> None:
    ramp = np.array([[0, 257, 32768, 65535]], np.uint16)
    expected = [0, 1, 128, 255]
    pgm = b"P5 4 1 65535\n" + ramp.astype(">u2").tobytes()
    for data in [encoded(Image.fromarray(ramp), "PNG"), encoded(Image.fromarray(ramp), "TIFF"), pgm]:
        assert decode(data)[0, :, 0].tolist() == expected
    for values, wanted in [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 10.0, 255.0], [0, 10, 255]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([np.nan, 1.0, 0.0], [0, 255, 0]),
        ([3.0, 3.0, np.inf], [3, 3, 3]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
    ]:
        data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
        assert decode(data)[0, :, 1].tolist() == wanted
    deep = Image.fromarray(np.array([[0, 1 << 20, 1 << 21]], np.int32))
    assert decode(encoded(deep, "TIFF"))[0, :, 2].tolist() == [0, 128, 255]


def test_twelve_bits_and_transparent_sixteen() -> None:
    ramp = np.array([[0, 2048, 4095]], np.uint16)
    tiff = bytearray(encoded(Image.fromarray(ramp), "TIFF"))
    entry = tiff.index(struct.pack("<HHI", 258, 3, 1))
    assert decode(bytes(tiff))[0, :, 0].tolist() == [0, 8, 16]
    packed = bytes([0x00, 0x08, 0x00, 0xFF, 0xF0])  # the same in 12 bits each, the first the highest
    at = tiff.index(ramp.tobytes())
    tiff[entry + 8 : entry + 10] = struct.pack("<H", 12)
    tiff[at : at + len(packed)] = packed
    assert decode(bytes(tiff))[0, :, 0].tolist() == [0, 128, 255]
    clear = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    assert decode(encoded(clear, "PNG", transparency=257))[0, :, 0].tolist() == [0, 255, 255]


def cmyk_jpeg(transform: int | None, ink: tuple[int, int, int, int]) -> bytes:
    """A CMYK JPEG as Pillow writes it (Adobe: inverted, no transform), or marked YCCK, or without Adobe's segment."""
    data = encoded(Image.new("CMYK", (16, 16), ink), quality=100, subsampling=0)
    at = data.index(b"\xff\xee")
    if transform is None:
        return data[:at] + data[at + 16 :]
    return data[: at + 15] + bytes([transform]) + data[at + 16 :]


def test_cmyk_and_ycck() -> None:
    cyan = decode(cmyk_jpeg(0, (255, 0, 0, 0)))[8, 8].astype(int)
    assert cyan[0] < 40 and cyan[1:].min() > 200
    # Pillow takes all CMYK in JPEG as Adobe writes it, inverted, whether it says so or not
    assert np.array_equal(decode(cmyk_jpeg(None, (255, 0, 0, 0)))[8, 8], cyan)
    # YCCK: paper is luma 0 and, inverted, black 255
    assert decode(cmyk_jpeg(2, (255, 127, 127, 0)))[8, 8].min() > 250
    assert decode(cmyk_jpeg(2, (255, 127, 127, 255)))[8, 8].max() < 5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), form, exif=exif)
    if form == "JPEG":
        info = inspect(data)
        assert info is not None
        assert info.orientation == orientation
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode(data), np.asarray(upright.convert("RGB")))


def test_damaged_exif_does_not_cost_the_picture() -> None:
    for body in [b"Exif\0\0", b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]:
        assert np.array_equal(decode(with_exif(body)), pillow(encoded(picture())))


def test_orientation_in_xmp_counts_as_for_pillow() -> None:
    body = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    assert decode(with_exif(body)).shape == (37, 23, 3)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if form == "WEBP" else {}
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
        assert tuple(decode(data)[4, 4]) == (255, 0, 0)


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture()))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("data", [png_of(60_000, 60_000), jpeg_of(60_000, 60_000)], ids=["png", "jpeg"])
def test_bombs_are_refused_from_the_header(data: bytes) -> None:
    assert MAX_PIXELS < 60_000**2
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert (caught.value.stage, caught.value.error) == ("decode", "DecompressionBombError")


NO_PICTURES = {
    "empty": b"",
    "random": bytes(range(256)) * 9,
    "html": b"<html><body>Quota exceeded</body></html>",
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "zero width": png_of(0, 10),
    "jpeg of no height": jpeg_of(10, 0),
    "start of a jpeg": b"\xff\xd8\xff",
    "start of a png": b"\x89PNG\r\n\x1a\n",
    "mpeg": b"\0\0\x01\xb3\x08\0\x08\x14",
}


@pytest.mark.parametrize("data", NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert caught.value.stage == "decode"
    assert caught.value.error
    assert caught.value.message
    assert " at 0x" not in caught.value.message  # what differs from run to run would make other rejects files


def test_a_file_that_is_no_picture_is_described_by_its_first_bytes() -> None:
    with pytest.raises(ImageError, match="no image of a format that can be read; it begins with b'<html>"):
        decode(b"<html>quota exceeded</html>")
    with pytest.raises(ImageError, match="git lfs pull"):
        decode(NO_PICTURES["git-lfs"])
    with pytest.raises(ImageError, match="the file is empty"):
        decode(b"")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "PPM", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated(form: str, share: float) -> None:
    data = encoded(picture(200, 100), form)
    with pytest.raises(ImageError):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "cause", [MemoryError("no"), RecursionError(), struct.error("x"), KeyError(1), SyntaxError("y")]
)
def test_whatever_a_decoder_raises(monkeypatch: pytest.MonkeyPatch, cause: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise cause

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError) as caught:
        decode(b"")
    assert (caught.value.error, caught.value.__cause__) == (type(cause).__name__, cause)


VALID = {form: encoded(picture(), form) for form in ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "PPM", "BMP", "TGA", "ICO"]}


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(VALID)), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=5))
def test_mutated_pictures_decode_or_are_refused(form: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(VALID[form])
    for at, value in changes:
        data[at % len(data)] = value
    try:
        pixels = decode(bytes(data))
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    if form == "JPEG" and inspect(bytes(data)) is not None and inspect(bytes(data)).orientation == 1:  # type: ignore[union-attr]
        assert np.array_equal(pixels, pillow(bytes(data)))


def tiff_in_webp() -> bytes:
    """A TIFF with a compression that libtiff lacks, of which it complains on the standard error."""
    data = bytearray(encoded(picture(), "TIFF", compression="tiff_lzw"))
    at = data.index(struct.pack("<HHIH", 259, 3, 1, 5)) + 8
    data[at : at + 2] = struct.pack("<H", 50001)
    return bytes(data)


def test_nothing_of_a_library_reaches_the_terminal(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 2), 1)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    odd = [
        png_of(11_000, 11_000),  # large enough for Pillow to warn
        encoded(palette, "PNG", transparency=bytes([0, 255])),
        encoded(picture(), "TIFF", compression="tiff_lzw")[:-60],
        encoded(picture(), "TIFF")[:200] + bytes(20),
        with_exif(b"Exif\0\0II*\0\xff\xff\xff\xff"),
        tiff_in_webp(),
    ]
    for i, data in enumerate(odd):
        (tmp_path / str(i)).write_bytes(data)
    script = """
import pathlib, sys
from vae_batch.images import ImageError, decode
for path in pathlib.Path(sys.argv[1]).iterdir():
    try:
        decode(path.read_bytes())
    except ImageError:
        pass
"""
    command = [sys.executable, "-W", "always", "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_formats_that_run_programs_or_decode_nothing_are_off() -> None:
    assert not set(FORMATS) & {"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR"}
    assert {"JPEG", "PNG", "GIF", "PPM", "WEBP", "TIFF", "BMP"} <= set(FORMATS)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_progressive_jpeg_of_endless_scans_is_refused_at_once(mode: str) -> None:
    data = encoded(picture(64, 64).convert(mode), progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert decode(data[:-2] + last * 20 + data[-2:]).shape == (64, 64, 3)
    with pytest.raises(ImageError, match="a progressive JPEG of more than 100 scans"):
        decode(data[:-2] + last * 10_000 + data[-2:])


def test_bytes_behind_a_jpeg_are_no_scans() -> None:
    data = encoded(picture(64, 64), progressive=True) + b"\xff\xda" * 10_000
    assert decode(data).shape == (64, 64, 3)


@pytest.mark.parametrize("mode", ["I;16", "F", "RGBA"])
def test_memory_stays_near_that_of_the_picture(mode: str) -> None:
    size = (4000, 3000)
    plain = Image.new(mode, size, 1) if mode != "RGBA" else Image.new(mode, size, (1, 2, 3, 4))
    data = encoded(plain, "TIFF" if mode == "F" else "PNG")
    code = (
        "import resource, sys; from vae_batch.images import decode; data = sys.stdin.buffer.read();"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; decode(data);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", code], input=data, stdout=subprocess.PIPE, check=True).stdout)
    assert grown * 1024 < 15 * size[0] * size[1]


def test_a_reason_is_the_same_wherever_the_image_lies_in_memory() -> None:
    """Pillow names the object it reads from, with its address; rejects files are named by their content."""
    held, reasons = [], set()
    for _ in range(20):
        held.append(bytearray(1 << 12))
        with pytest.raises(ImageError) as caught:
            decode(b"no image")
        reasons.add(str(caught.value))
    assert len(reasons) == 1 and "it begins with b'no image'" in reasons.pop()
