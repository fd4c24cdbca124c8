"""The types of label columns, found from all the rows of a file, and the SQL that gives the values these types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vae_batch.sources.labels.files import Relation, quoted

_KEYS = (
    *("image_id", "img_id", "image_name", "img_name", "file_name", "filename", "image_path", "file_path", "filepath"),
    *("path", "id", "image", "img", "file", "name", "key", "__key__"),
)
"""Names of the column that names the images, likeliest first; without one of them it is the first column."""
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_REALS = ("FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT", "DECIMAL")
_TEXTS = ("VARCHAR", "ENUM", "UUID", "DATE", "TIME", "INTERVAL")


@dataclass(frozen=True, slots=True)
class LabelField:
    """A column of a label file."""

    key: str
    type: str
    """string, float64, int64, bool or json."""


@dataclass(frozen=True, slots=True)
class _Written:
    """How a column is written: SQL of its value (null where there is none), of its text, and of its class."""

    value: str
    text: str
    kind: str
    """One of _CLASSES for each value."""


_CLASSES = MINUS, PLUS, INTEGER, REAL, BOOLEAN, STRING, OTHER = range(7)
"""What a value is: -1, 1, another whole number, another number, true or false, text, something else."""


def key_column(relation: Relation) -> str:
    """The column that names the images."""
    lower = {name.strip().lower(): name for name in reversed(relation.columns)}
    return next((lower[name] for name in _KEYS if name in lower), next(iter(relation.columns)))


def key_sql(relation: Relation) -> str:
    """SQL of the key: as text, without white space around it and "./" before it; null where empty."""
    text = f"trim({_written(relation, key_column(relation)).text})"
    return f"nullif(case when starts_with({text}, './') then {text}[3:] else {text} end, '')"


def label_columns(relation: Relation) -> list[str]:
    """The columns but the key; those of binary values are left out."""
    return [name for name, kind in relation.columns.items() if "BLOB" not in kind and name != key_column(relation)]


def count_classes(db: Any, relation: Relation, names: Sequence[str]) -> dict[str, list[int]]:
    """How many values of each class columns have, in one pass over the rows."""
    if not names:
        return {}
    classes = ", ".join(f"{_written(relation, name).kind} as k{i}" for i, name in enumerate(names))
    counts = ", ".join(f"count(*) filter (where k{i} = {c})" for i in range(len(names)) for c in _CLASSES)
    [row] = db.execute(f"select {counts} from (select {classes} from {relation.sql})").fetchall()
    width = len(_CLASSES)
    return {name: list(row[i * width : (i + 1) * width]) for i, name in enumerate(names)}


def types_of(counts: Mapping[str, Sequence[int]], dialect: str) -> dict[str, str]:
    """Each column's type, from the classes of all its values.

    Text is int64, float64 or bool where all of it reads as that; a column of -1 and 1 is bool, as CelebA's attributes
    are, of which some may have ones alone; what mixes or nests is JSON text.
    """
    signs = {name: n[MINUS] + n[PLUS] == sum(n) > 0 for name, n in counts.items()}
    attributes = all(signs.values()) and any(n[MINUS] for n in counts.values())
    return {name: _type(dialect, n, signs[name] and attributes) for name, n in counts.items()}


def _type(dialect: str, counts: Sequence[int], attribute: bool) -> str:
    """The type of a column; `attribute`: in this file ones are the opposite of minus ones."""
    given = sum(counts)
    if not given:
        return "string"
    if counts[MINUS] + counts[PLUS] == given and (counts[MINUS] or attribute):
        return "bool"
    if counts[BOOLEAN] == given:
        return "bool"
    whole = counts[MINUS] + counts[PLUS] + counts[INTEGER]
    if whole == given:
        return "int64"
    if whole + counts[REAL] == given:
        return "float64"
    return "string" if dialect == "text" or counts[STRING] == given else "json"


def value_sql(relation: Relation, field: LabelField) -> str:
    """SQL of a column's value in its type; null where it does not fit. Bools are 0 and 1, JSON is text."""
    written = _written(relation, field.key)
    number = written.value if relation.dialect == "typed" else written.text
    return {
        "string": written.text,
        "float64": f"try_cast({number} as double)",
        "int64": f"case when try_cast({number} as double) = try_cast({number} as bigint) "
        f"then try_cast({number} as bigint) end",
        "bool": f"case lower({written.text}) when 'true' then 1::utinyint when '1' then 1::utinyint "
        "when 'false' then 0::utinyint when '0' then 0::utinyint when '-1' then 0::utinyint end",
        "json": f"cast(to_json({written.value}) as varchar)",
    }[field.type]


def _written(relation: Relation, name: str) -> _Written:
    column = quoted(name)
    if relation.dialect == "typed":
        return _typed(column, relation.columns[name])
    return _json(column) if relation.dialect == "json" else _text(column)


def _signs(text: str) -> str:
    return f"when {text} = '-1' then {MINUS} when {text} = '1' then {PLUS}"


def _text(column: str) -> _Written:
    """Numbers with zeros in front are names: 007 is not 7."""
    text = f"nullif(trim({column}), '')"
    zeros = f"starts_with(ltrim({text}, '+-'), '0') and ltrim({text}, '+-')[2] between '0' and '9'"
    kind = (
        f"case when {text} is null then null {_signs(text)} "
        f"when try_cast({text} as double) is null then "
        f"case when lower({text}) in ('true', 'false') then {BOOLEAN} else {STRING} end "
        f"when try_cast({text} as bigint)::varchar = {text} then {INTEGER} "
        f"when {zeros} then {STRING} else {REAL} end"
    )
    return _Written(text, text, kind)


def _json(column: str) -> _Written:
    whole = (
        f"case {_signs(f'{column}::varchar')} when try_cast({column} as bigint) is null then {REAL} else {INTEGER} end"
    )
    kind = (
        f"case json_type({column}) when 'VARCHAR' then {STRING} when 'BOOLEAN' then {BOOLEAN} "
        f"when 'DOUBLE' then {REAL} when 'UBIGINT' then {whole} when 'BIGINT' then {whole} when 'NULL' then null "
        f"else case when {column} is null then null else {OTHER} end end"
    )
    value = f"nullif({column}, 'null'::json)"
    return _Written(value, f"({value} ->> '$')", kind)


def _typed(column: str, type: str) -> _Written:
    if type.endswith("]") or type.startswith(("STRUCT", "MAP", "UNION")):
        kind = str(OTHER)
    elif type in _INTEGERS:
        kind = f"case {column} when -1 then {MINUS} when 1 then {PLUS} else {INTEGER} end"
    else:
        kinds = ((_REALS, REAL), (("BOOLEAN",), BOOLEAN), (_TEXTS, STRING))
        kind = str(next((k for names, k in kinds if type.startswith(names)), OTHER))
    return _Written(column, f"cast({column} as varchar)", f"case when {column} is not null then {kind} end")
