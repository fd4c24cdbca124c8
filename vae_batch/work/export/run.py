"""From a data set to a folder in another format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vae_batch import storage
from vae_batch.errors import OutputError, SpecError
from vae_batch.work.export.data_set import DataSet, open_data_set
from vae_batch.work.export.destination import Destination, ExportFormat
from vae_batch.work.export.hf import write_hf
from vae_batch.work.export.npy import write_npy
from vae_batch.work.export.webdataset import write_webdataset

WRITERS: dict[ExportFormat, Callable[[DataSet, Destination, int | None], int]] = {
    "hf": write_hf,
    "webdataset": write_webdataset,
    "npy": lambda data, target, rows: write_npy(data, target),
}


def export(
    out: str,
    to: ExportFormat,
    folder: str,
    shard_rows: int | None = None,
    partial: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Write a data set in another format; stopped at any moment, the same call goes on.

    Each file appears whole or not at all, and equal data sets have equal files.

    Args:
        out: an encoded or a generated data set, a folder or a URI.
        to: hf: a folder for the Hugging Face hub; npy: numpy arrays; webdataset: tars.
        folder: new, empty, or of the same call; or a URI.
        shard_rows: hf, webdataset: rows of a file, at most; None: those of a part.
        partial: export a data set that is not finished.
        say: takes lines about what is done.

    Returns:
        The rows.

    Raises:
        SpecError: npy has no shards.
        OutputError: `out` is no finished data set or is damaged, or the folder cannot be used.
        MismatchError: the folder has another export.
        OSError: the storage fails.
    """
    if to == "npy" and shard_rows is not None:
        raise SpecError(f"--shard-rows {shard_rows}: npy has one file for each column")
    data, folder = open_data_set(out, partial), storage.absolute(folder)
    _check_apart(data.layout.out, folder)
    fields = {"format": to, "data_set": data.digest, "rows": data.total, "shard_rows": shard_rows}
    target = Destination(folder, fields, say)
    target.begin()
    files = WRITERS[to](data, target, shard_rows)
    storage.sweep(target.tmp)
    say(f"Done: {data.total:,} rows in {files:,} file{'s' * (files != 1)}: {folder}")
    return data.total


def _check_apart(out: str, folder: str) -> None:
    if storage.is_remote(out) or storage.is_remote(folder):
        inside = folder == out or folder.startswith(f"{out.partition('?')[0]}/")
    else:
        inside = Path(folder).resolve().is_relative_to(Path(out).resolve())
    if inside:
        raise OutputError(f"{folder} lies in the data set that is exported: give a folder outside it")
