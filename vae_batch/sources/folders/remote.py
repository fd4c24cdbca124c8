"""Listing what lies under a URI: one listing of the file system, in the order in which a local walk would go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from vae_batch import storage

Found = tuple[str, int, bool]
"""Path relative to the root, size in bytes, and whether it is a regular file."""


def remote_folders(uri: str) -> Iterator[list[Found]]:
    """What lies in each folder under a URI: first its own files, then those of the folders in it.

    Raises:
        OSError: it cannot be listed.
    """
    found = sorted(remote_files(uri), key=lambda file: _order(file[0]))
    for _, group in groupby(found, key=lambda file: file[0].rpartition("/")[0]):
        yield list(group)


def remote_files(uri: str) -> list[Found]:
    """All files under a URI, with paths relative to it; objects whose name ends in a slash are folders."""
    from pyarrow import fs

    system, path = storage.filesystem(uri)
    base = path.rstrip("/")
    listed = storage.retried(lambda: system.get_file_info(fs.FileSelector(base, recursive=True)))
    return [(info.path[len(base) + 1 :], info.size, True) for info in listed if info.is_file]


def _order(path: str) -> tuple[tuple[bool, bytes], ...]:
    """A folder's files before its folders, both by the bytes of their names."""
    *folders, name = path.encode().split(b"/")
    return (*((True, folder) for folder in folders), (False, name))


def split_pattern(pattern: str) -> tuple[str, re.Pattern[str]]:
    """The folder before a URI's first wildcard, and what paths under it must match (`**` goes through folders)."""
    base, mark, query = pattern.partition("?") if "?" in pattern and "=" in pattern else (pattern, "", "")
    parts = base.split("/")
    first = next(i for i, part in enumerate(parts) if set("*[") & set(part))
    translated = []
    for part in parts[first:]:
        piece = "".join("[^/]*" if c == "*" else c if c in "[]-" else re.escape(c) for c in part)
        translated.append("(?:[^/]+/)*" if part == "**" else piece + "/")
    return "/".join(parts[:first]) + mark + query, re.compile("".join(translated).rstrip("/"))
