"""Label files taken together: those that share a label hold the rows of one table, such as train.csv and val.csv."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vae_batch.errors import SourceError
from vae_batch.sources.labels.files import LabelFile, Relation
from vae_batch.sources.labels.match import Image, Match, find_match
from vae_batch.sources.labels.types import (
    LabelField,
    count_classes,
    key_column,
    key_sql,
    label_columns,
    types_of,
    value_sql,
)

_WORDS = {"id": "id", "path": "path in the archive", "name": "file name", "stem": "file name without extension"}


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A label file after a look at all its rows."""

    file: LabelFile
    relation: Relation
    names: list[str]
    """Its labels."""
    counts: dict[str, list[int]]
    """Values of each class, of the labels whose type is not given."""
    match: Match

    def remarks(self) -> Iterator[str]:
        """What to say of how it was understood."""
        title, match, columns = f"{self.file.name}: ", self.match, len(self.names)
        missing = match.sample - match.found
        of_them = f"all of {match.sample:,}" if not missing else f"{missing:,} of {match.sample:,}"
        yield (
            f"Labels {title}{match.rows:,} rows, {columns:,} column{'s' * (columns != 1)}, joined by "
            f"{_WORDS[match.how]}; {of_them} images looked at {'have a row' if not missing else 'have none'}."
        )
        if match.shared:
            yield (
                f"Note: {title}{match.shared:,} of the images looked at share their {_WORDS[match.how]} with another, "
                "and so their labels."
            )


def titled(names: Sequence[str]) -> str:
    """What messages call some files: up to three by name, else two and the number of the others."""
    if len(names) > 3:
        names = [*names[:2], f"{len(names) - 2:,} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def look(db: Any, file: LabelFile, relation: Relation, ids: list[Image], forced: Mapping[str, str]) -> LookedAt:
    """Look at the rows of a file: what its labels are, and how its keys name the images.

    Args:
        db: a DuckDB connection.
        file: for messages.
        relation: its rows.
        ids: a sample of the images.
        forced: types by label that the user gave.

    Raises:
        SourceError: there is no column but the key, or no image of the sample has a row.
    """
    names = label_columns(relation)
    if not names:
        raise SourceError(f"{file.name} has no columns but {key_column(relation)}, which names the images")
    counts = count_classes(db, relation, [name for name in names if name not in forced])
    return LookedAt(file, relation, names, counts, find_match(db, file, relation, ids))


def together(files: Iterable[LookedAt], wanted: Callable[[str], bool]) -> list[list[LookedAt]]:
    """Gather files that share a wanted label, directly or by way of others; in the order of their first ones.

    Raises:
        SourceError: the keys of two such files name the images in different ways.
    """
    groups: list[list[LookedAt]] = []
    for file in files:
        own = set(filter(wanted, file.names))
        related = [group for group in groups if any(own & set(other.names) for other in group)]
        for other in (other for group in related for other in group):
            if other.match.how != file.match.how:
                raise SourceError(
                    f"{file.file.name} and {other.file.name} have labels of the same name, but the keys of the one are "
                    f"each image's {_WORDS[file.match.how]}, those of the other its {_WORDS[other.match.how]}: give "
                    "both the same keys, or choose labels with --columns name:type,..."
                )
        merged = [*(other for group in related for other in group), file]
        at = groups.index(related[0]) if related else len(groups)
        groups = [*groups[:at], merged, *(group for group in groups[at:] if group not in related)]
    return groups


def fields_of(files: Sequence[LookedAt], forced: Mapping[str, str], wanted: Callable[[str], bool]) -> list[LabelField]:
    """The wanted labels of files that are taken together, with types that hold the values of all.

    Whole numbers and others together are float64; a column without a value goes with any.

    Raises:
        SourceError: a label is of types that do not go together.
    """
    names = [name for name in dict.fromkeys(name for file in files for name in file.names) if wanted(name)]
    return [LabelField(name, forced[name] if name in forced else _type(files, name)) for name in names]


def _type(files: Sequence[LookedAt], name: str) -> str:
    total: dict[str, list[int]] = {}
    for file in files:
        for label, counts in file.counts.items():
            total[label] = [a + b for a, b in zip(total.get(label, [0] * len(counts)), counts, strict=True)]
    own = {
        file.file.name: types_of(file.counts, file.relation.dialect)[name]
        for file in files
        if any(file.counts.get(name, ()))
    }
    of_all = types_of(total, files[0].relation.dialect)[name]
    if len(set(own.values())) < 2:
        return next(iter(own.values()), of_all)
    if of_all in ("bool", "int64", "float64"):
        return of_all
    said = " and ".join(f"{kind} in {file}" for file, kind in own.items())
    raise SourceError(
        f"the label {name} is {said}, which do not go together: say its type with --columns {name}:string, or make the "
        "files agree"
    )


def rows_of(files: Sequence[LookedAt], fields: Sequence[LabelField]) -> str:
    """SQL of the rows of all files: key, c0, c1, ... for the fields, and the number of the file."""
    return " union all ".join(
        f"select {', '.join([key, *values, f'{number} as file'])} from {file.relation.sql}"
        for number, file in enumerate(files)
        for key in [f"{key_sql(file.relation)} as key"]
        for values in [[f"{_value(file, field)} as c{i}" for i, field in enumerate(fields)]]
    )


def _value(file: LookedAt, field: LabelField) -> str:
    return value_sql(file.relation, field) if field.key in file.names else "null"
