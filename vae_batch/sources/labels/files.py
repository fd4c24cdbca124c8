"""Label files: found, fetched, recognised, and opened as relations that DuckDB reads out of core."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from vae_batch import storage
from vae_batch.errors import SourceError
from vae_batch.sources.labels.celeba import ALIGNED, IN_THE_WILD, is_number, to_tsv
from vae_batch.sources.sniff import has_image_extension
from vae_batch.types import LFS_POINTER

EXTENSIONS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")
_CELEBA = ("list_attr", "list_eval_partition", "identity_", "list_landmarks", "list_bbox")
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")
HEAD_BYTES = 1 << 16


@dataclass(slots=True)
class LabelFile:
    """A file of labels, here."""

    name: str
    """Its last path component: what messages call it."""
    path: Path
    """Where it can be read here; a remote or compressed one was fetched."""
    digest: str
    """sha256 of its content, hex."""
    remarks: list[str] = field(default_factory=list)
    """Lines that the user should see."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows as DuckDB sees them."""

    sql: str
    """What stands behind `from`."""
    dialect: str
    """`text`: all columns are text; `json`: all are JSON; `typed`: they have types."""
    columns: dict[str, str]
    """DuckDB's type by name, in order."""


def find_label_files(locations: Iterable[str], scratch: Path) -> tuple[list[LabelFile], list[str]]:
    """Find the label files that a user names.

    Args:
        locations: files, or folders of which the label files are taken (not of the folders in them); paths or URIs.
        scratch: an own folder, for what must be fetched or rewritten.

    Returns:
        The files, and lines that the user should see.

    Raises:
        SourceError: nothing is there, a folder holds no label files, or one is an HTML page.
        OSError: the storage fails.
    """
    found: list[LabelFile] = []
    remarks: list[str] = []
    for location in locations:
        system, info = look_at(location, "--labels")
        if info.is_file:
            paths = [info.path]
        else:
            paths, left_out = _in_folder(system, info.path, location)
            remarks += left_out
        found += [fetch(system, path, scratch) for path in paths]
    return found, remarks


def look_at(location: str, option: str) -> tuple[fs.FileSystem, fs.FileInfo]:
    """The file system of a path or URI, and what is there. Raises SourceError when there is nothing."""
    location = storage.local(location)
    if storage.is_remote(location):
        system, path = storage.filesystem(location)
    else:
        system, path = fs.LocalFileSystem(), str(Path(location).expanduser().absolute())
    info = system.get_file_info(path.rstrip("/"))
    if info.type.name == "NotFound":
        raise SourceError(f"{option} {location}: no such file or folder")
    return system, info


def _in_folder(system: fs.FileSystem, folder: str, location: str) -> tuple[list[str], list[str]]:
    """The label files of a folder, and what to say of it."""
    files = sorted(i.path for i in system.get_file_info(fs.FileSelector(folder)) if i.is_file)
    paths = [path for path in files if _is_label_file(_base(path))]
    if not paths:
        raise SourceError(f"--labels {location}: the folder holds no label files; known are {', '.join(EXTENSIONS)}")
    remarks = []
    stems = {_base(path).partition(".")[0]: path for path in paths}
    if {ALIGNED, IN_THE_WILD} <= set(stems):
        paths.remove(stems[IN_THE_WILD])
        remarks.append(
            f"Labels {location}: {_base(stems[IN_THE_WILD])} is left out, since its columns are those of "
            f"{_base(stems[ALIGNED])}; for the in-the-wild images name the files one by one."
        )
    return paths, remarks


