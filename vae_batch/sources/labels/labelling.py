"""Labels, split and exclusion of a job: looked at before it begins, then made into tables that replicas map."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from vae_batch import storage
from vae_batch.errors import SourceError, SpecError
from vae_batch.sources.labels.exclusion import build_exclusion, exclusion_table, find_exclusion
from vae_batch.sources.labels.files import LabelFile, Relation, find_label_files, open_relation
from vae_batch.sources.labels.join import Join, Joined, SplitName, split_name
from vae_batch.sources.labels.match import Match, find_match, sample_ids
from vae_batch.sources.labels.table import LabelTable, build_table, connect, first_line
from vae_batch.sources.labels.types import LabelField, find_fields, key_sql, value_sql
from vae_batch.sources.source import Source
from vae_batch.specs import ImagesSpec
from vae_batch.types import BOX_COLUMNS, LANDMARK_COLUMNS

_SPLIT_LABELS = ("partition", "split")


@dataclass(frozen=True, slots=True)
class _Looked:
    """A label file after a look at all its rows."""

    file: LabelFile
    relation: Relation | None
    """None where its table is there already."""
    fields: list[LabelField]
    match: str
    table: str
    """Name of its table, from its content."""


class Labelling:
    """What the labels, the split and the exclusion of a spec are. Temporary files go with the object.

    Args:
        spec: names the files.
        source: the images; some ids are looked at to learn what the keys of the files are.
        folder: where tables may be from an earlier run; one that is there is not made again.
        columns: types by label that the user gave: only these labels come along, and those that splits and crops
            need. None: all, with types found.
        sidecar_keys: labels that the images have without files.

    Raises:
        SourceError: a file cannot be used, or names none of the images.
        SpecError: two files have the same label, or no label tells the split.
        OSError: the storage fails.
    """

    def __init__(
        self,
        spec: ImagesSpec,
        source: Source,
        folder: str,
        columns: Mapping[str, str] | None = None,
        sidecar_keys: Collection[str] = (),
    ) -> None:
        self.remarks: list[str] = []
        """Lines that the user should see."""
        self._folder, self._columns = folder, columns
        self._scratch = tempfile.TemporaryDirectory()
        scratch = Path(self._scratch.name)
        self._db: Any = connect(scratch) if spec.labels or spec.exclude else None
        found, remarks = find_label_files(spec.labels, scratch)
        ids = sample_ids(source) if found else []
        self._files = [self._look(file, ids) for file in found]
        self.remarks += remarks
        self._split = self._find_split(spec.split, sidecar_keys) if spec.split else None
        self._exclude = find_exclusion(spec.exclude, scratch) if spec.exclude else None
        self._refuse_clashes()
        if self._exclude:
            self.remarks.append(f"Exclude {self._exclude.name}: {len(self._exclude.entries):,} ids or sha256.")

    @property
    def fields(self) -> list[LabelField]:
        """The labels that come from files, in order."""
        return [field for looked in self._files for field in looked.fields if self._wanted(field.key)]

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What of it determines the rows and their labels."""
        files = [f"{looked.file.digest[:16]} by {looked.match}" for looked in self._files]
        return {
            "label_files": files or None,
            "split": "=".join(self._split) if self._split else None,
            "exclude": self._exclude.digest if self._exclude else None,
        }

    def build(self, folder: str, tmp: str) -> tuple[Join | None, list[str]]:
        """Make the tables that are not there.

        Args:
            folder: for new tables.
            tmp: for unfinished files, on the same file system.

        Returns:
            What a `Reading` wants, and lines that the user should see.
        """
        files: list[Joined] = []
        remarks: list[str] = []
        if self._files or self._exclude:
            storage.make_folder(folder)
        for looked in self._files:
            table = _table(self._folder, looked.table)
            if looked.relation is not None:
                table = _table(folder, looked.table)
                remarks += self._build(looked, looked.relation, table, tmp)
            keys = tuple(field.key if self._wanted(field.key) else None for field in looked.fields)
            files.append(Joined(looked.file.name, table, looked.match, keys))
        exclude = self._exclusion(folder, tmp)
        join = Join(tuple(files), self._split, exclude)
        return (join if join != Join() else None), remarks

    def _exclusion(self, folder: str, tmp: str) -> str | None:
        """The path of the table of excluded images."""
        if self._exclude is None:
            return None
        table = exclusion_table(self._folder, self._exclude.digest)
        if not storage.exists(table):
            table = exclusion_table(folder, self._exclude.digest)
            build_exclusion(self._db, self._exclude, table, tmp)
        return table

    def _build(self, looked: _Looked, relation: Relation, table: str, tmp: str) -> list[str]:
        values = [f"{value_sql(relation, field)} as c{i}" for i, field in enumerate(looked.fields)]
        rows = f"select {', '.join([f'{key_sql(relation)} as key', *values])} from {relation.sql}"
        facts = {"name": looked.file.name, "match": looked.match}
        repeated = build_table(self._db, rows, looked.fields, facts, table, tmp)
        if not repeated:
            return []
        return [f"Note: {looked.file.name}: {repeated:,} rows have the key of an earlier row, which counts."]

    def _look(self, file: LabelFile, ids: list[tuple[str, str]]) -> _Looked:
        table = storage.json_sha256([file.name, file.digest, sorted((self._columns or {}).items())])[:16]
        if storage.exists(_table(self._folder, table)):
            known = LabelTable(_table(self._folder, table))
            self.remarks.append(f"Labels {file.name}: {known.rows:,} rows, joined by {known.facts['match']} as before.")
            return _Looked(file, None, known.fields, known.facts["match"], table)
        with _reading(file):
            relation = open_relation(self._db, file, Path(self._scratch.name))
            fields = find_fields(self._db, file, relation, self._columns or {})
            match = find_match(self._db, file, relation, ids)
        self.remarks += [*file.remarks, *_joined(file, fields, match)]
        return _Looked(file, relation, fields, match.how, table)

    def _wanted(self, key: str) -> bool:
        needed = (*LANDMARK_COLUMNS, *BOX_COLUMNS, *((self._split[0],) if self._split else ()))
        return self._columns is None or key in self._columns or key in needed

    def _find_split(self, wanted: SplitName, sidecar_keys: Collection[str]) -> tuple[str, SplitName]:
        for name in _SPLIT_LABELS:
            for looked in self._files:
                for field in looked.fields:
                    if field.key.lower() == name:
                        self._check_split(looked, field, wanted)
                        return field.key, wanted
            for key in sidecar_keys:
                if key.lower() == name:
                    self.remarks.append(f"Split {wanted}: of the images whose label {key} says so.")
                    return key, wanted
        raise SpecError(
            f"--split {wanted}: no label says which split an image is of; give --labels with CelebA's "
            "list_eval_partition.txt, or with a file that has a column `partition` (0, 1, 2) or `split` (train, "
            "validation, test); with --columns, a label that comes with the images must be among them"
        )

    def _check_split(self, looked: _Looked, field: LabelField, wanted: SplitName) -> None:
        """Refuse a file that has no image of the split."""
        if looked.relation is None:
            return
        with _reading(looked.file):
            values = self._db.execute(
                f"select {value_sql(looked.relation, field)}, count(*) from {looked.relation.sql} group by 1 "
                "order by 2 desc limit 100"
            ).fetchall()
        counts: Counter[str | None] = Counter()
        for value, count in values:
            counts[split_name(value)] += count
        if not counts[wanted]:
            some = ", ".join(f"{value} ({count:,} rows)" for value, count in values[:5])
            raise SourceError(f"--split {wanted}: {looked.file.name} has no such images; its {field.key} is {some}")
        self.remarks.append(
            f"Split {wanted}: {counts[wanted]:,} rows of {looked.file.name}, by its column {field.key}."
        )

    def _refuse_clashes(self) -> None:
        names: dict[str, str] = {}
        for looked in self._files:
            for key in (field.key for field in looked.fields if self._wanted(field.key)):
                other = names.setdefault(key, looked.file.name)
                if other != looked.file.name:
                    raise SpecError(
                        f"the label {key} is in {other} and in {looked.file.name}: give one of them, choose other "
                        "labels with --columns name:type,..., or make one file of the two"
                    )


def _table(folder: str, name: str) -> str:
    return storage.join(folder, f"{name}.arrow")


def _joined(file: LabelFile, fields: list[LabelField], match: Match) -> Iterator[str]:
    words = {"id": "id", "path": "path in the archive", "name": "file name", "stem": "file name without extension"}
    missing = match.sample - match.found
    of_them = f"all of {match.sample:,}" if not missing else f"{missing:,} of {match.sample:,}"
    yield (
        f"Labels {file.name}: {match.rows:,} rows, {len(fields):,} column{'s' * (len(fields) != 1)}, joined by "
        f"{words[match.how]}; {of_them} images looked at {'have a row' if not missing else 'have none'}."
    )
    if match.shared:
        yield (
            f"Note: {file.name}: {match.shared:,} of the images looked at share their {words[match.how]} with another, "
            "and so their labels."
        )


@contextmanager
def _reading(file: LabelFile) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise SourceError(f"label file {file.name} cannot be read: {first_line(error)}") from None
