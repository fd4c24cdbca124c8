"""Edits: an attribute added to encoded images, as a vector of the latent space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_batch.errors import SpecError
from vae_batch.latents.posteriors import Posteriors
from vae_batch.latents.take import numbers
from vae_batch.samplers.base import F32, Drawn
from vae_batch.samplers.density import F64
from vae_batch.samplers.kept import Facts, Tensors, fit_bytes, kept_fit

LEAST_SHARE = 1e-8
"""Of the attribute's variance that the labels it is balanced for leave unexplained."""
ROUNDING = 1e-20
"""A label's variance, as a share of its squared mean, that rounding alone may give."""


@dataclass(frozen=True, slots=True)
class AttributeVector:
    """What an attribute adds to a latent."""

    SAMPLER: ClassVar[str] = "edit"

    vector: F64
    """(D,)."""
    facts: Facts
    """`attribute`, what it is balanced for, rows with and without it, model digest, latents …"""

    def to_bytes(self) -> bytes:
        """Give the content of its fit file."""
        return fit_bytes({"vector": self.vector}, self.facts)

    @classmethod
    def of(cls, tensors: Tensors, facts: Facts) -> AttributeVector:
        """Make it of what a fit file holds. Raises KeyError or TypeError."""
        if not isinstance(facts["attribute"], str):
            raise TypeError("no attribute")
        return cls(**tensors, facts=facts)


@dataclass(frozen=True, slots=True)
class Edit:
    """Image i is of encoded image i div K: its posterior mean plus strengths[i mod K] times the attribute's vector."""

    posteriors: Posteriors
    attribute: str
    strengths: tuple[float, ...]
    """K."""
    file: str = ""
    """The fit file in OUT with the vector; each process reads it once."""
    sha256: str = ""
    """Of that file."""

    @property
    def total(self) -> int:
        """K for each encoded image."""
        return self.posteriors.total * len(self.strengths)

    def columns(self) -> list[pa.Field]:
        """Say of which image, what was added, and how many times."""
        kinds = {"source_id": pa.string(), "attribute": pa.string(), "strength": pa.float64()}
        return [pa.field(name, kind) for name, kind in kinds.items()]

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        index = np.arange(first, max(first, min(first + count, self.total)))
        strength = np.array(self.strengths)[np.arange(first, first + count) % len(self.strengths)]
        latents: F32 = np.zeros((count, self.posteriors.dims), np.float32)
        ids = [""] * count
        if len(index):
            vector = kept_fit(AttributeVector, self.file, self.sha256).vector
            mean, ids[: len(index)] = self.posteriors.means(index // len(self.strengths))
            latents[: len(index)] = mean + strength[: len(index), None] * vector
        origin = {"source_id": ids, "attribute": [self.attribute] * count, "strength": strength.tolist()}
        return Drawn(latents, origin)


def attribute_vector(
    having: Posteriors, lacking: Posteriors, balance: Sequence[str] = ()
) -> tuple[F64, dict[str, int]]:
    """Learn what an attribute adds to a posterior mean, other labels held still, in one pass over the rows.

    It is the least-squares coefficient of the attribute (1 with, 0 without) in mean ~ attribute + labels + constant.
    Without labels that is the mean of the means of the rows with it less that of those without it (Larsen et al. 2016,
    arXiv 1512.09300); with them it is that difference after the labels' own linear effect is taken out of both sides
    (Frisch and Waugh 1933, Lovell 1963), as White (2016, arXiv 1609.04468) does by drawing rows until the labels are
    equally frequent, but without leaving out or repeating any, and for labels that are numbers.

    Args:
        having: rows with the attribute.
        lacking: rows without.
        balance: columns of bools or numbers; rows without a value in one of them do not count.

    Returns:
        (D,), and how many rows counted: `with`, `without`, `left_out`.

    Raises:
        SpecError: no row counts, or the labels decide the attribute.
    """
    counts = {"with": 0, "without": 0}
    heads, shift = 1 + len(balance), np.zeros(0)
    first = cross = np.zeros(0)
    for name, value, rows in (("with", 1.0, having), ("without", 0.0, lacking)):
        for labels_NB, mean_ND in _rows(rows, balance):
            known = np.hstack([np.full((len(mean_ND), 1), value), labels_NB, mean_ND])
            if not len(shift):
                shift = known.mean(0)  # sums around it do not cancel
                first, cross = np.zeros(len(shift)), np.zeros((heads, len(shift)))
            away = known - shift
            first += away.sum(0)
            cross += away[:, :heads].T @ away
            counts[name] += len(known)
    total = sum(counts.values())
    if not all(counts.values()):
        raise SpecError(f"no row has a value in each of {', '.join(balance)} and {_lacks(counts)} the attribute")
    covariance = cross / total - np.outer(first[:heads], first) / total**2
    counts["left_out"] = having.total + lacking.total - total
    least = ROUNDING * shift[:heads] ** 2
    return _first_coefficient(covariance[:, :heads], covariance[:, heads:], least, balance), counts


def _lacks(counts: dict[str, int]) -> str:
    return "lacks" if counts["with"] else "has"


def _first_coefficient(among_HH: F64, with_HD: F64, least_H: F64, balance: Sequence[str]) -> F64:
    """Solve for the attribute's coefficients; labels of one value play no part."""
    variance = np.diag(among_HH)
    labels = 1 + np.flatnonzero(variance[1:] > least_H[1:])
    scale = np.sqrt(variance[labels])
    gram = among_HH[np.ix_(labels, labels)] / np.outer(scale, scale)
    share = np.linalg.lstsq(gram, among_HH[labels, 0] / scale, rcond=None)[0] / scale
    rest = variance[0] - share @ among_HH[labels, 0]  # the attribute's variance that the labels leave
    if rest < LEAST_SHARE * variance[0]:
        raise SpecError(f"--balance {','.join(balance)}: these labels decide the attribute, so nothing is left of it")
    return np.asarray((with_HD[0] - share @ with_HD[labels]) / rest)


def _rows(posteriors: Posteriors, labels: Sequence[str]) -> Iterator[tuple[F64, F64]]:
    """Iterate over the rows with a value in each label: (N, B) labels and (N, D) means."""
    for batch in posteriors.read(["mean", *labels]):
        columns = [_floats(batch.column(name)) for name in labels]
        labels_NB = np.stack(columns, 1) if columns else np.zeros((len(batch), 0))
        known = np.isfinite(labels_NB).all(1)
        if known.any():
            yield labels_NB[known], numbers(batch.column("mean"), np.float64)[known]


def _floats(column: pa.Array) -> Any:
    """Numbers or bools as floats, null as NaN."""
    return pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
