"""Members of a tar that belong together: the WebDataset convention, an image with its sidecar.

Adjacent members with the same key (the path up to the first dot of the base name) are a group. The plan and the
reader share this code, and it looks at names and sizes only, so both agree on what is a sidecar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vae_batch.sources.member import Member

GROUP_MEMBERS = 64
"""A group is handed on when it has so many members (32 images with their sidecars) and the next has another stem."""
GROUP_BYTES = 64 << 20
"""A group is handed on, before its next file that is no JSON, when it has so many bytes."""


def groups(members: Iterable[Member], load: Callable[[Member], None]) -> Iterator[tuple[str, list[Member]]]:
    """Gather members into groups, each with its key.

    Args:
        members: the walk over a tar.
        load: called with each member while the walk rests at it; may read its data.
    """
    group: list[Member] = []
    key, size = "", 0
    for member in members:
        if group and (member.key != key or _full(group, size, member)):
            yield key, group
            group, size = [], 0
        load(member)
        key = member.key
        size += member.size
        group.append(member)
    if group:
        yield key, group


def _full(group: list[Member], size: int, member: Member) -> bool:
    """Whether a group of the same key must be handed on before this member."""
    if group[-1].kind == "damage" or member.kind == "damage":
        return True
    if size >= GROUP_BYTES and not member.is_json:
        return True
    if len(group) < GROUP_MEMBERS:
        return False
    return len(group) >= 8 * GROUP_MEMBERS or member.stem not in (member.key, group[-1].stem)


def pair(key: str, group: list[Member]) -> tuple[list[tuple[Member, Member | None]], list[Member]]:
    """Tell a group's files from its sidecars.

    Returns:
        The files in order, each with its sidecar: the JSON named as the image with its extension replaced, else
        `<key>.json`; and the sidecars, those that a repeated name makes superfluous included.
    """
    jsons = {m.stem: m for m in reversed(group) if m.is_json and m.kind == "file" and not m.error}
    stems = {m.stem for m in group if m.is_image} if jsons else set()
    if not stems:
        return [(member, None) for member in group], []
    stems.add(key)
    files: list[tuple[Member, Member | None]] = []
    sidecars: list[Member] = []
    for member in group:
        if member.is_json and member.stem in stems and member.kind == "file" and not member.error:
            sidecars.append(member)
        else:
            files.append((member, jsons.get(member.stem) or jsons.get(key) if member.is_image else None))
    return files, sidecars


def alone(group: list[Member]) -> int:
    """JSON files of a group without an image: sidecars whose images stand elsewhere in the tar, it may be."""
    jsons = sum(member.is_json and member.kind == "file" for member in group)
    return jsons if jsons and not any(member.is_image for member in group) else 0
