"""Labels as columns: the schema is fixed once, before any part, and then every value fits it or is null."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from vae_batch.errors import SpecError

TYPES = {
    "string": pa.string(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "json": pa.string(),
}
MAX_COLUMNS = 1000
MAX_NAME = 256
"""Characters of a key that becomes a column."""


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """One label: the key in the sidecar, the column's name and its type, one of `TYPES`."""

    key: str
    name: str
    type: str


def infer(samples: Iterable[Mapping[str, Any]], prefix: str = "") -> list[LabelColumn]:
    """Find the columns from the first sidecars, in order of appearance; of their values nothing is kept.

    Numbers are float64, whatever mixes kinds or nests is JSON text, a key that is always null is JSON text too. Keys
    longer than `MAX_NAME` become no columns.

    Raises:
        SpecError: there are more than `MAX_COLUMNS` keys.
    """
    kinds: dict[str, set[str]] = {}
    for sample in samples:
        for key, value in sample.items():
            if len(key) <= MAX_NAME:
                kinds.setdefault(key, set()).update([_kind(value)] if value is not None else [])
        if len(kinds) > MAX_COLUMNS:
            raise SpecError(
                f"the sidecars have more than {MAX_COLUMNS} different keys, such as {', '.join(list(kinds)[:3])}: "
                "name those to keep with --columns name:type,..."
            )
    return [LabelColumn(k, prefix + k, next(iter(v)) if len(v) == 1 else "json") for k, v in kinds.items()]


def parse(columns: str, prefix: str = "") -> list[LabelColumn]:
    """Read `name:type,...`; a name without a type is a string.

    Raises:
        SpecError: an empty name or an unknown type.
    """
    found = []
    for item in filter(None, (part.strip() for part in columns.split(","))):
        key, _, kind = item.rpartition(":") if ":" in item else (item, "", "string")
        if not key or kind not in TYPES:
            raise SpecError(f"--columns {item!r}: want name:type with a type of {', '.join(TYPES)}")
        found.append(LabelColumn(key, prefix + key, kind))
    return found


def check_names(columns: Sequence[LabelColumn], reserved: Iterable[str]) -> None:
    """Refuse names that clash with ours or each other, ignoring case, as DuckDB does.

    Raises:
        SpecError: with the names, and the way out.
    """
    ours = {name.lower() for name in reserved}
    clashes = [c.name for c in columns if c.name.lower() in ours]
    if clashes:
        raise SpecError(
            f"label{'s' * (len(clashes) > 1)} {', '.join(clashes)} would clash with columns of the output: "
            "give --label-prefix, such as --label-prefix label_"
        )
    twice = [name for name, n in Counter(c.name.lower() for c in columns).items() if n > 1]
    if twice:
        raise SpecError(f"labels differ only by case: {', '.join(twice)}; choose with --columns name:type,...")


@dataclass(slots=True)
class LabelNotes:
    """What did not fit the schema."""

    nulls: Counter[str] = field(default_factory=Counter)
    """Values that did not fit their column, by column: null in the output."""
    unforeseen: Counter[str] = field(default_factory=Counter)
    """Keys that are no column; at most 100 different ones are told apart."""

    def unknown(self, key: str) -> None:
        """Count a key that is no column."""
        key = key[:MAX_NAME]
        self.unforeseen[key if key in self.unforeseen or len(self.unforeseen) < 100 else "(others)"] += 1


class LabelRows:
    """Gathers the labels of rows, each value fitted to its column at once: a parsed sidecar takes many times its text.

    Args:
        columns: the schema.
        notes: counts what does not fit.
    """

    def __init__(self, columns: Sequence[LabelColumn], notes: LabelNotes) -> None:
        self._columns, self._notes = columns, notes
        self._kinds = {c.key: c.type for c in columns}
        self._begin()

    def _begin(self) -> None:
        self._values: dict[str, list[Any]] = {c.key: [] for c in self._columns}
        self._rows = 0
        self.text = 0
        """Characters of the texts gathered."""

    def add(self, rows: Sequence[Mapping[str, Any] | None]) -> None:
        """Take in the sidecars of further rows; missing labels are null."""
        for values in self._values.values():
            values += [None] * len(rows)
        for at, row in enumerate(rows, self._rows):
            for key, value in (row or {}).items():
                kind = self._kinds.get(key)
                if kind is None:
                    self._notes.unknown(key)
                elif value is not None:
                    self._set(key, at, _fit(kind, value))
        self._rows += len(rows)

    def _set(self, key: str, at: int, fitted: Any) -> None:
        self._values[key][at] = fitted
        if fitted is None:
            self._notes.nulls[key] += 1
        elif isinstance(fitted, str):
            self.text += len(fitted)

    def arrays(self) -> list[pa.Array]:
        """Give what was gathered since the last call, one array a column."""
        arrays = [pa.array(self._values[c.key], type=TYPES[c.type]) for c in self._columns]
        self._begin()
        return arrays


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "float64"
    return "string" if isinstance(value, str) else "json"


def _fit(kind: str, value: Any) -> Any:
    """Give the value in the column's type, None if it does not fit; never raises."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        if kind == "float64" and number:
            return float(value)
        if kind == "int64" and number and value == int(value) and -(2**63) <= value < 2**63:
            return int(value)
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind == "string" and isinstance(value, str):
            return value.encode() and value  # a lone surrogate is no text
        if kind == "json":
            return json.dumps(value, ensure_ascii=True)
    except (OverflowError, ValueError, RecursionError):
        pass
    return None
