"""Files that appear whole or not at all: a rename here, one upload on an object store."""

from __future__ import annotations

import atexit
import errno
import json
import os
import secrets
import shutil
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vae_batch.errors import StorageError
from vae_batch.storage.locations import is_remote, join, name_of
from vae_batch.storage.systems import filesystem
from vae_batch.storage.transport import retried

_OBJECT_STORES = ("s3", "gcs", "abfs")
"""Arrow's file systems on which an object appears when its upload is completed, and not before."""


STALE_SECONDS = 3 * 86_400.0
"""A temporary file of another host that was not written to for so long is nobody's any more."""


def scratch(tmp: str | Path, stem: str) -> Path:
    """Name a temporary file that tells its owner: `stem~host~pid~random.tmp`. The folder is made.

    Args:
        tmp: the folder; what belongs under a URI is finished in a folder of this machine first.
        stem: how the name begins.
    """
    folder = _workplace(tmp)
    return folder / f"{stem}~{socket.gethostname()}~{os.getpid()}~{secrets.token_hex(4)}.tmp"


def _workplace(tmp: str | Path) -> Path:
    if not is_remote(tmp):
        Path(tmp).mkdir(parents=True, exist_ok=True)
        return Path(tmp)
    return _on_this_machine()


def _on_this_machine() -> Path:
    folder = Path(tempfile.gettempdir()) / f"vae_batch-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StorageError(f"{folder} belongs to another user; set TMPDIR to a folder of your own")
    return folder


def own_folder(stem: str) -> Path:
    """Make a folder on this machine that goes when this process ends, or, if that is killed, when the next is made."""
    sweep(_on_this_machine())
    folder = scratch(_on_this_machine(), stem)
    folder.mkdir(mode=0o700)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def publish(finished: Path, final: str | Path, tmp: str | Path, new: bool = False) -> None:
    """Give a finished file its final name.

    Here: fsync, rename, fsync of the folder. Object stores: one upload straight to the name. Other file systems
    under URIs: a temporary name in `tmp`, then a move. The finished file is gone afterwards.

    Args:
        finished: the file.
        final: its name.
        tmp: for what is unfinished.
        new: here, and where the file system has links, a file that has the name already stays.

    Raises:
        FileExistsError: there is one (`new`).
        OSError: it may or may not be there; the same may be done again.
    """
    if is_remote(final):
        import pyarrow as pa

        with pa.memory_map(str(finished)) as file:
            _upload(file.read_buffer(), str(final), str(tmp))
        finished.unlink()
        return
    with finished.open("rb") as file:
        os.fsync(file.fileno())
    _link(finished, final) if new else finished.replace(final)
    folder = os.open(Path(final).parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link(finished: Path, final: str | Path) -> None:
    """Move a file to a name that is free; of two who do so at once one fails."""
    try:
        os.link(finished, final)
    except FileExistsError:
        finished.unlink()
        raise
    except OSError:  # no links on this file system
        finished.replace(final)
    else:
        finished.unlink()


def write_bytes(final: str | Path, data: bytes, tmp: str | Path, new: bool = False) -> None:
    """Write a small file whole, by way of a temporary one in `tmp` (same file system) where that is the way.

    See `publish` for `new`.
    """
    if is_remote(final):
        _upload(data, str(final), str(tmp))
        return
    unfinished = scratch(tmp, name_of(final))
    unfinished.write_bytes(data)
    publish(unfinished, final, tmp, new)


def write_json(final: str | Path, value: Any, tmp: str | Path, new: bool = False) -> None:
    """Write a JSON file whole; see `publish` for `new`."""
    write_bytes(final, (json.dumps(value, indent=1) + "\n").encode(), tmp, new)


def sweep(tmp: str | Path) -> None:
    """Remove temporary files whose owner is dead; on other hosts those are that are older than `STALE_SECONDS`."""
    for file in _workplace(tmp).glob("*~*~*~*.tmp"):
        if _abandoned(file):
            shutil.rmtree(file, ignore_errors=True) if file.is_dir() else file.unlink(missing_ok=True)


def _abandoned(file: Path) -> bool:
    _, host, pid, _ = file.name.rsplit("~", 3)
    if host == socket.gethostname():
        return not _alive(int(pid))
    try:
        return time.time() - file.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _upload(data: Any, final: str, tmp: str) -> None:
    """Write a whole object, from memory and in a thread of its own.

    Arrow completes an upload whenever its stream is closed, and closes it when it is dropped: so nothing may come
    between opening and closing, neither a failing read nor the exception of a signal, which only the main thread
    gets. An upload of which a request failed is not completed; a killed process completes nothing.
    """
    system, path = filesystem(final)
    direct = system.type_name in _OBJECT_STORES
    first = path if direct else filesystem(join(tmp, f"{name_of(final)}~{secrets.token_hex(4)}.tmp"))[1]

    def attempt() -> None:
        if not direct:
            for folder in (first, path):
                system.create_dir(folder.rpartition("/")[0], recursive=True)
        with system.open_output_stream(first) as stream:
            stream.write(data)
        if not direct:
            system.move(first, path)
        there = system.get_file_info(path).size
        if there != len(data):
            raise OSError(errno.EIO, f"{there} bytes there after an upload of {len(data)}", final)

    with ThreadPoolExecutor(1, thread_name_prefix="upload") as thread:
        thread.submit(retried, attempt).result()
