"""The colours of one face: smooth paths of one parameter for skin and hair, and what follows from them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

from vae_batch.faces.attributes import Attributes, Setting
from vae_batch.faces.canvas import Colour, mix

SKIN = ((255, 226, 200), (243, 196, 158), (216, 158, 116), (172, 116, 80), (126, 82, 58))
HAIR = ((24, 20, 24), (84, 50, 34), (170, 78, 34), (226, 178, 92), (222, 220, 222))
BLACK, INK, WHITE = (0, 0, 0), (30, 24, 30), (252, 250, 246)
BEARD = (32, 23, 24)
MOUTH, TONGUE = (92, 22, 32), (222, 104, 108)
FRAME, LENS = (24, 24, 46), (150, 192, 230)


@dataclass(frozen=True, slots=True)
class Palette:
    """What each brush of `features` is dipped in."""

    skin: Colour
    shade: Colour
    """Skin turned away from the light."""
    glow: Colour
    """Skin in the light."""
    blush: Colour
    lip: Colour
    hair: Colour
    hair_shade: Colour
    hair_glow: Colour
    beard: Colour
    """Near black with a hint of the hair: it stands out from every skin."""
    clothes: Colour
    iris: Colour


def along(stops: Sequence[Sequence[float]], t: float) -> Colour:
    """Colour at t in [0, 1] of the path through equally spaced stops."""
    at = min(int(t * (len(stops) - 1)), len(stops) - 2)
    return mix(stops[at], stops[at + 1], t * (len(stops) - 1) - at)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Colour from hue, saturation and value, each in [0, 1]; the hue wraps round."""
    r, g, b = (round(255 * c) for c in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))
    return r, g, b


def palette(face: Attributes, scene: Setting) -> Palette:
    """Choose the colours of one face."""
    skin, hair = along(SKIN, face.skin_tone), along(HAIR, face.hair_colour)
    return Palette(
        skin=skin,
        shade=mix(skin, (96, 30, 20), 0.24),
        glow=mix(skin, (255, 212, 160), 0.15),
        blush=mix(skin, (222, 70, 60), 0.3),
        lip=mix(skin, (176, 44, 58), 0.62),
        hair=hair,
        hair_shade=mix(hair, BLACK, 0.3),
        hair_glow=mix(hair, (255, 236, 214), 0.14),
        beard=mix(BEARD, hair, 0.1),
        clothes=hsv(scene.clothes_hue, 0.55, 0.35 + 0.4 * scene.clothes_value),
        iris=hsv(0.06 + 0.56 * scene.iris, 0.6, 0.5),
    )
