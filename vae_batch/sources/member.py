"""What a walk over a tar finds: members, and stretches of damage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vae_batch.sources.names import is_json
from vae_batch.sources.sniff import has_image_extension

Kind = Literal["file", "link", "special", "folder", "damage"]


@dataclass(slots=True)
class Member:
    """A member of an archive, or a stretch of damage in it (`kind` "damage", without a name)."""

    name: str
    """The member's path as text, without "./" or "/" in front."""
    size: int
    """Bytes of data."""
    kind: Kind
    start: int
    """Offset of its first header, extended ones included."""
    error: str = ""
    """Class name of what makes it a reject, where something does; its data is then not to be read."""
    message: str = ""
    key: str = ""
    """Its WebDataset key; this and the next three come from the name."""
    stem: str = ""
    is_image: bool = False
    is_json: bool = False
    data: bytes | None = None
    """Filled in by the reader for what may be handed on."""
    short: bool = False
    """The stream ended inside its data; set by the walk, or by whoever reads the data."""


def named(name: str, size: int, kind: Kind, start: int) -> Member:
    """A member of the archive, with what its name tells."""
    member = Member(name, size, kind, start, key=name, stem=name)
    dot = name.find(".", name.rfind("/") + 2)  # a leading dot begins no extension
    if dot >= 0:
        member.key, member.stem = name[:dot], name[: name.rfind(".")]
        member.is_image, member.is_json = has_image_extension(name), is_json(name)
    return member


def damage(start: int, message: str) -> Member:
    """A stretch of an archive that is a reject of its own."""
    return Member("", 0, "damage", start, "TarDamaged", message)
