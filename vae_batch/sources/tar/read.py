"""Reading a tar, or a piece of one: members to records, with the sidecars that belong to them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from vae_batch.sources.labels.sidecars import MAX_SIDECAR_BYTES, count_failure, parse_labels
from vae_batch.sources.member import Member
from vae_batch.sources.shard import NO_OPTIONS, Shard, SourceOptions
from vae_batch.sources.sniff import HEAD_BYTES, has_image_magic
from vae_batch.sources.streams import MAX_FILE_BYTES, Stream, open_stream, too_large
from vae_batch.sources.tar.groups import alone, groups, pair
from vae_batch.sources.tar.walk import Walk
from vae_batch.types import ImageRecord, Piece, Reject, Tally

Labels = dict[str, Any]


def read_tar(
    root: str, piece: Piece, tally: Tally, options: SourceOptions = NO_OPTIONS
) -> Iterator[ImageRecord | Reject]:
    """Read one piece of a tar, a group of members at a time.

    Raises:
        SourceError: the tar is gone, or its members do not stop where the plan says.
        OSError: the storage fails; the attempt can be made again.
    """
    with open_stream(root, piece.shard, piece.start) as stream:
        repeats = _Repeats(piece)
        sidecars = _Sidecars(tally)
        row = piece.first_row
        for key, group in groups(Walk(stream, piece.end), lambda member: _load(stream, member)):
            files, jsons = pair(key, group)
            tally.seen += len(files)
            if apart := alone(group):
                tally.sidecars["alone"] += apart
            labels = sidecars.labels(key, files, jsons)
            for (member, _), own in zip(files, labels, strict=True):
                found = _outcome(piece.shard, row, member, own, repeats.is_repeat(row, member))
                row += 1
                if found is None:
                    tally.skipped += 1
                    continue
                tally.bytes += len(found.data) if isinstance(found, ImageRecord) else 0
                yield found


def sample_tar(root: str, shard: Shard, options: SourceOptions) -> Iterator[Labels | None]:
    """Give the labels of the files from the first on; of damaged data nothing."""
    with open_stream(root, shard.path) as stream:
        for key, group in groups(Walk(stream), partial(_load_sidecar, stream)):
            for _, sidecar in pair(key, group)[0]:
                yield None if sidecar is None else parse_labels(sidecar.data)


def _load_sidecar(stream: Stream, member: Member) -> None:
    if member.kind == "file" and not member.error and _small_json(member):
        member.data = stream.read(member.size)


class _Repeats:
    """Knows the rows whose name an earlier one has: by the plan for a piece, by 64-bit hashes for a whole tar."""

    def __init__(self, piece: Piece) -> None:
        self._whole = piece.start == 0 and piece.end is None
        self._known: set[int] = set() if self._whole else set(piece.repeats)

    def is_repeat(self, row: int, member: Member) -> bool:
        if not self._whole:
            return row in self._known
        if member.kind == "damage":
            return False
        before = len(self._known)
        self._known.add(hash(member.name))
        return len(self._known) == before


class _Sidecars:
    """Labels for a group's files; `<key>.json` also serves the groups of the same key behind its own."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._key: str | None = None
        self._shared: tuple[Labels | None] | None = None  # a sidecar `<key>.json` was met, and what it said

    def labels(self, key: str, files: list[tuple[Member, Member | None]], jsons: list[Member]) -> list[Labels | None]:
        continued = key == self._key
        if not continued:
            self._key, self._shared = key, None
        parsed = {member.start: parse_labels(member.data) for member in jsons}
        for member in jsons:
            if parsed[member.start] is None:
                count_failure(self._tally, member.data, member.size)
            if member.stem == key and self._shared is None:
                self._tally.sidecars["late"] += continued
                self._shared = (parsed[member.start],)
        shared = self._shared[0] if self._shared else None
        return [shared if sidecar is None else parsed[sidecar.start] for _, sidecar in files]


def _load(stream: Stream, member: Member) -> None:
    """Read the data of what may be an image or a sidecar; of anything else only the first bytes."""
    if member.kind != "file" or member.error:
        return
    head = b""
    if not member.is_image and not _small_json(member):
        head = _read(stream, member, min(member.size, HEAD_BYTES))
        if member.error or not has_image_magic(head):
            return
    if member.size > MAX_FILE_BYTES:
        member.error, member.message = "TooLarge", too_large(member.size)
        return
    data = head + _read(stream, member, member.size - len(head))
    if not member.error:
        member.data = data


def _small_json(member: Member) -> bool:
    return member.is_json and member.size <= MAX_SIDECAR_BYTES


def _read(stream: Stream, member: Member, n: int) -> bytes:
    """n bytes of a member's data; if the stream ends before, the member is marked."""
    data = stream.read(n)
    if len(data) < n:
        member.short, member.error = True, "TarDamaged"
        member.message = f"{stream.problem or 'the tar has been cut'}: {member.size:,} bytes were to come"
    return data


def _outcome(
    shard: str, row: int, member: Member, labels: Labels | None, repeated: bool
) -> ImageRecord | Reject | None:
    """What becomes of a member; None for one that is no image."""
    if member.kind == "damage":
        return Reject(f"{shard}@{member.start}", shard, row, "read", member.error, member.message)
    image_id = f"{shard}/{member.name}"
    if member.error:
        return Reject(image_id, shard, row, "read", member.error, member.message)
    if member.kind == "link" and member.is_image:
        return Reject(image_id, shard, row, "read", "LinkMember", "links in archives are not followed")
    if member.data is None or not (member.is_image or has_image_magic(member.data[:HEAD_BYTES])):
        return None
    if repeated:
        return Reject(image_id, shard, row, "read", "DuplicateId", "an earlier member of the tar has this name")
    return ImageRecord(image_id, shard, row, member.data, labels)
