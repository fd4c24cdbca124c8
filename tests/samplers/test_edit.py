from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samplers.stored import stored
from vae_batch import storage
from vae_batch.errors import OutputError, SpecError
from vae_batch.latents.condition import condition
from vae_batch.latents.posteriors import Posteriors
from vae_batch.samplers import AttributeVector, Density, Edit, attribute_vector, read_fit

ROWS, DIMS = 200, 4
RNG = np.random.default_rng(3)
IDS = [f"{i}.jpg" for i in range(ROWS)]
BEARD = np.round(RNG.uniform(0, 1, ROWS), 3)
GLASSES = RNG.uniform(0, 1, ROWS) < 0.2 + 0.6 * BEARD  # beards wear glasses more often
EFFECTS = np.array([[1.0, 0.0, 0.5, 0.0], [0.0, 2.0, 0.5, 0.0]])
MEAN = 3.0 + np.stack([GLASSES, BEARD], 1) @ EFFECTS + 0.01 * RNG.standard_normal((ROWS, DIMS))
LABELS: dict[str, Any] = {
    "glasses": [None if i % 50 == 7 else bool(worn) for i, worn in enumerate(GLASSES)],
    "beard": [None if i % 50 == 9 else float(b) for i, b in enumerate(BEARD)],
    "worn": [(1 if worn else -1) for worn in GLASSES],
    "many": (BEARD * 1e9).tolist(),
    "one": [4.0] * ROWS,
    "hair": ["red", "black"] * (ROWS // 2),
    "5 o'clock": [float("nan") if i == 0 else i % 2 for i in range(ROWS)],
    "late": [0.0, 0.5, *[1.0] * (ROWS - 2)],
}


@pytest.fixture(scope="module")
def posteriors(tmp_path_factory: pytest.TempPathFactory) -> Posteriors:
    return stored(tmp_path_factory.mktemp("x"), MEAN, None, IDS, LABELS)


def learn(posteriors: Posteriors, attribute: str, *balance: str) -> tuple[np.ndarray, dict[str, int]]:
    known, _ = condition(posteriors.dataset(), attribute, "--attribute")
    return attribute_vector(*posteriors.split(known, attribute, "--attribute"), balance)


def test_without_labels_it_is_the_difference_of_the_means(posteriors: Posteriors) -> None:
    known = np.array([value is not None for value in LABELS["glasses"]])
    vector, counts = learn(posteriors, "glasses")
    np.testing.assert_allclose(vector, MEAN[known & GLASSES].mean(0) - MEAN[known & ~GLASSES].mean(0), rtol=1e-12)
    assert counts == {"with": (known & GLASSES).sum(), "without": (known & ~GLASSES).sum(), "left_out": 0}
    assert vector[1] > 0.3  # beards go with glasses, and so come along


@pytest.mark.parametrize("labels", [["beard"], ["beard", "one"], ["beard", "one", "5 o'clock"]])
def test_balanced_it_is_least_squares_with_the_labels(posteriors: Posteriors, labels: list[str]) -> None:
    columns = [np.array(LABELS[name], float) for name in ["glasses", *labels]]
    design = np.stack([*columns, np.ones(ROWS)], 1)
    known = np.isfinite(design).all(1)
    wanted = np.linalg.lstsq(design[known], MEAN[known], rcond=None)[0][0]
    vector, counts = learn(posteriors, "glasses", *labels)
    np.testing.assert_allclose(vector, wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(vector, EFFECTS[0], atol=0.01)
    assert counts["with"] + counts["without"] == known.sum() and counts["left_out"] > 0


def test_the_unit_of_a_label_does_not_matter(posteriors: Posteriors) -> None:
    np.testing.assert_allclose(learn(posteriors, "worn", "many")[0], EFFECTS[0], atol=0.01)


@pytest.mark.parametrize("label", ["worn", "hair"])
def test_labels_that_decide_the_attribute_are_refused(posteriors: Posteriors, label: str) -> None:
    attribute, balance = ("glasses", "worn") if label == "worn" else ("hair = 'red'", "5 o'clock")
    with pytest.raises(SpecError, match=f"--balance {balance}: these labels decide the attribute"):
        learn(posteriors, attribute, balance)


@pytest.mark.parametrize(
    ("attribute", "wanted", "remark"),
    [
        ("glasses", [v is True for v in LABELS["glasses"]], ""),
        ("NOT glasses", [v is False for v in LABELS["glasses"]], ""),
        ("worn", GLASSES, ""),
        ("many", np.median(BEARD) < BEARD, "split at its median, "),
        ("5 o'clock", [i % 2 == 1 for i in range(ROWS)], ""),
        ("late", [i >= 2 for i in range(ROWS)], "at its median, 1: rows at it have it"),
        ("hair = 'red' -- as they say", [i % 2 == 0 for i in range(ROWS)], ""),
    ],
)
def test_a_column_or_a_condition(posteriors: Posteriors, attribute: str, wanted: Any, remark: str) -> None:
    known, said = condition(posteriors.dataset(), attribute, "--attribute")
    having, lacking = posteriors.split(known, attribute, "--attribute")
    ids = [i for batch in having.read(["id"]) for i in batch.column(0).to_pylist()]
    assert ids == [name for name, there in zip(IDS, wanted, strict=True) if there]
    assert remark in said and bool(said) == bool(remark)
    neither = {"glasses": 4, "NOT glasses": 4, "5 o'clock": 1}.get(attribute, 0)
    assert having.total + lacking.total == ROWS - neither


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("one", "--attribute one: the column has the value 4.0 only"),
        ("hair", "--attribute hair: the column holds string, neither bools nor numbers; give a condition"),
        ("mean", "neither bools nor numbers"),
        ("smile", "--attribute 'smile': .*\"smile\" not found.* The columns are id, mean"),
        ("beard > 2", "--attribute 'beard > 2' is true for none of the 200 rows"),
        ("many >= 0", "--attribute 'many >= 0' is false for none of the 200 rows"),
    ],
)
def test_what_is_no_attribute_is_refused(posteriors: Posteriors, attribute: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        learn(posteriors, attribute)


@given(st.integers(0, 640), st.integers(1, 40))
def test_image_i_is_strength_i_mod_k_of_image_i_div_k(
    posteriors: Posteriors, kept: dict[str, str], first: int, count: int
) -> None:
    strengths = (-1.0, 0.0, 2.5)
    sampler = Edit(posteriors, "glasses", strengths, **kept)
    drawn = sampler.draw(first, count)
    assert sampler.total == 600
    for i in range(max(0, min(count, 600 - first))):
        face, k = divmod(first + i, 3)
        assert np.array_equal(drawn.latents[i], (MEAN[face] + strengths[k] * np.arange(4)).astype(np.float32))
        row = {name: values[i] for name, values in drawn.origin.items()}
        assert row == {"source_id": IDS[face], "attribute": "glasses", "strength": strengths[k]}
    assert {len(values) for values in drawn.origin.values()} == {count}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where a vector is, and its digest."""
    file = tmp_path_factory.mktemp("kept") / "fit.safetensors"
    content = AttributeVector(np.arange(4.0), {"model": "m", "attribute": "glasses"}).to_bytes()
    file.write_bytes(content)
    return {"file": str(file), "sha256": storage.bytes_sha256(content)}


def test_a_fit_of_another_sampler_is_refused(kept: dict[str, str], tmp_path: Path) -> None:
    assert read_fit(AttributeVector, kept["file"])[0].vector.tolist() == [0, 1, 2, 3]
    with pytest.raises(OutputError, match="is no fit that `generate --sampler fitted` wrote"):
        read_fit(Density, kept["file"])
    density = Density(np.ones(1), np.zeros((1, 2)), np.eye(2)[None], {"model": "m"})
    (tmp_path / "density").write_bytes(density.to_bytes())
    with pytest.raises(OutputError, match="is no fit that `generate --sampler edit` wrote"):
        read_fit(AttributeVector, str(tmp_path / "density"))
