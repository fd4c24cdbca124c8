"""Members of a tar that belong together: the WebDataset convention, an image with its sidecar.

Adjacent members with the same key (the path up to the first dot of the base name) are a group. The plan and the
reader share this code, and it looks at names and sizes only, so both agree on what is a sidecar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vae_batch.sources.names import is_json, key_of, stem_of
from vae_batch.sources.sniff import has_image_extension
from vae_batch.sources.tar import Member

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
        of_key = key_of(member.name)
        if group and (of_key != key or _full(group, size, member, key)):
            yield key, group
            group, size = [], 0
        load(member)
        key = of_key
        size += member.size
        group.append(member)
    if group:
        yield key, group


def _full(group: list[Member], size: int, member: Member, key: str) -> bool:
    """Whether a group of the same key must be handed on before this member."""
    if group[-1].kind == "damage" or member.kind == "damage":
        return True
    if size >= GROUP_BYTES and not is_json(member.name):
        return True
    if len(group) < GROUP_MEMBERS:
        return False
    stem = stem_of(member.name)
    return len(group) >= 8 * GROUP_MEMBERS or (stem != key and stem != stem_of(group[-1].name))


def pair(key: str, group: list[Member]) -> tuple[list[tuple[Member, Member | None]], list[Member]]:
    """Tell a group's files from its sidecars.

    Returns:
        The files in order, each with its sidecar: the JSON named as the image with its extension replaced, else
        `<key>.json`; and the sidecars, those that a repeated name makes superfluous included.
    """
    jsons: dict[str, Member] = {}
    for member in group:
        if member.kind == "file" and not member.error and is_json(member.name):
            jsons.setdefault(stem_of(member.name), member)
    images = {id(m) for m in group if has_image_extension(m.name)} if jsons else set()
    if not images:
        return [(member, None) for member in group], []
    used = {stem_of(m.name) for m in group if id(m) in images} | {key}
    files: list[tuple[Member, Member | None]] = []
    sidecars: list[Member] = []
    for member in group:
        stem = stem_of(member.name)
        if is_json(member.name) and stem in used and member.kind == "file" and not member.error:
            sidecars.append(member)
        else:
            own = jsons.get(stem) or jsons.get(key) if id(member) in images else None
            files.append((member, own))
    return files, sidecars
