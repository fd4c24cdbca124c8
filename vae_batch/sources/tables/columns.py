"""The columns of a table: which holds the images, which the ids, which come along as labels; and their values."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vae_batch.errors import SourceError
from vae_batch.sources.names import to_text
from vae_batch.sources.shard import SourceOptions

MAX_NESTED_BYTES = 1 << 14
"""A nested value whose JSON text is longer is null: embeddings and the like are no labels."""
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_LISTED = 30

types = pa.types


@dataclass(frozen=True, slots=True)
class Picked:
    """The columns that are read of a table of images."""

    image: str
    id: str | None
    labels: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """All of them, once each."""
        return list(dict.fromkeys([self.image, *([self.id] if self.id else []), *self.labels]))


def pick(schema: pa.Schema, options: SourceOptions, title: str) -> Picked | None:
    """Choose the columns of a table; None for one that has no images.

    Raises:
        SourceError: a column that was named is not there or cannot serve, or several might hold the images.
    """
    image = image_column(schema, options.image_column, title)
    if image is None:
        return None
    check_id(options, {f.name: not types.is_nested(f.type) for f in schema}, title)
    if _is_generated(schema):
        named = options.id_column or "id"
        return Picked(image, named, label_names(schema, options, {image, named, "latent"}))
    return Picked(image, options.id_column, label_names(schema, options, {image, options.id_column}))


def _is_generated(schema: pa.Schema) -> bool:
    """Whether `vae-batch generate` wrote a table: its rows have ids of their own, and latents that are no labels."""
    return (schema.metadata or {}).get(b"vae_batch.kind") == b"generate" and {"id", "latent"} <= set(schema.names)


def image_column(schema: pa.Schema, named: str | None, title: str) -> str | None:
    """The column of images: the named one, the one that Hugging Face's metadata calls so, or the only candidate.

    Raises:
        SourceError: see `pick`.
    """
    candidates = [f.name for f in schema if is_image_type(f.type)]
    if named is not None and (candidates or named in schema.names):
        if candidates.count(named) == 1:
            return named
        problem = f"--image-column {named}: no single column of that name holds bytes, or struct<bytes, path>"
        raise SourceError(f"{title}: {problem}; its columns are {described(schema)}")
    known = [name for name in candidates if name in _hugging_face_images(schema)]
    if len(known or candidates) > 1:
        raise SourceError(
            f"{title}: the images may be in any of the columns {', '.join(known or candidates)}; say which with "
            f"--image-column. Its columns are {described(schema)}"
        )
    return next(iter(known or candidates), None)


def is_image_type(kind: pa.DataType) -> bool:
    """Whether a column of this type may hold images: bytes, or Hugging Face's struct<bytes, path>."""
    if types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and (_is_bytes(kind[at].type) or types.is_null(kind[at].type))
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _hugging_face_images(schema: pa.Schema) -> set[str]:
    """Columns that the metadata of `datasets` declares to be images."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name for name, feature in features.items() if feature["_type"] == "Image"}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return set()


def check_id(options: SourceOptions, usable: Mapping[str, bool], title: str) -> None:
    """Refuse an id column that is not there, or whose values are no single ones. Raises SourceError."""
    if options.id_column is not None and not usable.get(options.id_column, False):
        problem = "holds nested values" if options.id_column in usable else "is not there"
        raise SourceError(
            f"{title}: --id-column {options.id_column} {problem}; its columns are {', '.join([*usable][:_LISTED])}"
        )


def label_names(schema: pa.Schema, options: SourceOptions, taken: set[str | None]) -> tuple[str, ...]:
    """The columns that come along: those of --columns, else all of plain type."""
    count = Counter(schema.names)
    plain = [f.name for f in schema if is_plain(f.type) and f.name and count[f.name] == 1]
    wanted = (n for n in plain if not _PANDAS_INDEX.fullmatch(n)) if options.columns is None else options.columns
    return tuple(name for name in wanted if name in plain and name not in taken)


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of a type can be labels: no bytes anywhere in them."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_plain(kind.storage_type)
    if types.is_dictionary(kind):
        return is_plain(kind.value_type)
    if types.is_nested(kind):
        return not types.is_union(kind) and all(is_plain(kind.field(i).type) for i in range(kind.num_fields))
    return not _is_bytes(kind) and not types.is_fixed_size_binary(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type can be paths."""
    if types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def described(schema: pa.Schema) -> str:
    """The columns and their types, for a message."""
    listed = [f"{f.name} ({f.type})" for f in schema][:_LISTED]
    return ", ".join(listed) + (f" and {len(schema) - _LISTED} more" if len(schema) > _LISTED else "")


def labels_of(batch: pa.RecordBatch, names: Sequence[str]) -> Iterable[dict[str, Any] | None]:
    """The labels of each row, as JSON has them; None where there are no such columns."""
    if not names:
        return [None] * batch.num_rows
    columns = [values(batch.column(name)) for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def values(array: pa.Array) -> list[Any]:
    """A column of plain type as numbers, bools, text and (where nested) lists and dicts; dates are ISO text."""
    array = _decoded(array)
    kind = array.type
    if is_text(kind) or _is_bytes(kind):
        return texts(array)
    if types.is_decimal(kind):
        return [None if value is None else float(value) for value in array.to_pylist()]
    if types.is_nested(kind):
        return [_nested(value) for value in _python(array)]
    if types.is_temporal(kind):
        return _each(pc.cast(array, pa.string(), safe=False)) if not types.is_interval(kind) else _python(array)
    return _each(array)


def texts(array: pa.Array) -> list[str | None]:
    """A column of single values as text; bytes that are no UTF-8 percent-encoded."""
    array = _decoded(array)
    if is_text(array.type):
        array = pc.cast(array, pa.large_binary())
    if _is_bytes(array.type) or types.is_fixed_size_binary(array.type):
        return [None if value is None else to_text(value) for value in array.to_pylist()]
    if types.is_temporal(array.type):
        return _each(pc.cast(array, pa.string(), safe=False))
    return [None if value is None else str(value) for value in array.to_pylist()]


def _decoded(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        return _decoded(array.storage)
    return array.dictionary_decode() if types.is_dictionary(array.type) else array


def _each(array: pa.Array) -> list[Any]:
    return list(array.to_pylist())


def _python(array: pa.Array) -> list[Any]:
    """Values one by one, so that one that Python cannot hold (text that is no UTF-8) is null alone."""
    return [_or_none(scalar.as_py) for scalar in array]


def _or_none(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (ValueError, OverflowError):
        return None


def _nested(value: Any) -> Any:
    text = _or_none(lambda: json.dumps(value, default=str))
    return json.loads(text) if text is not None and len(text) <= MAX_NESTED_BYTES else None
