from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch import storage
from vae_batch.errors import OutputError, SpecError
from vae_batch.samplers import Density, Fitted, check_size, fit, read_fit
from vae_batch.samplers.density import F64
from vae_batch.samplers.fit import aggregate_moments, k_means


@dataclass
class InMemory:
    """Posteriors in memory, given in batches; counts how many rows are out at once."""

    mean: F64
    variance: F64
    rows: int = 7
    passes: int = 0
    out: str = "x"
    model: str = "m"
    largest: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.mean)

    @property
    def dims(self) -> int:
        return self.mean.shape[1]

    def batches(self) -> Iterator[tuple[F64, F64]]:
        self.passes += 1
        for at in range(0, self.total, self.rows):
            yield self.mean[at : at + self.rows], self.variance[at : at + self.rows]

    def take(self, positions: np.ndarray) -> pa.Table:
        self.largest.append(len(positions))
        return pa.table({"mean": pa.array(list(self.mean[positions]))})


def posteriors(mean: F64, variance: F64 | None = None, rows: int = 7) -> InMemory:
    return InMemory(mean, np.full_like(mean, 0.01) if variance is None else variance, rows)


def clusters(rng: np.random.Generator, rows: int = 600) -> tuple[F64, F64]:
    """Two thirds around (5, 0, 0), with a correlation, and a third around (-5, 2, 0)."""
    home = np.arange(rows) % 3 == 0
    around = rng.standard_normal((rows, 3)) @ np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 0.5]])
    mean = np.where(home[:, None], 0.3 * around + [-5.0, 2.0, 0.0], np.array([5.0, 0.0, 0.0]) + around)
    return mean, rng.uniform(0.01, 0.3, mean.shape)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 5), st.integers(1, 50), st.sampled_from([0.0, 1e4]))
def test_moments_are_those_of_all_rows_at_once(seed: int, rows: int, dims: int, at_once: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    mean, variance = far + rng.standard_normal((rows, dims)), rng.uniform(0, 2, (rows, dims))
    found_mean, found = aggregate_moments(posteriors(mean, variance, at_once).batches, dims)
    wanted = np.atleast_2d(np.cov(mean.T, bias=True)) + np.diag(variance.mean(0))
    np.testing.assert_allclose(found_mean, mean.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_one_component_is_the_aggregate_posterior() -> None:
    mean, variance = clusters(np.random.default_rng(0))
    data = posteriors(mean, variance)
    density = fit(data, 1, 0)  # type: ignore[arg-type]
    wanted = np.cov(mean.T, bias=True) + np.diag(variance.mean(0))
    np.testing.assert_allclose(density.scales[0] @ density.scales[0].T, wanted, rtol=1e-4, atol=1e-4)
    assert density.weights.tolist() == [1.0] and data.passes == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_mixture_finds_two_clusters(seed: int) -> None:
    mean, variance = clusters(np.random.default_rng(seed))
    lines: list[str] = []
    density = fit(posteriors(mean, variance), 2, seed, lines.append)  # type: ignore[arg-type]
    order = np.argsort(density.weights)
    assert density.weights[order] == pytest.approx([1 / 3, 2 / 3], abs=1e-3)
    for k, mine in zip(order, (np.arange(600) % 3 == 0, np.arange(600) % 3 != 0), strict=True):
        wanted = np.cov(mean[mine].T, bias=True) + np.diag(variance[mine].mean(0))
        np.testing.assert_allclose(density.means[k], mean[mine].mean(0), atol=1e-3)
        np.testing.assert_allclose(density.scales[k] @ density.scales[k].T, wanted, atol=5e-3)
    assert "converged" in lines[0] and "67 %, 33 %" in lines[0]


def test_its_bound_is_that_of_its_formula_and_rises() -> None:
    """With no variances the bound is the log-likelihood, which scikit-learn knows too."""
    mixture = pytest.importorskip("sklearn.mixture")
    rng = np.random.default_rng(1)
    mean = np.vstack([rng.standard_normal((200, 4)) + c for c in ([0, 0, 0, 0], [2, 1, 0, 0], [0, 0, 3, 1])])
    density = fit(posteriors(mean, np.zeros_like(mean), 64), 3, 0)  # type: ignore[arg-type]
    peer = mixture.GaussianMixture(3, tol=1e-6, max_iter=1000, n_init=5, random_state=0).fit(mean)
    assert density.facts["gain"] > 0 and density.facts["bound"] == pytest.approx(peer.score(mean), abs=0.01)


def test_wide_posteriors_widen_the_components() -> None:
    mean, _ = clusters(np.random.default_rng(2))
    thin, wide = (fit(posteriors(mean, np.full_like(mean, v)), 2, 0) for v in (0.01, 0.5))  # type: ignore[arg-type]
    grown = [np.diag(d.scales[int(np.argmax(d.weights))] @ d.scales[int(np.argmax(d.weights))].T) for d in (thin, wide)]
    np.testing.assert_allclose(grown[1] - grown[0], 0.49, atol=0.02)


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 99))
def test_degenerate_data_gives_a_density_too(components: int, rows: int, seed: int) -> None:
    """Equal images, deterministic encoders, as many components as images."""
    rng = np.random.default_rng(seed)
    mean = rng.integers(0, 2, (rows, 3)).astype(np.float64)
    data = posteriors(mean, np.zeros_like(mean))
    if components > rows:
        with pytest.raises(SpecError, match="images to fit them to"):
            fit(data, components, seed)  # type: ignore[arg-type]
        return
    density = fit(data, components, seed)  # type: ignore[arg-type]
    assert np.isfinite(density.means).all() and np.isfinite(density.scales).all()
    assert density.weights.sum() == pytest.approx(1) and (density.weights > 0).all()


