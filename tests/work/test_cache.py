"""Decoded images for training: what is in the cache, when it is made anew, and what may happen while it grows."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from tests.conftest import PLUG, image_bytes
from vae_batch.errors import OutputError, SourceError, SpecError, UnitError
from vae_batch.images import Transform, load_image
from vae_batch.images.cache import CacheWriter, ImageCache
from vae_batch.sources import open_source, plan_units
from vae_batch.sources.reading import Reading
from vae_batch.specs import TrainSpec
from vae_batch.work import cache as making
from vae_batch.work import decoders
from vae_batch.work.cache import open_cache
from vae_batch.work.decoding import Decoding

IMAGES = 30


def write_images(folder: Path, words: dict[int, str] | None = None, images: int = IMAGES) -> Path:
    folder.mkdir()
    for i in range(images):
        word = (words or {}).get(i)
        (folder / f"{i:03}.jpg").write_bytes(image_bytes(i) + (f"poison:{word}".encode() if word else b""))
    return folder


def spec(source: Path, **more: Any) -> TrainSpec:
    return TrainSpec(source=str(source), out="out", **{"image_size": 16, **more})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a broken one in their midst, and a file that is none."""
    folder = write_images(tmp_path_factory.mktemp("cache") / "source")
    (folder / "007x.jpg").write_bytes(image_bytes(7)[:300])
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "UNIT_BYTES", 16 * 16 * 3 * 7)


def expected(source: Path, size: int = 16) -> tuple[list[str], np.ndarray]:
    ids, images = [], []
    for path in sorted(source.glob("???.jpg")):
        images.append(np.empty((size, size, 3), np.uint8))
        load_image(path.read_bytes(), Transform(size), images[-1])
        ids.append(path.name)
    return ids, np.stack(images)


