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
from vae_batch.sources.labels.files import LabelFile, find_label_files, open_relation
from vae_batch.sources.labels.join import Join, Joined, SplitName, split_name
from vae_batch.sources.labels.match import Image, sample_ids
from vae_batch.sources.labels.table import LabelTable, build_table, connect, first_line
from vae_batch.sources.labels.together import LookedAt, fields_of, look, rows_of, titled, together
from vae_batch.sources.labels.types import LabelField
from vae_batch.sources.source import Source
from vae_batch.specs import ImagesSpec
from vae_batch.types import BOX_COLUMNS, LANDMARK_COLUMNS

_SPLIT_LABELS = ("partition", "split")
_PLACES = (*LANDMARK_COLUMNS, *BOX_COLUMNS)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of labels, of one file or of several that are taken together."""

    files: list[LabelFile]
    looked: list[LookedAt]
    """Empty where the table is there already."""
    fields: list[LabelField]
    match: str
    name: str
    """Of its file, from the content of all label files."""

    @property
    def title(self) -> str:
        """What messages call it."""
        return titled([file.name for file in self.files])


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
        SourceError: a file cannot be used, names none of the images, or has other types than one of the same labels.
        SpecError: no label tells the split.
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
        self._files = found
        self._tables = self._known() or self._look(sample_ids(source) if found else [])
        self.remarks += remarks
        self._split = self._find_split(spec.split, sidecar_keys) if spec.split else None
        self._exclude = find_exclusion(spec.exclude, scratch) if spec.exclude else None
        if self._exclude:
            self.remarks.append(f"Exclude {self._exclude.name}: {len(self._exclude.entries):,} ids or sha256.")

    @property
    def fields(self) -> list[LabelField]:
        """The labels that come from files, in order."""
        return [field for table in self._tables for field in table.fields if self._wanted(field.key)]

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What of it determines the rows and their labels."""
        match = {file.digest: table.match for table in self._tables for file in table.files}
        files = [f"{file.digest[:16]} by {match[file.digest]}" for file in self._files]
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

        Raises:
            SourceError: files disagree about a label of an image, or cannot be sorted.
        """
        joined: list[Joined] = []
        remarks: list[str] = []
        if self._files or self._exclude:
            storage.make_folder(folder)
        for table in self._tables:
            path = _path(self._folder, table.name)
            if table.looked:
                path = _path(folder, table.name)
                remarks += self._build(table, path, tmp)
            keys = tuple(field.key if self._wanted(field.key) else None for field in table.fields)
            joined.append(Joined(table.title, path, table.match, keys))
        exclude = self._exclusion(folder, tmp)
        join = Join(tuple(joined), self._split, exclude)
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

    def _build(self, table: _Table, path: str, tmp: str) -> list[str]:
        facts = {
            "name": table.title,
            "match": table.match,
            "files": [file.name for file in table.files],
            "members": [self._files.index(file) for file in table.files],
            "tables": len(self._tables),
        }
        repeated = build_table(self._db, rows_of(table.looked, table.fields), table.fields, facts, path, tmp)
        if not repeated:
            return []
        return [f"Note: {table.title}: {repeated:,} rows have the key of an earlier row, which counts."]

    def _base(self) -> str:
        """How the names of the tables begin, from all that they come of."""
        files = [[file.name, file.digest] for file in self._files]
        return storage.json_sha256([files, sorted((self._columns or {}).items())])[:16]

    def _known(self) -> list[_Table]:
        """The tables of an earlier run, if all are there."""
        name = f"{self._base()}-0"
        count = LabelTable(_path(self._folder, name)).facts["tables"] if self._made(name) else 0
        names = [f"{self._base()}-{number}" for number in range(count)]
        if not all(map(self._made, names)):
            return []
        tables = []
        for name in names:
            known = LabelTable(_path(self._folder, name))
            files, match = [self._files[i] for i in known.facts["members"]], known.facts["match"]
            tables.append(_Table(files, [], known.fields, match, name))
            self.remarks.append(f"Labels {tables[-1].title}: {known.rows:,} rows, joined by {match} as before.")
        return tables

    def _made(self, name: str) -> bool:
        return storage.exists(_path(self._folder, name))

    def _look(self, ids: list[Image]) -> list[_Table]:
        """Look at all rows of all files."""
        forced = self._columns or {}
        looked = []
        for file in self._files:
            with _reading(file.name):
                relation = open_relation(self._db, file, Path(self._scratch.name))
                looked.append(look(self._db, file, relation, ids, forced))
            self.remarks += [*file.remarks, *looked[-1].remarks()]
        tables: list[_Table] = []
        for group in together(looked, self._tabled):
            files, fields = [one.file for one in group], fields_of(group, forced, self._tabled)
            tables.append(_Table(files, group, fields, group[0].match.how, f"{self._base()}-{len(tables)}"))
            if len(files) > 1:
                self.remarks.append(f"Labels {tables[-1].title}: taken as one table, since they share columns.")
        return tables

    def _tabled(self, key: str) -> bool:
        """Whether a label goes into the tables: it is wanted, or could tell a split."""
        return key.lower() in _SPLIT_LABELS or key in _PLACES or self._columns is None or key in self._columns

    def _wanted(self, key: str) -> bool:
        needed = (*_PLACES, *((self._split[0],) if self._split else ()))
        return self._columns is None or key in self._columns or key in needed

    def _find_split(self, wanted: SplitName, sidecar_keys: Collection[str]) -> tuple[str, SplitName]:
        for name in _SPLIT_LABELS:
            for table in self._tables:
                for field in table.fields:
                    if field.key.lower() == name:
                        self._check_split(table, field, wanted)
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

    def _check_split(self, table: _Table, field: LabelField, wanted: SplitName) -> None:
        """Refuse files that have no image of the split."""
        if not table.looked:
            return
        rows = rows_of(table.looked, [field])
        with _reading(table.title):
            values = self._db.execute(
                f"select c0, count(*) from ({rows}) group by 1 order by 2 desc limit 100"
            ).fetchall()
        counts: Counter[str | None] = Counter()
        for value, count in values:
            counts[split_name(value)] += count
        if not counts[wanted]:
            some = ", ".join(f"{value} ({count:,} rows)" for value, count in values[:5])
            raise SourceError(f"--split {wanted}: {table.title} has no such images; its {field.key} is {some}")
        self.remarks.append(f"Split {wanted}: {counts[wanted]:,} rows of {table.title}, by its column {field.key}.")


def _path(folder: str, name: str) -> str:
    return storage.join(folder, f"{name}.arrow")


@contextmanager
def _reading(title: str) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise SourceError(f"label file {title} cannot be read: {first_line(error)}") from None
