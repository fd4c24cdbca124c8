"""Figures of evaluation on points whose answer is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest

from vae_batch.analysis.attributes import compare_attributes, wasserstein
from vae_batch.analysis.copying import copying, mann_whitney_z
from vae_batch.analysis.evaluation import Compared, measure
from vae_batch.analysis.features import MAX_DIMS, gather, hashed, hashed_dims
from vae_batch.cli.evaluate_tables import show
from vae_batch.errors import SpecError

Points = np.ndarray


class InMemory:
    """Posteriors in memory, given in batches."""

    def __init__(self, means: Points, ids: Sequence[str], at_once: int = 64, **labels: Sequence[float | None]) -> None:
        self.means, self.ids, self.at_once, self.labels = means, list(ids), at_once, labels

    @property
    def total(self) -> int:
        return len(self.means)

    @property
    def dims(self) -> int:
        return self.means.shape[1]

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        every = {"id": self.ids, "mean": list(self.means.astype(np.float32)), **self.labels}
        table = pa.table({name: pa.array(every[name]) for name in columns})
        yield from table.to_batches(self.at_once)


def named(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(count)]


def test_a_choice_is_of_ids_whatever_their_order_and_batches() -> None:
    x, ids = np.random.default_rng(0).standard_normal((900, 3)), named("f", 900)
    found = gather(InMemory(x, ids), 50, 7)  # type: ignore[arg-type]
    back = gather(InMemory(x[::-1], ids[::-1], 11), 50, 7)  # type: ignore[arg-type]
    assert found.ids == back.ids and len(set(found.ids)) == 50 and found.rows == 900
    np.testing.assert_array_equal(found.means, x[[ids.index(i) for i in found.ids]].astype(np.float32))
    assert gather(InMemory(x, ids), 50, 8).ids != found.ids  # type: ignore[arg-type]
    assert set(gather(InMemory(x, ids), 5000, 7).ids) == set(ids)  # type: ignore[arg-type]
    mean, covariance = found.moments()
    np.testing.assert_allclose(mean, x.mean(0), atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), atol=1e-6)
    assert 380 < found.halves[0].count < 520


def test_hashing_keeps_distances_about() -> None:
    x = np.random.default_rng(0).standard_normal((60, 3 * MAX_DIMS - 5))
    y = hashed(x)
    assert y.shape == (60, hashed_dims(x.shape[1])) and y.shape[1] <= MAX_DIMS
    pairs = np.triu_indices(60, 1)
    before, after = (np.square(v[pairs[0]] - v[pairs[1]]).sum(1) for v in (x, y))
    ratio = after / before
    assert ratio.mean() == pytest.approx(1, abs=0.01) and ratio.std() < 1.5 * np.sqrt(2 / y.shape[1])
    np.testing.assert_array_equal(hashed(x[:, :MAX_DIMS]), x[:, :MAX_DIMS])


@pytest.mark.parametrize("copies", [0, 30, 400])
def test_copies_are_found(copies: int) -> None:
    rng = np.random.default_rng(1)
    train, held, fresh = (rng.standard_normal((400, 6)) for _ in range(3))
    made = np.concatenate([train[:copies] + 1e-3, fresh[copies:]])
    batches = ((named("t", 400)[i : i + 90], train[i : i + 90]) for i in range(0, 400, 90))
    found = copying(made, named("g", 400), held, batches, train[::-1])
    if not copies:
        assert abs(found.z) < 3 and found.below < 0.03 and found.train_first == pytest.approx(0.5, abs=0.08)
        return
    assert found.z < (-1.0 if copies == 30 else -5) and found.below >= copies / 400
    assert found.train_first >= copies / 400 and found.generated["min"] < 0.01 < found.held_out["min"]
    assert {(p.generated[1:], p.train[1:]) for p in found.closest} <= {(str(i), str(i)) for i in range(copies)}
    assert len(found.closest) == 10 and found.same == 0


def test_z_is_that_of_mann_and_whitney() -> None:
    x, y = np.array([1.0, 2, 5]), np.array([2.0, 3, 4, 6])
    pairs = sum((a > b) + 0.5 * (a == b) for a in x for b in y)
    assert mann_whitney_z(x, y) == pytest.approx((pairs - 6) / np.sqrt(12 * 8 / 12))


def test_wasserstein_is_the_shift_of_a_shifted_sample() -> None:
    x = np.random.default_rng(0).standard_normal(300)
    assert wasserstein(x, x) == 0 and wasserstein(x, x[::-1] + 0.7) == pytest.approx(0.7)
    assert wasserstein(np.array([0.0, 1.0]), np.array([0.0, 0.0, 3.0])) == pytest.approx(1 / 6 + 2 / 3)


def test_attributes_that_shift_are_told_from_those_that_do_not() -> None:
    rng = np.random.default_rng(2)
    real, made = rng.standard_normal((1200, 5)), rng.standard_normal((900, 5))
    made[:, 0] += 1
    labels = {
        "moved": 3 * real[:, 0] + 10,
        "same": real[:, 1] + 0.1 * rng.standard_normal(1200),
        "glasses": (real[:, 2] > 0).astype(float),
        "noise": rng.standard_normal(1200),
        "constant": np.ones(1200),
        "rare": np.where(np.arange(1200) < 30, real[:, 3], np.nan),
        "gaps": np.where(np.arange(1200) % 3, real[:, 3], np.nan),
    }
    found = {shift.attribute: shift for shift in compare_attributes(real, labels, real[900:], made)}
    assert set(found) == {"moved", "same", "glasses", "noise", "gaps"}
    assert found["moved"].distance == pytest.approx(1, abs=0.15) and found["moved"].score > 0.99
    assert found["moved"].generated.mean - found["moved"].real.mean == pytest.approx(3, abs=0.4)
    assert all(found[name].distance < 0.2 for name in ("same", "glasses", "gaps"))
    assert found["glasses"].metric == "AUC" and found["glasses"].score > 0.99 and found["noise"].score < 0.1


def test_what_is_measured_of_all_rows_and_what_of_some() -> None:
    rng = np.random.default_rng(3)
    sets = {
        name: Compared(InMemory(scale * rng.standard_normal((n, 4)), named(name, n)), {"location": name})  # type: ignore[arg-type]
        for name, scale, n in (("made", 2.0, 600), ("real", 1.0, 400), ("train", 1.0, 500))
    }
    found = measure(sets["made"], sets["real"], sets["train"], {"digest": "d"}, k=3, limit=100, seed=0)
    assert (found.generated["rows"], found.generated["used"], found.real["used"]) == (600, 100, 100)
    frechet = found.latent_frechet
    assert frechet.generated == pytest.approx(4, abs=0.8) and frechet.train is not None and frechet.train < 0.1
    assert frechet.chance is not None and frechet.chance < 0.15
    assert found.copying is not None and found.copying.z > 5 and found.dims == 4 and not found.notes
    alone = measure(sets["made"], sets["real"], None, {}, k=3, limit=100, seed=0)
    assert alone.copying is None and alone.train is None and alone.latent_frechet.train is None
    assert (alone.prdc, alone.latent_frechet.generated) == (found.prdc, frechet.generated)


def test_attributes_of_a_choice_are_read_by_a_map_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Where all of the choice have glasses, too."""
    rng = np.random.default_rng(6)
    x, made, ids = rng.standard_normal((800, 3)), rng.standard_normal((500, 3)), named("f", 800)
    glasses = x[:, 0] > 0
    every = InMemory(x, ids, glasses=glasses.tolist(), noise=rng.standard_normal(800).tolist())
    some = InMemory(
        x[glasses], [i for i, has in zip(ids, glasses, strict=True) if has], glasses=[True] * int(glasses.sum())
    )
    place = {"location": "l", "image_size": 8, "crop": "center", "fit": "cover", "where": None}
    real = Compared(some, place, ["glasses"], every)  # type: ignore[arg-type]
    made_set = Compared(InMemory(made, named("g", 500)), place)  # type: ignore[arg-type]
    model = {"digest": "d" * 64, "family": "conv", "latent_shape": [3]}
    (shift,) = measure(made_set, real, real, model, 5, 1000, 0).attributes
    assert shift.real.mean == pytest.approx(0.82, abs=0.06) and shift.generated.mean == pytest.approx(0.5, abs=0.05)
    assert shift.metric == "AUC" and shift.score > 0.98
    both = Compared(every, place, ["glasses", "noise"])  # type: ignore[arg-type]
    show(measure(made_set, both, both, model, 5, 1000, 0))
    told = capsys.readouterr().out
    assert "generated  l: N = 500, 8×8, crop center, cover" in told and "k = 5, at most 1,000 of each, seed 0" in told
    assert "glasses" in told and "Not read from the latent by a linear map: noise." in told
    assert "Mann–Whitney z" in told and "dddddddddddddddd…, latents of 3" in told
    assert "Note: 800 of the real images are at a distance of 0" in told


def test_chance_is_about_what_two_samples_of_one_distribution_show() -> None:
    rng = np.random.default_rng(4)
    one, other = (Compared(InMemory(rng.standard_normal((n, 32)), named("x", n)), {}) for n in (300, 700))  # type: ignore[arg-type]
    for a, b in ((one, other), (other, one)):
        found = measure(a, b, None, {}, k=3, limit=100, seed=0).latent_frechet
        assert found.generated == pytest.approx(found.chance, rel=0.25)


def test_doubtful_comparisons_are_noted() -> None:
    rng = np.random.default_rng(5)
    few, many = (Compared(InMemory(rng.standard_normal((n, 30)), named("x", n)), {}) for n in (20, 90))  # type: ignore[arg-type]
    notes = measure(few, many, many, {}, k=3, limit=100, seed=0).notes
    assert [note[:25] for note in notes] == [
        "20 generated images are t",
        "20 generated and 90 real ",
        "90 of the real images are",
    ]
    with pytest.raises(
        SpecError, match="--k 20 neighbours want more than 20 images of each set, and here are 20 of here"
    ):
        measure(Compared(few.posteriors, {"location": "here"}), many, None, {}, k=20, limit=100, seed=0)
