"""Probes fitted to posteriors in Parquet: what is found, what is left out, and that a prediction stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch import storage
from vae_batch.errors import OutputError, SpecError
from vae_batch.latents.posteriors import PosteriorPart, Posteriors
from vae_batch.noise import uniform
from vae_batch.probes import LinearSums, Predictor, Probes, fit, fit_probes, read_probes

ROWS, DIMS = 3000, 6
RNG = np.random.default_rng(0)
MEAN = RNG.standard_normal((ROWS, DIMS))
MEAN[:, 5] *= 1e-3  # left to the prior: the decoder makes nothing of it
VARIANCE = np.full((ROWS, DIMS), 0.01)
VARIANCE[:, 5] = 1.0
LINE = MEAN[:, 0] - 2 * MEAN[:, 1] + 3
IDS = [f"faces/{i}.jpg" for i in range(ROWS)]
HELD = uniform(0, [f"probe/held out/{i}" for i in IDS]) < fit.HELD_SHARE


def posteriors(folder: Path, labels: Mapping[str, Any], variance: np.ndarray | None = VARIANCE) -> Posteriors:
    """Three parts of a data set with these labels."""
    parts = []
    for unit, rows in enumerate(np.array_split(np.arange(ROWS), 3)):
        spread: Any = list(variance[rows]) if variance is not None else [None] * len(rows)
        columns = {
            "id": [IDS[i] for i in rows],
            "mean": pa.array(list(MEAN[rows]), pa.list_(pa.float32(), DIMS)),
            "variance": pa.array(spread, pa.list_(pa.float32(), DIMS)),
            **{name: pa.array([values[i] for i in rows]) for name, values in labels.items()},
        }
        file = folder / f"{unit}.parquet"
        pq.write_table(pa.table(columns), file, row_group_size=300)
        parts.append(PosteriorPart(unit, str(file), len(rows)))
    return Posteriors(str(folder), "m", DIMS, "d", tuple(parts), 3, tuple(part.rows for part in parts))


def fitted(folder: Path, labels: Mapping[str, Any], named: bool = False, **more: Any) -> Probes:
    kinds = [(name, pa.array(list(values[:3]) + list(values[-3:])).type) for name, values in labels.items()]
    return fit_probes(posteriors(folder, labels, **more), kinds, named)


def test_numbers_and_two_values(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).standard_normal(ROWS)
    labels = {
        "line": LINE,
        "whole": np.round(LINE).astype(np.int64),
        "half": LINE + noise * LINE.std(),
        "sign": (LINE + noise > 3).tolist(),
        "coin": np.where(noise > 0, 7.0, -7.0),
    }
    probes = fitted(tmp_path, labels)
    scores = {score.attribute: score for score in probes.scores}
    assert [score.metric for score in probes.scores] == ["R²", "R²", "R²", "AUC", "AUC"]
    assert scores["line"].at_mean == pytest.approx(1, abs=1e-3)
    assert scores["line"].at_draw == pytest.approx(1 - 5 * 0.01 / LINE.var(), abs=3e-3)  # the draw moves it so much
    assert scores["half"].at_mean == pytest.approx(0.5, abs=0.1)
    assert scores["sign"].at_mean > 0.85 and scores["sign"].values == (0.0, 1.0)
    assert abs(scores["coin"].at_mean - 0.5) < 0.1 and scores["coin"].values == (-7.0, 7.0)
    assert all((s.fitted_on, s.held_out) == (int((~HELD).sum()), int(HELD.sum())) for s in probes.scores)
    assert probes.left_out == {} and probes.facts == {"model": "m", "latents": "d", "rows": ROWS}
    np.testing.assert_allclose(probes.predict(MEAN)[:, 0], LINE, atol=0.2)
    np.testing.assert_allclose(probes.weights[0], [1, -2, 0, 0, 0, 0], atol=0.05)


def test_probabilities_are_those_of_the_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    true = 1 / (1 + np.exp(-(LINE - 3)))
    probes = fitted(tmp_path, {"label": (rng.random(ROWS) < true).tolist()})
    said = probes.predict(MEAN)[:, 0]
    assert said.min() >= 0 and said.max() <= 1
    assert np.abs(said - true).mean() < 0.04


def test_what_the_posterior_leaves_to_the_prior_has_no_weight(tmp_path: Path) -> None:
    """The mean of the last dimension knows all, in a thousandth: a draw knows nothing."""
    probes = fitted(tmp_path, {"hidden": MEAN[:, 5] * 1000})
    assert abs(probes.weights[0, 5]) < 2
    assert abs(fitted(tmp_path, {"hidden": MEAN[:, 5] * 1000}, variance=None).weights[0, 5]) > 10


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    there = rng.random(ROWS) < 0.5
    sparse = [value if known else None for value, known in zip(LINE, there, strict=True)]
    broken = [float("nan") if known else value for value, known in zip(LINE, there, strict=True)]
    rare = [1.0 if i in (5, 1000, 2000) else 0.0 for i in range(ROWS)]
    labels = {
        "whole": LINE,
        "sparse": sparse,
        "broken": broken,
        "rare": rare,
        "few": [LINE[i] if i < 6 else None for i in range(ROWS)],
        "same": np.ones(ROWS),
        "none": pa.nulls(ROWS, pa.float64()).to_pylist(),
        "word": ["a", "b"] * (ROWS // 2),
    }
    kinds = [(name, pa.string() if name == "word" else pa.float64()) for name in labels]
    data = posteriors(tmp_path, {**labels, "none": np.full(ROWS, np.nan)})
    probes = fit_probes(data, kinds, False)
    scores = {score.attribute: score for score in probes.scores}
    assert list(scores) == ["whole", "sparse", "broken"] and all(s.at_mean > 0.99 for s in probes.scores)
    assert scores["sparse"].fitted_on == (there & ~HELD).sum() and scores["sparse"].held_out == (there & HELD).sum()
    assert scores["broken"].fitted_on == (~there & ~HELD).sum()
    assert probes.left_out == {
        "word": "text",
        "same": "one value only",
        "none": "no value",
        "rare": "only 3 rows of one of two values",
        "few": "only 6 rows with a value",
    }
    with pytest.raises(SpecError, match=r"of --attributes these cannot be predicted: word \(text\)"):
        fit_probes(data, [("whole", pa.float64()), ("word", pa.string())], True)
    with pytest.raises(SpecError, match=r"no label that can be predicted: same \(one value only\)"):
        fit_probes(data, [("same", pa.float64())], False)
    with pytest.raises(SpecError, match=r"no label that can be predicted$"):
        fit_probes(data, [], False)


def test_too_many_covariances_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_BYTES", 8 * DIMS**2)
    labels = {"whole": LINE, "sparse": [None, *LINE[1:]]}
    with pytest.raises(SpecError, match="2 covariances of latents of 6 numbers"):
        fit_probes(posteriors(tmp_path, labels), [("whole", pa.float64()), ("sparse", pa.float64())], False)
    assert fit_probes(posteriors(tmp_path, labels), [("whole", pa.float64())], False).scores


def test_only_so_many_rows_are_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "HELD_ROWS", 100)
    (score,) = fitted(tmp_path, {"line": LINE}).scores
    assert 60 < score.held_out < 140 and score.fitted_on == ROWS - score.held_out


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 20), st.sampled_from([0.0, 1e5]))
def test_sums_are_those_of_all_rows_at_once(seed: int, rows: int, at_once: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    mean, variance, target = far + rng.standard_normal((rows, 3)), rng.random((rows, 3)), rng.random((rows, 2))
    sums = LinearSums()
    for at in range(0, rows, at_once):
        sums.add(*(x[at : at + at_once] for x in (mean, variance, target)))
    weights, bias = sums.solve()
    covariance = np.cov(mean.T, bias=True) + np.diag(variance.mean(0))
    covariance += np.eye(3) * 1e-4 * np.trace(covariance) / 3
    centred = mean - mean.mean(0)
    np.testing.assert_allclose(weights @ covariance, (target - target.mean(0)).T @ centred / rows, atol=1e-8)
    np.testing.assert_allclose(bias + weights @ mean.mean(0), target.mean(0), atol=1e-8)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Probes, Predictor]:
    folder = tmp_path_factory.mktemp("kept")
    probes = fitted(folder, {"line": LINE, "sign": (LINE > 3).tolist(), "word": ["a"] * ROWS})
    file = folder / "probes.safetensors"
    file.write_bytes(probes.to_bytes())
    names = tuple(score.attribute for score in probes.scores)
    return probes, Predictor(names, str(file), storage.file_sha256(file))


def test_the_file_keeps_them_and_equal_probes_have_equal_files(kept: tuple[Probes, Predictor], tmp_path: Path) -> None:
    probes, predictor = kept
    again = predictor.probes()
    assert again.to_bytes() == probes.to_bytes()
    assert (again.scores, again.left_out, again.facts) == (probes.scores, probes.left_out, probes.facts)
    labels = {"line": LINE, "sign": (LINE > 3).tolist(), "word": ["a"] * ROWS}
    assert fitted(tmp_path, labels).to_bytes() == probes.to_bytes()


@given(st.integers(1, 70), st.integers(0, 10**6))
def test_a_prediction_depends_on_its_latent_alone(kept: tuple[Probes, Predictor], rows: int, seed: int) -> None:
    latents = np.random.default_rng(seed).standard_normal((rows, DIMS)).astype(np.float32) * 3
    together = kept[1](latents)
    assert list(together) == ["predicted_line", "predicted_sign"]
    for name, values in together.items():
        alone = [kept[1](latents[i : i + 1])[name][0] for i in range(rows)]
        assert values.dtype == np.float32 and np.array_equal(values, alone)


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\x02\0\0\0\0\0\0\0{}"])
def test_what_holds_no_probes_is_refused(kept: tuple[Probes, Predictor], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(OutputError, match="holds no probes that"):
        read_probes(str(tmp_path / "x"), "")
    with pytest.raises(OutputError, match="no such file of probes"):
        read_probes(str(tmp_path / "y"), "")
    with pytest.raises(OutputError, match="its content was changed"):
        Predictor(kept[1].attributes, kept[1].file, "0" * 64).probes()
