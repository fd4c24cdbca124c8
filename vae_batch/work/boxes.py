"""Before a job is begun: do boxes or landmarks belong to these images at all?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from vae_batch.errors import SpecError
from vae_batch.images import ImageError, Transform, overhang, upright_size
from vae_batch.sources import Reading
from vae_batch.types import ImageRecord, Reject, Tally, Unit

LOOKED_AT = 500
"""Images that are looked at, from the source's beginning."""

MAX_OUTSIDE = 0.05
"""Share of these whose labels may leave the image."""

TOLERANCE = 1.0
"""Pixels outside that do not count: some count from 0, some from 1."""


def check_places(reading: Reading, units: Iterable[Unit], transform: Transform) -> None:
    """Refuse a crop by labels that do not belong to the images; reads the first `LOOKED_AT` and decodes none.

    Args:
        reading, units: of the source.
        transform: of the job; nothing is looked at unless its crop is box or landmarks.

    Raises:
        SpecError: no image has the labels, or they leave the image for more than `MAX_OUTSIDE` of those that do.
        OSError: the source cannot be read now.
    """
    if not transform.columns:
        return
    looked, problem, outside = 0, "", []
    for record in islice(_images(reading, units), LOOKED_AT):
        try:
            size = upright_size(record.data)
            over = overhang(transform.crop, size, record.labels)
        except ImageError as error:  # a reject, later
            problem = problem or f"{record.id}: {error.message}"
            continue
        looked += 1
        if over > TOLERANCE:
            outside.append(f"{record.id} ({over:.0f} pixels outside its {size[0]}×{size[1]})")
    if problem and not looked:
        raise SpecError(f"crop {transform.crop}: none of the first images can be cut. {problem}. {_columns(transform)}")
    if len(outside) > MAX_OUTSIDE * looked:
        raise SpecError(_explain(transform, outside, looked))


def _images(reading: Reading, units: Iterable[Unit]) -> Iterator[ImageRecord]:
    for unit in units:
        records = reading.read(unit, Tally())
        yield from (record for record in records if not isinstance(record, Reject))


def _columns(transform: Transform) -> str:
    return f"It takes the label columns {', '.join(transform.columns)}, from --labels, a sidecar or the table itself"


def _explain(transform: Transform, outside: list[str], looked: int) -> str:
    what, file = {
        "box": ("boxes", "list_bbox_celeba.txt"),
        "landmarks": ("landmarks", "list_landmarks_celeba.txt"),
    }[transform.crop]
    return (
        f"crop {transform.crop}: the {what} leave the image for {len(outside)} of {looked} images looked at "
        f"({len(outside) / looked:.0%}; {MAX_OUTSIDE:.0%} are allowed), such as {', '.join(outside[:3])}. Most likely "
        f"they were made for other images: CelebA's {file} belongs to the in-the-wild images (img_celeba), not to the "
        "aligned ones of 178×218 (img_align_celeba). Give the images that the labels belong to, labels that belong to "
        "these images, or another --crop"
    )
