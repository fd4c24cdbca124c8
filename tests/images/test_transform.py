"""Crop and resize: what the square is, that the bits are torch's, and that threads change nothing."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from vae_batch.errors import SpecError
from vae_batch.images import ImageError, Transform, decode, load_image


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("shape", [(218, 178), (178, 218), (64, 100), (100, 64), (63, 63), (1, 1), (1, 5), (301, 300)])
@pytest.mark.parametrize("size", [64, 17])
def test_the_bits_are_those_of_interpolate(shape: tuple[int, int], size: int) -> None:
    pixels = noise(*shape)
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    square = torch.from_numpy(pixels[top : top + side, left : left + side].copy()).permute(2, 0, 1)[None]
    expected = F.interpolate(square, size=(size, size), mode="bilinear", antialias=True)
    batch = np.zeros((3, size, size, 3), np.uint8)
    assert load_image(png(pixels), Transform(size), batch[1]) == (shape[1], shape[0])
    assert np.array_equal(batch[1], expected[0].permute(1, 2, 0).numpy())
    assert not batch[[0, 2]].any()


def test_an_image_of_the_right_size_is_left_alone() -> None:
    pixels = noise(32, 32)
    out = np.empty((32, 32, 3), np.uint8)
    load_image(png(pixels), Transform(32), out)
    assert np.array_equal(out, pixels)
    load_image(png(np.concatenate([pixels, pixels[:1]])), Transform(32), out)  # an odd row: cut below
    assert np.array_equal(out, pixels)


def test_close_to_pillow() -> None:
    smooth = np.asarray(Image.fromarray(noise(20, 20)).resize((178, 178), Image.Resampling.BICUBIC))
    out = np.empty((64, 64, 3), np.uint8)
    load_image(png(smooth), Transform(64), out)
    pillow = np.asarray(Image.fromarray(smooth).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(out.astype(int) - pillow).max() <= 3


def test_threads_change_nothing() -> None:
    images = [png(noise(90 + i, 120 - i, i)) for i in range(24)]

    def all_of(workers: int) -> np.ndarray:
        batch = np.zeros((len(images), 64, 64, 3), np.uint8)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda pair: load_image(pair[0], Transform(64), pair[1]), zip(images, batch, strict=True)))
        return batch

    assert np.array_equal(all_of(1), all_of(8))


def test_loading_starts_no_threads_where_torch_has_one() -> None:
    script = """
import io, os, numpy as np, torch
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from vae_batch.images import Transform, load_image
torch.set_num_threads(1)
out = io.BytesIO()
Image.fromarray(np.zeros((1500, 2000, 3), np.uint8)).save(out, "JPEG")
before = len(os.listdir("/proc/self/task"))
with ThreadPoolExecutor(2) as pool:
    for size in [64, 512] * 4:
        pool.submit(load_image, out.getvalue(), Transform(size), np.empty((size, size, 3), np.uint8))
    pool.submit(int).result()
    print(len(os.listdir("/proc/self/task")) - before)
"""
    if not os.path.isdir("/proc/self/task"):  # noqa: PTH112
        pytest.skip("counts threads in /proc")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"


def test_errors_say_at_which_stage() -> None:
    with pytest.raises(ImageError) as caught:
        load_image(b"no image", Transform(8), np.empty((8, 8, 3), np.uint8))
    assert (caught.value.stage, caught.value.error) == ("decode", "UnidentifiedImageError")
    with pytest.raises(ImageError) as caught:
        load_image(png(noise(9, 9)), Transform(8), np.empty((8, 8, 3), np.float32))  # type: ignore[arg-type]
    assert caught.value.stage == "transform"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.error) == (str(caught.value), caught.value.error)


def test_a_transform_goes_both_ways() -> None:
    config = {"image_size": 64, "crop": "center", "resample": "bilinear"}
    assert Transform(64).to_dict() == config
    assert Transform.from_dict(config) == Transform(64)
    assert Transform.from_dict({"image_size": 64}) == Transform(64)
    for other in [Transform(8, "center:148"), Transform(8, "4x3+0+1", "contain"), Transform(8, "box", decode="fast")]:
        assert Transform.from_dict(other.to_dict()) == other
        assert other.to_dict() != Transform(8).to_dict()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": 64, "flip": True}, "unknown keys flip"),
        ({"crop": "center"}, "lacks image_size"),
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": "64"}, "image_size is '64'"),
        ({"image_size": 64, "crop": "centre"}, "crop is 'centre'; it must be none, center, center:N"),
        ({"image_size": 64, "crop": "center:0"}, "crop is 'center:0'"),
        ({"image_size": 64, "crop": "148x148-1+0"}, "crop is '148x148-1"),
        ({"image_size": 64, "crop": None}, "crop is 'None'"),
        ({"image_size": 64, "fit": "fill"}, "fit is 'fill'; it must be one of cover, contain, stretch"),
        ({"image_size": 64, "decode": "quick"}, "decode is 'quick'"),
        ({"image_size": 64, "resample": "lanczos"}, "resample is 'lanczos'"),
    ],
)
def test_a_transform_that_is_not_known_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Transform.from_dict(config)


def test_decode_gives_what_load_image_saw() -> None:
    pixels = noise(16, 16)
    assert np.array_equal(decode(png(pixels)), pixels)
