"""Where files are, here or under a URI; and files that appear whole or not at all."""

from vae_batch.storage.digests import bytes_sha256, file_sha256, json_sha256
from vae_batch.storage.files import (
    exists,
    fetch,
    list_files,
    make_folder,
    open_input,
    read_bytes,
    remove,
    remove_folder,
)
from vae_batch.storage.locations import absolute, is_remote, join, local, name_of
from vae_batch.storage.publishing import publish, scratch, sweep, write_bytes, write_json
from vae_batch.storage.systems import filesystem
from vae_batch.storage.transport import is_full, is_lasting, retried

__all__ = [
    "absolute",
    "bytes_sha256",
    "exists",
    "fetch",
    "file_sha256",
    "filesystem",
    "is_full",
    "is_lasting",
    "is_remote",
    "join",
    "json_sha256",
    "list_files",
    "local",
    "make_folder",
    "name_of",
    "open_input",
    "publish",
    "read_bytes",
    "remove",
    "remove_folder",
    "retried",
    "scratch",
    "sweep",
    "write_bytes",
    "write_json",
]
