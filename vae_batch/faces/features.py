"""The features of a face, one short function each, in the order in which they are painted.

The unit is a 178th of the picture's shorter side and the origin the middle of the head, y downwards. The head
reaches from -50 to 50, and the square in the middle of a picture from -78 to 100.
"""

from __future__ import annotations

import math

from vae_batch.faces.attributes import Attributes
from vae_batch.faces.canvas import Canvas, Point, mirrored, mix
from vae_batch.faces.palette import BLACK, FRAME, INK, LENS, MOUTH, TONGUE, WHITE, Palette


def paint(canvas: Canvas, face: Attributes, tones: Palette, lean: float) -> None:
    """Paint shoulders, hair and face from back to front; `lean` in [-1, 1] is the side of the light."""
    _hair_behind(canvas, face, tones)
    _shoulders(canvas, tones)
    _sides(canvas, face, tones)
    _head(canvas, tones, lean)
    _cheeks(canvas, face, tones)
    _beard(canvas, face, tones)
    _mouth(canvas, face, tones)
    _nose(canvas, tones)
    if face.glasses:
        _glasses(canvas, tones)
    _eyes(canvas, face, tones)
    _fringe(canvas, face, tones)
    _brows(canvas, face, tones)


def _hair_behind(canvas: Canvas, face: Attributes, tones: Palette) -> None:
    """What of the hair shows behind the neck."""
    long = _reach(face)
    bottom, half = -10 + 86 * long, 30 + 14 * long
    outline = [(0, -40), (half * 0.9, -30), (half, bottom - 40 * long)]
    outline += [(half * 0.7, bottom - 12 * long), (0, bottom)]
    canvas.shape(mirrored(outline), mix(tones.hair_shade, BLACK, 0.3))


def _shoulders(canvas: Canvas, tones: Palette) -> None:
    outline: list[Point] = [(0, 70), (20, 66), (48, 76), (74, 88), (92, 116), (98, 200), (60, 320), (0, 330)]
    canvas.shape(mirrored(outline), tones.clothes)
    canvas.shape(mirrored([(0, 96), (14, 86), (22, 66), (0, 60)]), mix(tones.clothes, BLACK, 0.25))
    canvas.shape(mirrored([(0, 20), (15, 30), (15, 56), (19, 68), (11, 82), (0, 90)]), tones.skin)
    canvas.shape(mirrored([(0, 40), (15, 36), (15, 52), (0, 62)]), tones.shade)


def _sides(canvas: Canvas, face: Attributes, tones: Palette) -> None:
    """The ears, and the hair that grows down over them and on over the shoulders."""
    canvas.pair((40, 2), (7, 10), tones.skin)
    canvas.pair((40, 3), (4, 6), tones.shade)
    long = _reach(face)
    top, bottom, outer = _top(face), -16 + 116 * long, 42 + 19 * long
    fall = bottom + 30
    lock = [(0.0, top + 8), (28, top + 6), (41 + 6 * long, top + 27), (outer, -30 + 0.4 * fall)]
    lock += [(outer + 2 * long, -30 + 0.8 * fall), (outer - 12 * long - 3, bottom)]
    lock += [(34 - 4 * long, bottom - 8 * long - 1), (30, bottom - 50 * long - 6), (20, -30)]
    strand = [(outer - 7, -20.0), (outer - 6, -30 + 0.6 * fall), (outer - 11 * long - 5, bottom - 6 * long)]
    strand += [(outer - 8 * long - 5, -30 + 0.6 * fall)]
    for side in (-1, 1):
        canvas.shape([(side * x, y) for x, y in lock], tones.hair)
        canvas.shape([(side * x, y) for x, y in strand], tones.hair_shade)


def _head(canvas: Canvas, tones: Palette, lean: float) -> None:
    """The face, from its shaded rim to the side in the light."""
    outline = mirrored([(0, -50), (26, -44), (39, -22), (40, 4), (34, 28), (18, 46), (0, 51)])
    shades = (mix(tones.skin, tones.shade, 0.6), tones.skin, tones.glow)
    for share, tone in zip((1.0, 0.92, 0.68), shades, strict=True):
        middle = (lean * 14 * (1 - share), -8 * (1 - share))
        canvas.shape([(x * share + middle[0], y * share + middle[1]) for x, y in outline], tone)


def _cheeks(canvas: Canvas, face: Attributes, tones: Palette) -> None:
    for size, strength in ((1.0, 0.2), (0.75, 0.36), (0.5, 0.5)):
        tone = mix(mix(tones.skin, tones.glow, 0.5), tones.blush, strength * (0.6 + 0.4 * face.smile))
        canvas.pair((25, 14 - 2 * face.smile), (11 * size, 8 * size), tone)