@pytest.mark.usefixtures("small_units")
def test_images_ids_and_rejects_in_the_order_of_the_source(source: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    cache = open_cache(spec(source), tmp_path / "cache", seen.append)
    ids, images = expected(source)
    assert list(cache.ids) == ids == [cache.ids[i] for i in range(IMAGES)] and cache.ids[-2:] == ids[-2:]
    assert np.array_equal(cache.images.numpy(), images)
    assert (cache.count, cache.rejected, cache.size, len(cache.ids)) == (IMAGES, 1, 16, IMAGES)
    assert [(r.id, r.stage, len(r.sha256 or "")) for r in cache.examples] == [("007x.jpg", "decode", 64)]
    assert cache.transform == Transform(16).to_dict()
    assert seen == sorted(seen) and seen[-1] == IMAGES
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [cache.folder.name]
    assert sorted(p.name for p in cache.folder.iterdir()) == ["cache.json", "ids.arrow", "pixels.u8", "rejects.jsonl"]


def test_tars_and_several_threads_give_the_same(source: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as tar:
        for path in sorted(source.iterdir()):
            tar.add(path, path.name)
    opened = open_source(str(tmp_path / "images.tar.gz"))
    decoding = Decoding(str(tmp_path), Reading(opened.root), Transform(16))
    done = list(decoders.Decoders(decoding, 1, threads=3).run(plan_units(opened), tmp_path, lambda images: None))
    assert len(done) == 1 and done[0][0].read_bytes() == expected(source)[1].tobytes()


def test_equal_images_are_decoded_once_and_others_have_a_cache_of_their_own(source: Path, tmp_path: Path) -> None:
    first = open_cache(spec(source), tmp_path)
    before = (first.folder / "pixels.u8").stat().st_mtime_ns
    again = open_cache(spec(source, batch_size=8, seed=3), tmp_path)
    assert (again.folder / "pixels.u8").stat().st_mtime_ns == before
    assert again.folder == first.folder and again.fingerprint == first.fingerprint
    for other in ({"image_size": 24}, {"crop": "none"}, {"fit": "contain"}):
        assert open_cache(spec(source, **other), tmp_path).folder != first.folder
    assert len(list(tmp_path.iterdir())) == 4


def test_a_source_that_changes_is_decoded_anew(tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", images=3)
    first = open_cache(spec(source), tmp_path / "cache")
    (source / "new.jpg").write_bytes(image_bytes(9))
    assert open_cache(spec(source), tmp_path / "cache").count == first.count + 1 == 4


def test_split_and_exclusion_are_those_of_encode(source: Path, tmp_path: Path) -> None:
    (tmp_path / "parts.csv").write_text(
        "id,partition\n" + "".join(f"{i:03}.jpg,{int(i % 3 == 0)}\n" for i in range(IMAGES))
    )
    (tmp_path / "without").write_text("003.jpg\n")
    wanted = spec(source, labels=str(tmp_path / "parts.csv"), split="validation", exclude=str(tmp_path / "without"))
    assert list(open_cache(wanted, tmp_path / "cache").ids) == [f"{i:03}.jpg" for i in range(0, IMAGES, 3) if i != 3]


def test_boxes_of_other_images_are_refused_before_anything_is_decoded(source: Path, tmp_path: Path) -> None:
    rows = "".join(f"{i:03}.jpg,200,200,90,90\n" for i in range(IMAGES))
    (tmp_path / "boxes.csv").write_text("id,x_1,y_1,width,height\n" + rows)
    with pytest.raises(SpecError, match="the boxes leave the image for 30 of 30 images looked at"):
        open_cache(spec(source, labels=str(tmp_path / "boxes.csv"), crop="box"), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_nothing_of_use_is_an_error_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(SourceError, match=r"no image of .* can be used: all 1 were rejected, the first, a\.jpg, since"):
        open_cache(spec(tmp_path / "source"), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_location_that_cannot_be_mapped_is_refused(source: Path) -> None:
    with pytest.raises(SpecError, match="cache=s3://b/c: decoded images are mapped into memory"):
        open_cache(spec(source), "s3://b/c")


@pytest.mark.usefixtures("small_units")
def test_images_that_kill_or_hang_their_process_are_rejects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(PLUG), *sys.path])
    monkeypatch.setattr(decoders, "HANG_SECONDS", 1.0)
    source = write_images(tmp_path / "source", {2: "abort", 5: "exit", 16: "grip", 29: "segfault"})
    cache = open_cache(spec(source), tmp_path / "cache")
    assert list(cache.ids) == [f"{i:03}.jpg" for i in range(IMAGES) if i not in (2, 5, 16, 29)]
    lines = [json.loads(line) for line in (cache.folder / "rejects.jsonl").read_text().splitlines()]
    assert [(line["id"], line["error"]) for line in lines] == [
        *(("002.jpg", "ProcessCrash"), ("005.jpg", "ProcessCrash")),
        *(("016.jpg", "Timeout"), ("029.jpg", "ProcessCrash")),
    ]
    for path in list(source.glob("*.jpg")):
        if path.name not in cache.ids:
            path.unlink()
    assert np.array_equal(cache.images.numpy(), expected(source)[1])


def test_workers_killed_from_outside_make_nobody_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(PLUG), *sys.path])
    source = write_images(tmp_path / "source", dict.fromkeys(range(IMAGES), "slow:0.02"))
    killed: list[int] = []

    def kill(images: int) -> None:
        """The process at the bottom: whoever decodes."""
        family = psutil.Process(running._process.pid).children(recursive=True)
        if len(family) == 2 and family[-1].pid not in killed and len(killed) < 2:
            killed.append(family[-1].pid)
            family[-1].kill()

    running = decoders.Decoders(Decoding(str(tmp_path), Reading(str(source)), Transform(16)), 1)
    units = plan_units(open_source(str(source)), IMAGES)
    pixels = b"".join(path.read_bytes() for path, _ in running.run(units, tmp_path, kill))
    assert len(killed) == 2
    assert pixels == expected(source)[1].tobytes()


def test_a_keeper_killed_from_outside_is_told(source: Path, tmp_path: Path) -> None:
    running = decoders.Decoders(Decoding(str(tmp_path), Reading(str(source)), Transform(16)), 1)
    running._process.kill()
    for process in psutil.Process(running._process.pid).children(recursive=True):
        process.kill()
    with pytest.raises(UnitError, match="were ended from outside"):
        list(running.run(plan_units(open_source(str(source))), tmp_path, lambda images: None))


def test_nobody_uses_what_a_killed_process_left(source: Path, tmp_path: Path) -> None:
    slow = write_images(tmp_path / "slow", dict.fromkeys(range(IMAGES), "slow:0.2"))
    code = f"""
from tests.work.test_cache import spec
from vae_batch.work.cache import open_cache
open_cache(spec({str(slow)!r}), {str(tmp_path / "cache")!r})
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PLUG), *filter(None, sys.path)])}
    process = subprocess.Popen([sys.executable, "-c", code], env=env)
    try:
        end = time.monotonic() + 60
        while not list((tmp_path / "cache").glob("*/work/*.u8")) and time.monotonic() < end:
            time.sleep(0.02)
        family = psutil.Process(process.pid).children(recursive=True)
        (left,) = (tmp_path / "cache").iterdir()
        assert left.name.endswith(".tmp")
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert family and not alive
    cache = open_cache(spec(source), tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [cache.folder.name]


def test_a_disk_that_is_too_small_is_told_before(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10_000}))
    with pytest.raises(OutputError, match=r"32 images decoded at 16 pixels take 0.0 GB, and .* has 0.0 GB free"):
        open_cache(spec(source), tmp_path)


def test_a_disk_that_fills_up_is_told_and_nothing_is_left(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(CacheWriter, "add", full)
    with pytest.raises(OutputError, match="no room is left for decoded images in"):
        open_cache(spec(source), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_cache_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    cache = open_cache(spec(source), tmp_path)
    with (cache.folder / "pixels.u8").open("ab") as file:
        file.write(b"x")
    with pytest.raises(OutputError, match=r"are damaged \(23,041 bytes and 30 ids for 30 images\): delete that folder"):
        open_cache(spec(source), tmp_path)


def test_the_images_are_mapped_and_not_read(tmp_path: Path) -> None:
    """A gigabyte that nobody looks at takes no memory."""
    size, count = 512, 1400
    folder = tmp_path / "large"
    folder.mkdir()
    with CacheWriter(folder, size) as writer:
        (tmp_path / "few").write_bytes(b"\x07" * size * size * 3)
        writer.add(tmp_path / "few", ["a"], [])
        (tmp_path / "none").touch()
        writer.add(tmp_path / "none", [str(i) for i in range(1, count)], [])  # their pixels are a hole
    os.truncate(folder / "pixels.u8", count * size * size * 3)
    writer.finish({"transform.image_size": size})
    before = psutil.Process().memory_info().rss
    cache = ImageCache.open(folder)
    assert cache.images[0].float().mean() == 7 and cache.images[[0, 1000]].sum() == 7 * size * size * 3
    assert psutil.Process().memory_info().rss - before < 200 << 20
    assert isinstance(cache.images, torch.Tensor)