def _is_label_file(name: str) -> bool:
    plain = name.lower().removesuffix(".gz")
    return not plain.startswith(".") and (
        plain.endswith(EXTENSIONS) or (plain.endswith(".txt") and plain.startswith(_CELEBA))
    )


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def fetch(system: fs.FileSystem, path: str, scratch: Path) -> LabelFile:
    """Have a file here and unpacked.

    Raises:
        SourceError: its first bytes say that it is not what the user meant.
        OSError: the storage fails.
    """
    name, local = _base(path), Path(path)
    if not isinstance(system, fs.LocalFileSystem) or name.endswith(".gz"):
        name = name.removesuffix(".gz")
        local = storage.scratch(scratch, name)
        try:
            with system.open_input_stream(path) as source, local.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        except pa.ArrowInvalid as error:
            raise SourceError(f"{path} cannot be unpacked: {error}") from None
    head = _head(local).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise SourceError(f"{path} is empty")
    if head[:64].lower().startswith(_HTML):
        raise SourceError(
            f"{path} is an HTML page and no list of images: it is most likely what a download server (Google "
            "Drive, whose quota was used up) answered instead of the file; download it again"
        )
    if head.startswith(LFS_POINTER):
        raise SourceError(f"{path} is a pointer of git-lfs and not the file: run `git lfs pull`")
    return LabelFile(name, local, storage.file_sha256(local))


def open_relation(db: Any, file: LabelFile, scratch: Path) -> Relation:
    """Recognise a file by its name and first bytes, and describe it to DuckDB.

    Raises:
        SourceError: it is of no known kind, or its columns have no names.
    """
    head, lower = _head(file.path), file.name.lower()
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1"):
        return _typed(db, file.path)
    if text.startswith(b"{") or lower.endswith((".jsonl", ".ndjson", ".json")):
        return _json(db, file.path)
    if b"\0" in head or not lower.endswith((".csv", ".tsv", ".txt")):
        raise SourceError(f"{file.name} is no label file of a known kind: {', '.join(EXTENSIONS)}, or CelebA's .txt")
    first = text.splitlines()[0].decode("utf-8", "replace").strip()
    delimiter = next((mark for mark in "\t,;" if mark in first), "")
    if delimiter and not first.isdecimal():
        return _csv(file.path, file.name, first, delimiter)
    tsv = scratch / f"{file.digest[:16]}.tsv"
    header, remarks = to_tsv(file.path, file.name, tsv)
    file.remarks += remarks
    return _csv(tsv, file.name, header, "\t", quote="")


def _typed(db: Any, path: Path) -> Relation:
    sql = f"read_parquet({literal(path)})"
    return _relation(sql, "typed", {row[0]: row[1] for row in db.execute(f"describe from {sql}").fetchall()})


def _json(db: Any, path: Path) -> Relation:
    """JSON Lines; the keys are found in all of them, the values stay JSON."""
    sql = f"read_json({literal(path)}, format='newline_delimited', sample_size=-1)"
    columns = dict.fromkeys((row[0] for row in db.execute(f"describe from {sql}").fetchall()), "JSON")
    typed = ", ".join(f"{quoted(name)}: 'JSON'" for name in columns)
    return _relation(f"read_json({literal(path)}, format='newline_delimited', columns={{{typed}}})", "json", columns)


def _csv(path: Path, name: str, first: str, delimiter: str, quote: str = '"') -> Relation:
    """Text in columns, of which nothing is guessed but the delimiter: DuckDB's guesses would take a damaged file."""
    words = next(csv.reader([first], delimiter=delimiter, quotechar=quote or None, skipinitialspace=True))
    words = [word.strip() for word in words]
    if has_image_extension(words[0]) or all(map(is_number, words[1:])):
        raise SourceError(f"{name} has no header: put a line before the first, with a name for each column")
    typed = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(words)))
    marks = f"auto_detect=false, header=true, delim='{delimiter}', quote='{quote}', escape='{quote}'"
    named = {f"c{i}": word or f"column {i}" for i, word in enumerate(words) if word or not i}
    selected = ", ".join(f"{column} as {quoted(word)}" for column, word in named.items())
    rows = f"read_csv({literal(path)}, {marks}, columns={{{typed}}})"
    return Relation(f"(select {selected} from {rows})", "text", dict.fromkeys(named.values(), "VARCHAR"))


def _relation(sql: str, dialect: str, columns: dict[str, str]) -> Relation:
    names = ", ".join(f"{quoted(name)} as {quoted(name.strip())}" for name in columns)
    return Relation(f"(select {names} from {sql})", dialect, {name.strip(): kind for name, kind in columns.items()})


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A text in SQL."""
    return "'" + str(value).replace("'", "''") + "'"
