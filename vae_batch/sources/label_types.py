"""The types of label columns, found from all the rows of a file, and the SQL that gives the values these types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vae_batch.errors import SourceError
from vae_batch.sources.label_files import LabelFile, Relation, quoted

_KEYS = (
    *("image_id", "img_id", "image_name", "img_name", "file_name", "filename", "image_path", "file_path", "filepath"),
    *("path", "id", "image", "img", "file", "name", "key", "__key__"),
)
"""Names of the column that names the images, likeliest first; without one of them it is the first column."""
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_REALS = ("FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT", "DECIMAL")
_TEXTS = ("VARCHAR", "ENUM", "UUID", "DATE", "TIME", "INTERVAL")
_ZEROS = "'^[-+]?0[0-9]'"
"""Numbers with zeros in front are names: 007 is not 7."""


@dataclass(frozen=True, slots=True)
class LabelField:
    """A column of a label file."""

    key: str
    type: str
    """string, float64, int64, bool or json."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a column is written: SQL for its value (null where there is none), its text, and what it could be."""

    value: str
    text: str
    integer: str
    real: str
    boolean: str
    string: str


def key_column(relation: Relation) -> str:
    """The column that names the images."""
    lower = {name.strip().lower(): name for name in reversed(relation.columns)}
    return next((lower[name] for name in _KEYS if name in lower), next(iter(relation.columns)))


def key_sql(relation: Relation) -> str:
    """SQL of the key: as text, without white space around it and "./" before it; null where empty."""
    text = _kind(relation, key_column(relation)).text
    return f"nullif(regexp_replace(trim({text}), '^(\\./)+', ''), '')"


def find_fields(db: Any, file: LabelFile, relation: Relation, forced: Mapping[str, str]) -> list[LabelField]:
    """Find each column's type from all its values.

    Text is int64, float64 or bool where all of it reads as that; a column of -1 and 1 is bool, as CelebA's attributes
    are; what mixes or nests is JSON text. Columns of binary values are left out.

    Args:
        db: a DuckDB connection.
        file: for messages.
        relation: its rows.
        forced: types by column that the user gave.

    Raises:
        SourceError: there is no column but the key.
    """
    names = [name for name, kind in relation.columns.items() if "BLOB" not in kind and name != key_column(relation)]
    if not names:
        raise SourceError(f"{file.name} has no columns but {key_column(relation)}, which names the images")
    kinds = {name: _kind(relation, name) for name in names}
    counts = _count(db, relation, {name: kind for name, kind in kinds.items() if name not in forced})
    signs = {name: n["given"] > 0 and n["signs"] == n["given"] for name, n in counts.items()}
    attributes = all(signs.values()) and any(n["minus"] for n in counts.values())
    return [
        LabelField(name, forced[name] if name in forced else _type(counts[name], signs[name], attributes))
        for name in names
    ]


def _count(db: Any, relation: Relation, kinds: Mapping[str, _Kind]) -> dict[str, dict[str, int]]:
    """How many values each column has, and how many could be of each type; one pass over the rows."""
    tests, asked = ("given", "signs", "minus", "integer", "real", "boolean", "string"), []
    for kind in kinds.values():
        conditions = (
            "true",
            f"{kind.text} in ('1', '-1')",
            f"{kind.text} = '-1'",
            kind.integer,
            f"({kind.integer}) or ({kind.real})",
            kind.boolean,
            kind.string,
        )
        asked += [f"count(*) filter (where {kind.value} is not null and ({c}))" for c in conditions]
    [row] = db.execute(f"select {', '.join(asked)} from {relation.sql}").fetchall() if asked else [()]
    width = len(tests)
    return {name: dict(zip(tests, row[i * width : (i + 1) * width], strict=True)) for i, name in enumerate(kinds)}


def _type(counts: Mapping[str, int], signs: bool, attributes: bool) -> str:
    given = counts["given"]
    if not given:
        return "string"
    if signs and (counts["minus"] or attributes):
        return "bool"
    order = (("boolean", "bool"), ("integer", "int64"), ("real", "float64"), ("string", "string"))
    return next((kind for test, kind in order if counts[test] == given), "json")


def value_sql(relation: Relation, field: LabelField) -> str:
    """SQL of a column's value in its type; null where it does not fit. Bools are 0 and 1, JSON is text."""
    kind = _kind(relation, field.key)
    number = kind.value if relation.dialect == "typed" else kind.text
    return {
        "string": kind.text,
        "float64": f"try_cast({number} as double)",
        "int64": f"case when try_cast({number} as double) = try_cast({number} as bigint) "
        f"then try_cast({number} as bigint) end",
        "bool": f"case when lower({kind.text}) in ('true', '1') then 1::utinyint "
        f"when lower({kind.text}) in ('false', '0', '-1') then 0::utinyint end",
        "json": f"cast(to_json({kind.value}) as varchar)",
    }[field.type]


def _kind(relation: Relation, name: str) -> _Kind:
    column = quoted(name)
    if relation.dialect == "typed":
        return _typed(column, relation.columns[name])
    if relation.dialect == "json":
        value, kind = f"nullif({column}, 'null'::json)", f"json_type({column})"
        integer = f"{kind} in ('UBIGINT', 'BIGINT') and try_cast({column} as bigint) is not null"
        real = f"{kind} in ('UBIGINT', 'BIGINT', 'DOUBLE')"
        return _Kind(value, f"({value} ->> '$')", integer, real, f"{kind} = 'BOOLEAN'", f"{kind} = 'VARCHAR'")
    text = f"nullif(trim({column}), '')"
    real = f"try_cast({text} as double) is not null and not regexp_matches({text}, {_ZEROS})"
    integer = f"try_cast({text} as bigint)::varchar = {text}"
    return _Kind(text, text, integer, real, f"lower({text}) in ('true', 'false')", "true")


def _typed(column: str, kind: str) -> _Kind:
    nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))
    tests = [kind in _INTEGERS, kind.startswith(_REALS), kind == "BOOLEAN", kind.startswith(_TEXTS)]
    integer, real, boolean, string = (str(test and not nested).lower() for test in tests)
    return _Kind(column, f"cast({column} as varchar)", integer, real, boolean, string)
