from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samplers.stored import stored
from vae_batch.errors import SpecError
from vae_batch.latents.posteriors import Posteriors
from vae_batch.samplers import Interpolate, read_pairs
from vae_batch.samplers.ways import lerp, slerp

ROWS, DIMS = 23, 3
IDS = [f"faces/{i:03d}.jpg" for i in range(ROWS)]
MEAN = np.random.default_rng(0).standard_normal((ROWS, DIMS)).astype(np.float32)
LATENT = dict(zip(IDS, MEAN, strict=True))

vectors = st.lists(st.floats(-10, 10, width=16), min_size=4, max_size=4).map(lambda x: np.array([x]))


@pytest.fixture(scope="module")
def posteriors(tmp_path_factory: pytest.TempPathFactory) -> Posteriors:
    return stored(tmp_path_factory.mktemp("x"), MEAN, None, IDS, {"glasses": [i % 3 == 0 for i in range(ROWS)]})


@given(vectors, vectors, st.floats(0, 1))
def test_an_arc_keeps_its_angle_and_its_length_goes_evenly(a: np.ndarray, b: np.ndarray, t: float) -> None:
    (z,) = slerp(a, b, np.array([t]))
    one, other = np.linalg.norm(a), np.linalg.norm(b)
    cosine = float((a @ b.T).item()) / (one * other) if one and other else 1.0
    if abs(cosine) > 1 - 1e-9:
        np.testing.assert_allclose(z, lerp(a, b, np.array([t]))[0], atol=1e-3)
        return
    assert np.linalg.norm(z) == pytest.approx((1 - t) * one + t * other, rel=1e-6)
    if t > 0 and np.linalg.norm(z):
        turned = np.arccos(np.clip(a[0] @ z / (one * np.linalg.norm(z)), -1, 1))
        assert turned == pytest.approx(t * np.arccos(np.clip(cosine, -1, 1)), abs=1e-4)


@pytest.mark.parametrize("way", [lerp, slerp])
@pytest.mark.parametrize("b", [[1, 2, 2], [-1, -2, -2], [0, 0, 0], [2, 4, 4.0000001], [2, -2, 1]])
def test_ways_begin_and_end_where_they_should(way: object, b: list[float]) -> None:
    ends = np.array([[1.0, 2.0, 2.0]]), np.array([b], float)
    assert callable(way)
    for t, end in zip((0.0, 1.0), ends, strict=True):
        np.testing.assert_allclose(way(*ends, np.array([t])), end, rtol=1e-15, atol=1e-15)
    assert np.isfinite(way(*ends, np.array([0.3]))).all()


@given(st.integers(0, 2**64 - 1), st.integers(0, 300), st.integers(1, 40), st.booleans())
def test_an_image_depends_on_its_number_alone(
    posteriors: Posteriors, seed: int, first: int, count: int, arc: bool
) -> None:
    sampler = Interpolate(posteriors, posteriors, False, seed, 4, arc)
    drawn = sampler.draw(first, count)
    for i in range(count):
        alone = sampler.draw(first + i, 1)
        assert np.array_equal(alone.latents[0], drawn.latents[i])
        assert {name: values[0] for name, values in alone.origin.items()} == {k: v[i] for k, v in drawn.origin.items()}
        source, target = drawn.origin["source_id"][i], drawn.origin["target_id"][i]
        assert source != target and drawn.origin["t"][i] == ((first + i) % 4) / 3
        ends = [LATENT[name][None].astype(float) for name in (source, target)]
        wanted = (slerp if arc else lerp)(*ends, np.array(drawn.origin["t"][i : i + 1]))
        np.testing.assert_array_equal(drawn.latents[i], wanted[0].astype(np.float32))


def test_pairs_are_of_all_images_and_differ_by_the_seed(posteriors: Posteriors) -> None:
    one = Interpolate(posteriors, posteriors, False, 1, 2, False).draw(0, 2000).origin
    other = Interpolate(posteriors, posteriors, False, 2, 2, False).draw(0, 2000).origin
    assert set(one["source_id"]) == set(one["target_id"]) == set(IDS)
    assert one["source_id"] != other["source_id"]


def test_across_leads_from_without_to_with_and_keeps_within_where(posteriors: Posteriors) -> None:
    some = posteriors.where("id < 'faces/020.jpg'")
    targets, sources = some.split("glasses", "glasses", "--across")
    origin = Interpolate(sources, targets, True, 0, 2, False).draw(0, 1000).origin
    assert set(origin["source_id"]) == {IDS[i] for i in range(20) if i % 3}
    assert set(origin["target_id"]) == {IDS[i] for i in range(0, 20, 3)}
    with pytest.raises(SpecError, match="is false for none of the 20 rows"):
        some.split("id > 'f'", "id > 'f'", "--across")


def test_given_pairs_in_their_order(posteriors: Posteriors, tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(f"note,target_id,source_id\nx,{IDS[3]},{IDS[20]}\ny,{IDS[3]},{IDS[3]}\n")
    pairs, digest = read_pairs(str(file), posteriors)
    sampler = Interpolate(posteriors, posteriors, False, 0, 3, False, pairs)
    drawn = sampler.draw(0, 8)
    assert sampler.total == 6 and len(digest) == 64
    assert drawn.origin["source_id"] == [IDS[20]] * 3 + [IDS[3]] * 3 + [""] * 2
    assert np.array_equal(drawn.latents[[0, 2, 4]], MEAN[[20, 3, 3]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "must name source_id and target_id; it has a, b"),
        ("", "must name source_id and target_id"),
        ("source_id,target_id\n", "has no pair"),
        (f"source_id,target_id\n{IDS[0]}\n", "pair 1 has no target_id"),
        (f"source_id,target_id\n{IDS[0]},nobody.jpg\nnone.jpg,nobody.jpg\n", "no row .* 2: nobody.jpg, none.jpg$"),
        (b"source_id,target_id\n\xff,x\n", "cannot be read as CSV"),
        (None, "there is no such file"),
    ],
)
def test_pairs_that_are_none(posteriors: Posteriors, tmp_path: Path, text: str | bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / "pairs.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SpecError, match=message):
        read_pairs(str(tmp_path / "pairs.csv"), posteriors)


def test_pairs_keep_to_where(posteriors: Posteriors, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(f"source_id,target_id\n{IDS[3]},{IDS[5]}\n{IDS[6]},{IDS[3]}\n")
    with pytest.raises(SpecError, match=f"among those that count: 1: {IDS[5]}"):
        read_pairs(str(tmp_path / "pairs.csv"), posteriors.where("glasses"))
