"""Fitting probes to an encoded, labelled data set of any size, which is streamed three times.

First the labels alone: which have numbers, which two values, which are null in the same rows. Then the sums of the
ridge regression, over the rows that are not held out. Then the rows held out, of which so few are that they fit in
memory: the scores, and the sigmoids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from vae_batch.errors import SpecError
from vae_batch.latents.posteriors import Posteriors, moments
from vae_batch.latents.sampling import draw_samples
from vae_batch.noise import uniform
from vae_batch.probes.kept import Probes, Score
from vae_batch.probes.linear import F64, LinearSums, apply_map
from vae_batch.probes.scores import auc, platt, r_squared

HELD_SHARE = 0.2
"""Of the rows, chosen by id, that nothing is fitted on ..."""
HELD_ROWS, HELD_VALUES = 50_000, 4 << 20
"""... but about so many at most, and so many values of all attributes together."""
LEAST = 5
"""Rows with the label that must be fitted on, and held out; of two values, of each."""
MAX_BYTES = 1 << 30
"""Of the covariances: one, and one more for each pattern of rows that have no label."""


@dataclass(slots=True)
class _Label:
    """What the first pass finds of a label."""

    name: str
    rows: int = 0
    """With a finite value."""
    distinct: set[float] = field(default_factory=set)
    """At most three of the values."""
    nulls: hashlib._Hash = field(default_factory=hashlib.sha256)
    """Of which rows have one."""

    def add(self, values_N: F64) -> None:
        there = np.isfinite(values_N)
        self.nulls.update(np.packbits(there).tobytes())
        self.rows += int(there.sum())
        if len(self.distinct) < 3:
            self.distinct |= set(np.unique(values_N[there])[:3].tolist())

    @property
    def values(self) -> tuple[float, float] | None:
        """The two values that it has, if it has two."""
        low, high = min(self.distinct), max(self.distinct)
        return (low, high) if len(self.distinct) == 2 else None


@dataclass(slots=True)
class _Map:
    """Attributes whose labels are there in the same rows, and their sums."""

    columns: list[int]
    sums: LinearSums = field(default_factory=LinearSums)


def fit_probes(posteriors: Posteriors, labels: Sequence[tuple[str, pa.DataType]], named: bool) -> Probes:
    """Fit a probe for each label with numbers or two values.

    Args:
        posteriors: of the data set.
        labels: its columns that may be predicted, with their types.
        named: whether each was asked for; then one that cannot be predicted is an error.

    Raises:
        SpecError: no label can be predicted, or not one that was asked for; or latents are too large.
    """
    left_out = {name: "text" for name, kind in labels if not _is_number(kind)}
    found = _survey(posteriors, [name for name, _ in labels if name not in left_out])
    left_out |= {label.name: "one value only" if label.rows else "no value" for label in found if not _varies(label)}
    used = [label for label in found if _varies(label)]
    _check(posteriors, left_out, used, named)
    share = min(HELD_SHARE, HELD_ROWS / posteriors.total, HELD_VALUES / len(used) / posteriors.total)
    weights, bias, fitted = _fit(posteriors, used, share)
    held = _held_out(posteriors, used, share, weights, bias)
    scores, lines, kept = list[Score](), list[tuple[float, float]](), list[int]()
    for column, label in enumerate(used):
        reason = _too_few(label, fitted[column], held.target[:, column])
        if reason:
            left_out[label.name] = reason
            continue
        score, line = held.score(label, column, int(fitted[column].sum()))
        scores, lines, kept = [*scores, score], [*lines, line], [*kept, column]
    _check(posteriors, left_out, [used[column] for column in kept], named)
    facts = {"model": posteriors.model, "latents": posteriors.digest, "rows": posteriors.total}
    return Probes(weights[kept], bias[kept], np.array(lines), tuple(scores), left_out, facts)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_boolean(kind) or pt.is_integer(kind) or pt.is_floating(kind))


def _varies(label: _Label) -> bool:
    return len(label.distinct) > 1


def _check(posteriors: Posteriors, left_out: dict[str, str], used: Sequence[_Label], named: bool) -> None:
    why = ", ".join(f"{name} ({reason})" for name, reason in left_out.items())
    if not used:
        raise SpecError(f"--label-with {posteriors.out}: it has no label that can be predicted{why and ': '}{why}")
    if named and left_out:
        raise SpecError(f"--label-with {posteriors.out}: of --attributes these cannot be predicted: {why}")
    patterns = len({label.nulls.digest() for label in used})
    if patterns * posteriors.dims**2 * 8 > MAX_BYTES:
        raise SpecError(
            f"--label-with {posteriors.out}: {patterns} covariances of latents of {posteriors.dims:,} numbers take "
            "more than 1 GB (one for each set of rows that have the same labels): name fewer --attributes"
        )


def _values(batch: pa.RecordBatch, names: Sequence[str]) -> F64:
    """Give (N, A) labels; NaN where there is none, or none that is finite."""
    columns = [batch.column(name).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) for name in names]
    values = np.stack(columns, axis=1) if columns else np.zeros((len(batch), 0))
    return np.where(np.isfinite(values), values, np.nan)


def _survey(posteriors: Posteriors, names: list[str]) -> list[_Label]:
    labels = [_Label(name) for name in names]
    for batch in posteriors.read(names) if names else ():
        for label, values_N in zip(labels, _values(batch, names).T, strict=True):
            label.add(values_N)
    return labels


def _batches(
    posteriors: Posteriors, used: Sequence[_Label], share: float
) -> Iterator[tuple[pa.RecordBatch, F64, npt.NDArray[np.bool_]]]:
    """Iterate over the rows: a batch, its (N, A) targets, 0 and 1 for two values, and which rows are held out."""
    low = np.array([label.values[0] if label.values else 0.0 for label in used])
    span = np.array([label.values[1] - label.values[0] if label.values else 1.0 for label in used])
    for batch in posteriors.read(["id", "mean", "variance", *(label.name for label in used)]):
        chosen = uniform(0, [f"probe/held out/{name}" for name in batch.column("id").to_pylist()])
        yield batch, (_values(batch, [label.name for label in used]) - low) / span, chosen < share


def _fit(posteriors: Posteriors, used: Sequence[_Label], share: float) -> tuple[F64, F64, list[npt.NDArray[np.int64]]]:
    """Give weights (A, D), biases (A,), and of how many rows: of two values, of each."""
    patterns: dict[bytes, _Map] = {}
    for column, label in enumerate(used):
        patterns.setdefault(label.nulls.digest(), _Map([])).columns.append(column)
    counts = np.zeros((len(used), 2), np.int64)
    for batch, target_NA, held in _batches(posteriors, used, share):
        mean_ND, variance_ND = moments(batch)
        for one in patterns.values():
            rows = ~held & np.isfinite(target_NA[:, one.columns[0]])
            one.sums.add(mean_ND[rows], variance_ND[rows], target_NA[rows][:, one.columns])
        fitted_NA = target_NA[~held]
        counts += np.stack([(fitted_NA == 0).sum(0), np.isfinite(fitted_NA).sum(0)], axis=1)
    weights, bias = np.zeros((len(used), posteriors.dims)), np.zeros(len(used))
    for one in patterns.values():
        if one.sums.rows:
            weights[one.columns], bias[one.columns] = one.sums.solve()
    counts[:, 1] -= counts[:, 0]
    return weights, bias, list(counts)


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """Rows that nothing was fitted on: their targets, and what the maps say of them, each (M, A)."""

    target: F64
    at_mean: F64
    at_draw: F64

    def score(self, label: _Label, column: int, fitted_on: int) -> tuple[Score, tuple[float, float]]:
        """Score one map; give the slope and offset of its sigmoid too."""
        there = np.isfinite(self.target[:, column])
        target, at_mean, at_draw = (x[there, column] for x in (self.target, self.at_mean, self.at_draw))
        metric, measure = ("AUC", auc) if label.values else ("R²", r_squared)
        line = platt(at_draw, target > 0.5) if label.values else (1.0, 0.0)
        scores = measure(at_mean, target), measure(at_draw, target)
        return Score(label.name, metric, *scores, fitted_on, len(target), label.values), line


def _held_out(posteriors: Posteriors, used: Sequence[_Label], share: float, weights: F64, bias: F64) -> _HeldOut:
    target, at_mean, at_draw = [np.zeros((0, len(used)))], [np.zeros((0, len(used)))], [np.zeros((0, len(used)))]
    for batch, target_NA, held in _batches(posteriors, used, share):
        if not held.any():
            continue
        rows = batch.filter(pa.array(held))
        mean_MD, variance_MD = moments(rows)
        ids = [f"probe/draw/{name}" for name in rows.column("id").to_pylist()]
        drawn = draw_samples(mean_MD, variance_MD.astype(np.float32), 0, ids, 1)[:, 0]
        target.append(target_NA[held])
        at_mean.append(apply_map(weights, bias, mean_MD))
        at_draw.append(apply_map(weights, bias, drawn))
    return _HeldOut(*map(np.concatenate, (target, at_mean, at_draw)))


def _too_few(label: _Label, fitted: npt.NDArray[np.int64], held_M: F64) -> str:
    """Say why a probe of so few rows would mean nothing; "" if they are enough."""
    held = held_M[np.isfinite(held_M)]
    if not label.values:
        enough = fitted.sum() >= LEAST and len(held) >= LEAST and np.ptp(held) > 0
        return "" if enough else f"only {fitted.sum() + len(held)} rows with a value"
    each = np.array([(held == 0).sum(), (held == 1).sum()])
    return "" if min(fitted.min(), each.min()) >= LEAST else f"only {(fitted + each).min()} rows of one of two values"
