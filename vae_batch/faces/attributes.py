"""What a drawn face is made from: six attributes to be recovered, and a setting that must not matter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import lru_cache

_STREAM = "vae_batch.faces/1"  # raised when a face of the same seed and index would come out otherwise


@dataclass(frozen=True, slots=True)
class Attributes:
    """The six things a face is labelled with: independent, uniform on [0, 1]; `glasses` is 0 or 1."""

    smile: float
    """0 a small frown, 1 a wide open grin that shows the teeth."""
    skin_tone: float
    """0 the lightest skin, 1 the deepest."""
    glasses: float
    """1 with glasses, 0 without; as likely as not."""
    beard: float
    """0 shaven, 1 a full beard with moustache; the bearded area grows evenly in between."""
    hair_colour: float
    """0 black, then brown, red and blond to 1, white."""
    hair_length: float
    """0 a short crop, 1 hair far down over the shoulders."""


@dataclass(frozen=True, slots=True)
class Setting:
    """All else that varies from face to face; each value uniform on [0, 1], independent of the attributes."""

    x: float
    y: float
    scale: float
    background_hue: float
    background_shift: float
    background_value: float
    background_turn: float
    light: float
    light_turn: float
    clothes_hue: float
    clothes_value: float
    iris: float


STILL = Setting(0.5, 0.5, 0.5, 0.6, 0.5, 0.5, 0.5, 1.0, 0.5, 0.6, 0.5, 0.5)
"""A setting that all faces can share, so that six attributes are all that tells one picture from another."""


@lru_cache(maxsize=8)
def _uniforms(seed: int, index: int) -> tuple[float, ...]:
    """Independent uniforms on [0, 1), to six decimals, from a hash: the same on any machine, in any order."""
    count = len(fields(Attributes)) + len(fields(Setting))
    digest = hashlib.shake_128(f"{_STREAM}:{seed}:{index}".encode()).digest(4 * count)
    words = (int.from_bytes(digest[at : at + 4], "little") for at in range(0, 4 * count, 4))
    return tuple(word * 1_000_000 // 2**32 / 1_000_000 for word in words)


def attributes(seed: int, index: int) -> Attributes:
    """Give the attributes of one face of a data set: a pure function of its arguments."""
    smile, skin_tone, glasses, beard, hair_colour, hair_length = _uniforms(seed, index)[:6]
    return Attributes(smile, skin_tone, float(glasses >= 0.5), beard, hair_colour, hair_length)


def setting(seed: int, index: int) -> Setting:
    """Give position, scale, background, light and clothes of one face: a pure function of its arguments."""
    return Setting(*_uniforms(seed, index)[6:])
