"""A short run of the fuzzer, the same each time; `python -m tests.fuzz` is the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.check import check_image, check_source
from tests.fuzz.damage import DAMAGES, damaged
from tests.fuzz.seeds import SHARDS, images, listing, members

IMAGES = images()


@pytest.mark.parametrize("name", IMAGES)
def test_valid_images_are_rows(name: str) -> None:
    assert check_image(IMAGES[name]) == "row"


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_images_are_rows_or_rejects(name: str) -> None:
    rng = random.Random(name)
    verdicts = {check_image(damaged(rng, IMAGES[name], rng.choice(list(IMAGES.values())))) for _ in range(60)}
    assert len(verdicts) > 1


@pytest.mark.parametrize("name", SHARDS)
def test_undamaged_shards_are_read_whole(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(SHARDS[name](members()))
    found = check_source(tmp_path / name)
    assert found["row"] == 8 and sum(found.values()) - found["skipped"] == 8


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", SHARDS)
def test_damaged_shards_are_refused_or_accounted_for(name: str, damage: object, tmp_path: Path) -> None:
    rng, whole = random.Random(f"{name}{damage}"), SHARDS[name](members())
    for i in range(4):
        path = tmp_path / f"{i}{name}"
        path.write_bytes(damage(rng, whole, rng.choice(list(IMAGES.values()))))  # type: ignore[operator]
        check_source(path)


def test_damaged_listings_are_refused_or_accounted_for(tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / "list.csv"
    whole = listing(tmp_path, members())
    path.write_bytes(whole)
    assert check_source(path)["row"] == 8
    for _ in range(40):
        path.write_bytes(damaged(rng, whole, IMAGES["png"]))
        check_source(path)
