"""Reading footers: the part is the receipt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.errors import OutputError


@dataclass(frozen=True, slots=True)
class Footer:
    """What a part says of itself; no times, no hosts."""

    unit: int
    fingerprint: str
    numerics: str
    """JSON: what may move a value by rounding."""
    seen: int
    rows: int
    rejects: int
    skipped: int
    excluded: int
    ids_sha256: str
    values_sha256: str
    rejects_file: str
    moments: str
    notes: dict[str, dict[str, int]]
    """Labels that did not fit (`nulls`), unforeseen keys, sidecars without labels, images without a row in a label file
    (`unmatched`), and why images were left out (`excluded`), by name."""
    files: dict[str, str]
    """sha256 of the files beside the part, by their path in OUT; none for each picture, which has a row."""
    fp32_rows: list[int]
    """Rows of the part that were made in fp32 because reduced precision gave no finite value."""


def read_footer(path: str | Path) -> Footer:
    """Read one part's footer; no row is read.

    Raises:
        OutputError: the file is no whole Parquet file, or not one of ours.
    """
    try:
        with storage.open_input(path) as file:
            metadata = pq.read_metadata(file)
        ours = {
            key.decode().removeprefix("vae_batch."): value.decode()
            for key, value in (metadata.metadata or {}).items()
            if key.startswith(b"vae_batch.")
        }
        footer = Footer(
            unit=int(ours["unit"]),
            seen=int(ours["seen"]),
            rows=int(ours["rows"]),
            rejects=int(ours["rejects"]),
            skipped=int(ours["skipped"]),
            excluded=int(ours["excluded"]),
            notes=json.loads(ours["notes"]),
            files=json.loads(ours.get("files", "{}")),
            fp32_rows=json.loads(ours["fp32_rows"]),
            **{
                k: ours[k]
                for k in ("fingerprint", "numerics", "ids_sha256", "values_sha256", "rejects_file", "moments")
            },
        )
    except KeyError as error:
        raise OutputError(f"{storage.name_of(path)}: the footer has no vae_batch.{error.args[0]}") from None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise OutputError(f"{storage.name_of(path)}: not a whole Parquet file of this package: {error}") from None
    if metadata.num_rows != footer.rows:
        raise OutputError(f"{storage.name_of(path)}: has {metadata.num_rows} rows, its footer says {footer.rows}")
    return footer


def read_footers(paths: Iterable[str | Path]) -> Iterator[Footer | OutputError]:
    """Read many footers in parallel, some at a time, in order; an error takes the place of a spoiled footer."""

    def one(path: str | Path) -> Footer | OutputError:
        try:
            return read_footer(path)
        except OutputError as error:
            return error

    waiting = iter(paths)
    with ThreadPoolExecutor(16) as pool:
        while some := list(islice(waiting, 256)):
            yield from pool.map(one, some)
