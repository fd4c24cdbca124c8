"""What there is to say of generated images beside real ones, all in the latent space of the VAE that made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from vae_batch.analysis.attributes import Shift, compare_attributes, fitted_rows
from vae_batch.analysis.copying import Copying, copying
from vae_batch.analysis.features import Features, gather, hashed, hashed_dims
from vae_batch.analysis.frechet import frechet_distance
from vae_batch.analysis.neighbours import Prdc, prdc
from vae_batch.errors import SpecError
from vae_batch.latents.posteriors import Posteriors
from vae_batch.latents.take import numbers

F64 = npt.NDArray[np.float64]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Frechet:
    """Latent Fréchet distances, squared as FID is; they compare only within one model, and for like N."""

    generated: float
    """Generated images to the real ones, over all rows of both."""
    chance: float | None
    """About what as many images of one distribution would show, since so few know no covariance: the distance between
    two random halves of the real, times (1/N + 1/M) / (4/N), as the bias goes with 1/N (Chong and Forsyth 2020, arXiv
    1911.07023), N real and M generated images."""
    train: float | None
    """Training images to the real ones."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found; `evaluation.json` in the generated data set."""

    generated: dict[str, Any]
    """location, rows, used, image_size, and of a generated data set sampler, format, codec, quality."""
    real: dict[str, Any]
    """location, rows, used, where, image_size, crop, fit."""
    train: dict[str, Any] | None
    model: dict[str, Any]
    """digest, family, latent_shape."""
    k: int
    limit: int
    seed: int
    dims: int
    """Numbers of a point: those of a latent, or fewer where latents were hashed."""
    latent_frechet: Frechet
    prdc: Prdc
    copying: Copying | None
    attributes: list[Shift]
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Give plain data."""
        return {"format": FORMAT, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Compared:
    """A data set to compare: posteriors, and what is said of it."""

    posteriors: Posteriors
    facts: dict[str, Any]
    labels: Sequence[str] = ()
    """Columns of numbers or truth values."""
    labelled: Posteriors | None = None
    """All that has labels, where `posteriors` is a choice of it."""


def measure(
    generated: Compared, real: Compared, train: Compared | None, model: dict[str, Any], k: int, limit: int, seed: int
) -> Evaluation:
    """Compare posterior means.

    Means and covariances are over all rows, as is the nearest training image; the rest is of at most `limit` images
    of each set. Linear algebra runs on one thread: the figures are the same whatever else the machine does.

    Raises:
        SpecError: a set has not more than k images.
    """
    for one in (generated, real):
        if (count := min(one.posteriors.total, limit)) <= k:
            where = f" where {one.facts['where']}" if one.facts.get("where") else ""
            raise SpecError(
                f"--k {k} neighbours want more than {k} images of each set, and here are {count:,} of "
                f"{one.facts['location']}{where}"
            )
    with threadpool_limits(1, "blas"):
        made, held = gather(generated.posteriors, limit, seed), gather(real.posteriors, limit, seed, real.labels)
        known = gather(train.posteriors, limit, seed) if train else None
        every = gather(real.labelled, limit, seed, real.labels) if real.labelled and real.labels else held
        found = None
        if train and known:
            found = copying(made.means, made.ids, held.means, _points(train.posteriors), known.means)
        return Evaluation(
            generated=_counted(generated, made),
            real=_counted(real, held),
            train=_counted(train, known) if train and known else None,
            model=model,
            k=k,
            limit=limit,
            seed=seed,
            dims=hashed_dims(real.posteriors.dims),
            latent_frechet=_frechet(made, held, known),
            prdc=prdc(held.means, made.means, k),
            copying=found,
            attributes=_attributes(every, real.labels, held, made),
            notes=list(_notes(made, held, found, real.posteriors.dims)),
        )


def _counted(one: Compared, features: Features) -> dict[str, Any]:
    return {**one.facts, "rows": features.rows, "used": len(features.means)}


def _points(posteriors: Posteriors) -> Iterator[tuple[list[str], F64]]:
    for batch in posteriors.read(["id", "mean"]):
        yield batch.column("id").to_pylist(), hashed(numbers(batch.column("mean"), np.float64))


def _frechet(made: Features, held: Features, known: Features | None) -> Frechet:
    target = held.moments()
    first, second = held.halves
    chance = None
    if first.count and second.count:
        chance = frechet_distance(*first.moments(), *second.moments()) * (1 + held.rows / made.rows) / 4
    return Frechet(
        generated=frechet_distance(*made.moments(), *target),
        chance=chance,
        train=frechet_distance(*known.moments(), *target) if known else None,
    )


def _attributes(every: Features, labels: Sequence[str], held: Features, made: Features) -> list[Shift]:
    fitted = set(every.ids[: fitted_rows(len(every.means))])
    unseen = np.array([name not in fitted for name in held.ids])
    return compare_attributes(every.means, _values(every.chosen, labels), held.means[unseen], made.means)


def _values(table: pa.Table, labels: Sequence[str]) -> dict[str, F64]:
    columns = {name: pc.cast(table[name], pa.float64(), safe=False) for name in labels}
    return {name: column.to_numpy(zero_copy_only=False) for name, column in columns.items()}


def _notes(made: Features, held: Features, found: Copying | None, dims: int) -> Iterator[str]:
    points = hashed_dims(dims)
    if points < dims:
        yield f"Latents of {dims:,} numbers were hashed to {points:,} (Weinberger et al. 2009): distances are about so."
    for features, what in ((made, "generated"), (held, "real")):
        if features.rows <= points:
            yield (
                f"{features.rows:,} {what} images are too few to know a covariance of {points:,} numbers: the latent "
                "Fréchet distance is too large, and compares only with one of as many images"
            )
    if made.rows < held.rows / 2 or made.rows > held.rows * 2:
        yield (
            f"{made.rows:,} generated and {held.rows:,} real images: all figures but the nearest training image depend "
            "on how many there are; best as many of both"
        )
    if found and found.same:
        yield (
            f"{found.same:,} of the real images are at a distance of 0 from a training image: they are no held-out "
            "ones, and what is said of copying means little"
        )