def _beard(canvas: Canvas, face: Attributes, tones: Palette) -> None:
    """Grows from the chin along the jaw, up to ears and nose, and downwards a little."""
    if face.beard < 0.02:
        return
    lip, ear, length = 47 - 31 * face.beard, 44 - 48 * face.beard, 1 + 15 * face.beard
    edge = _jaw(ear)
    outline = [(0.0, lip), (0.4 * edge, lip + 1), (0.78 * edge, ear + 0.62 * (lip - ear)), (edge, ear)]
    for share in (0.35, 0.65, 0.88):
        y = ear + (51 - ear) * share
        outline.append((_jaw(y) + 1, y + length * share**3))
    canvas.shape(mirrored([*outline, (0, 51 + length)]), tones.beard)


def _jaw(y: float) -> float:
    """Half the width of the face at height y."""
    return 40.5 * math.sqrt(1 - (y / 52) ** 2)


def _mouth(canvas: Canvas, face: Attributes, tones: Palette) -> None:
    """Corners rise, the mouth widens and opens, and the teeth show."""
    s = face.smile
    half, corner, upper, lower = 13 + 13 * s, 33 - 14 * s, 28 - 3 * s, 31 + 14 * s
    above, below = upper + 0.35 * (corner - upper), lower + 0.28 * (corner - lower)

    def opening(lip: float) -> list[Point]:
        right = [(0, upper - lip), (half * 0.5, above - lip), (half + lip, corner)]
        return mirrored([*right, (half * 0.6, below + lip), (0, lower + lip)])

    canvas.shape(opening(2.6), tones.lip)
    canvas.shape(opening(0.0), MOUTH)
    canvas.ellipse((0, lower - 2.5 * s), (half * 0.45, 4.5 * s), TONGUE)
    if s < 0.15:
        return
    teeth = [(0, upper + 0.3), (half * 0.5, above), (half * 0.9, corner + 0.6), (half * 0.5, upper + 8 * s)]
    canvas.shape(mirrored([*teeth, (0, upper + 11 * s)]), WHITE)


def _nose(canvas: Canvas, tones: Palette) -> None:
    canvas.ellipse((0, 13), (7, 4.5), tones.shade)
    canvas.ellipse((0, 10.5), (6, 5), tones.glow)


def _glasses(canvas: Canvas, tones: Palette) -> None:
    """Thick dark frames and tinted lenses; the eyes are painted on them."""
    canvas.shape(mirrored([(0, -10), (12, -12), (12, -7), (0, -5)]), FRAME)
    canvas.pair((36, -8), (6, 2.2), FRAME)
    canvas.pair((19, -5), (18.5, 16), FRAME)
    canvas.pair((19, -5), (14.5, 12), mix(tones.skin, LENS, 0.75))


def _eyes(canvas: Canvas, face: Attributes, tones: Palette) -> None:
    """Lashes, white, iris, pupil and a glint; a smile narrows them."""
    opening = 7 - 1.6 * face.smile
    canvas.pair((18, -6.5), (9.5, opening + 1.2), INK)
    canvas.pair((18, -5), (9, opening), WHITE)
    canvas.pair((18, -5), (5.4, min(5.4, opening)), tones.iris)
    canvas.pair((18, -5), (3, 3), INK)
    for x in (-16.5, 19.5):
        canvas.ellipse((x, -7), (1.5, 1.5), WHITE)


def _fringe(canvas: Canvas, face: Attributes, tones: Palette) -> None:
    """The hair above the forehead, parted on one side."""
    top, wide = _top(face), 41 + 6 * _reach(face)
    left = [(-wide, -8.0), (-wide, top + 27), (-28, top + 6), (0, top)]
    right = [(28, top + 6), (wide, top + 27), (wide, -8), (38, -18), (30, -31)]
    canvas.shape([*left, *right, (6, -34), (-12, -42), (-26, -32), (-38, -18)], tones.hair)
    shine = [(-10, -44), (6, top + 9), (24, top + 12), (33, -34), (22, top + 18), (6, top + 16)]
    canvas.shape(shine, tones.hair_glow)


def _reach(face: Attributes) -> float:
    """How far the hair reaches; faster at first, where it is hidden behind the head."""
    return face.hair_length * (1.4 - 0.4 * face.hair_length)


def _top(face: Attributes) -> float:
    """Height of the crown of the hair; longer hair has more body."""
    return -61 - 8 * _reach(face)


def _brows(canvas: Canvas, face: Attributes, tones: Palette) -> None:
    up = 3 * face.smile
    tone = mix(tones.hair_shade, INK, 0.35)
    brow = [(8, -22 - up), (18, -27 - up), (29, -22.5 - up * 0.5), (18, -23 - up)]
    for side in (-1, 1):
        canvas.shape([(side * x, y) for x, y in brow], tone)