def test_the_start_of_a_mixture_is_found_on_a_bounded_number_of_images() -> None:
    mean, variance = np.random.default_rng(0).standard_normal((2, 9000, 2))
    data = posteriors(mean, variance**2, 1000)
    fit(data, 2, 3)  # type: ignore[arg-type]
    assert len(data.largest) == 1 and 3000 < data.largest[0] <= 4096


def test_k_means_begins_apart() -> None:
    x = np.repeat(np.eye(5) * 100, 20, axis=0) + np.random.default_rng(0).standard_normal((100, 5))
    _, home = k_means(x, 5, 1)
    assert sorted(np.bincount(home)) == [20] * 5


def test_what_is_too_large_is_refused() -> None:
    check_size(2048, 1)
    with pytest.raises(SpecError, match="at most 2,048 numbers, and these have 4,096"):
        check_size(4096, 1)
    with pytest.raises(SpecError, match=r"--components 100: .* at most 32 fit"):
        check_size(2048, 100)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Density, Fitted]:
    """Two components of three dimensions, in a file."""
    scales = np.array([np.diag([1.0, 2.0, 0.5]), [[1.0, 0, 0], [0.9, 0.4, 0], [0, 0, 1]]])
    density = Density(np.array([0.25, 0.75]), np.array([[9.0, 9, 9], [0, 0, 0]]), scales, {"model": "m", "rows": 4})
    content = density.to_bytes()
    (tmp_path / "fit.safetensors").write_bytes(content)
    return density, Fitted(4, 1.0, str(tmp_path / "fit.safetensors"), storage.bytes_sha256(content))


def test_the_file_keeps_it_and_equal_densities_have_equal_files(kept: tuple[Density, Fitted]) -> None:
    density, sampler = kept
    again, digest = read_fit(Density, sampler.file)
    assert digest == sampler.sha256 and again.facts == density.facts and again.to_bytes() == density.to_bytes()
    assert np.array_equal(again.scales, density.scales)


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_fit_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(OutputError, match="is no fit that"):
        read_fit(Density, str(tmp_path / "x"))
    with pytest.raises(OutputError, match="no such fit file"):
        read_fit(Density, str(tmp_path / "y"))


def test_a_changed_file_is_refused(kept: tuple[Density, Fitted]) -> None:
    with pytest.raises(OutputError, match="its content was changed"):
        replace(kept[1], sha256="0" * 64).draw(0, 1)


@given(st.integers(0, 10**9), st.integers(1, 20))
def test_a_latent_depends_on_its_number_alone(wide: Fitted, first: int, count: int) -> None:
    together = wide.draw(first, count)
    alone = [wide.draw(first + i, 1) for i in range(count)]
    assert np.array_equal(together.latents, [a.latents[0] for a in alone])
    assert together.origin["component"] == [a.origin["component"][0] for a in alone]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Three components of 33 dimensions."""
    rng = np.random.default_rng(0)
    scales = np.tril(rng.standard_normal((3, 33, 33)))
    content = Density(np.full(3, 1 / 3), rng.standard_normal((3, 33)), scales, {"model": "m"}).to_bytes()
    file = tmp_path_factory.mktemp("wide") / "fit.safetensors"
    file.write_bytes(content)
    return Fitted(1, 0.8, str(file), storage.bytes_sha256(content))


def test_draws_have_the_moments_of_their_components(kept: tuple[Density, Fitted]) -> None:
    density, sampler = kept
    drawn = sampler.draw(0, 40_000)
    component = np.array(drawn.origin["component"])
    assert np.bincount(component) / 40_000 == pytest.approx([0.25, 0.75], abs=0.01)
    for k in range(2):
        z = drawn.latents[component == k].astype(np.float64)
        np.testing.assert_allclose(z.mean(0), density.means[k], atol=0.06)
        np.testing.assert_allclose(np.cov(z.T), density.scales[k] @ density.scales[k].T, atol=0.12)


def test_temperature_shrinks_the_spread_and_moves_no_weight(kept: tuple[Density, Fitted]) -> None:
    density, sampler = kept
    whole, half = sampler.draw(0, 50), replace(sampler, temperature=0.5).draw(0, 50)
    assert whole.origin == half.origin
    centre = density.means[np.array(whole.origin["component"])]
    np.testing.assert_allclose(half.latents - centre, (whole.latents - centre) / 2, atol=1e-5)
