"""What `generate` is told."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from vae_batch.specs.sampling import SamplingSpec

Codec = Literal["png", "jpeg", "webp"]
PictureFormat = Literal["parquet", "webdataset", "folder"]
_RUNS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


class GenerateSpec(SamplingSpec):
    """What `generate` is told."""

    kind: Literal["generate"] = "generate"
    count: int | None = Field(default=None, ge=1)
    """Images; a larger count into the same OUT keeps what is there and adds units. None: all that `latents` gives."""
    indices: str | None = None
    """`17,4093,100-199`: only the images of these numbers, the same as among all; instead of `count`."""
    image_size: int | None = Field(default=None, ge=8, le=4096)
    """Pixels a side; None: the model's own."""
    format: PictureFormat = "parquet"
    """Where pictures go. parquet: into the parts; webdataset: a tar for each unit, with a JSON for each picture;
    folder: subfolders of at most 1,000 with a metadata.csv. The parts of the last two name each picture and its
    sha256."""
    codec: Codec = "png"
    """Of the pictures: png keeps every bit."""
    quality: int | None = Field(default=None, ge=1, le=100)
    """Of jpeg and webp; None: 95."""
    label_with: str | None = None
    """An encoded, labelled data set of the same model: linear probes fitted to it predict its labels for each image,
    in columns `predicted_...`."""
    attributes: str | None = None
    """`smile,glasses`: only these labels of `label_with`; None: all that are numbers or have two values."""

    @field_validator("indices")
    @classmethod
    def _runs(cls, value: str | None) -> str | None:
        if value is not None and not _RUNS.fullmatch(value.replace(" ", "")):
            raise ValueError("give numbers and ranges from 0, such as 17,4093,100-199")
        return value

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        amounts = [self.count, self.indices].count(None)
        if amounts == 0 or (amounts == 2 and self.endless):
            raise ValueError("give count or indices, one of the two: how many images, or which")
        if self.quality is not None and self.codec == "png":
            raise ValueError("png has no quality, it keeps every bit; --codec jpeg and webp have")
        if self.attributes is not None and (self.label_with is None or not self.attribute_names()):
            raise ValueError("attributes names labels of label_with, such as smile,glasses: it goes with label_with")
        return self

    def attribute_names(self) -> list[str]:
        """Give the labels that `attributes` names."""
        return list(dict.fromkeys(filter(None, map(str.strip, (self.attributes or "").split(",")))))

    def runs(self) -> list[range]:
        """Give the numbers of the images, in order, as runs that neither touch nor overlap."""
        if self.indices is None:
            return [range(self.count or 0)]
        found = sorted(_run(text) for text in self.indices.replace(" ", "").split(","))
        merged = [found[0]]
        for start, stop in found[1:]:
            if start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(stop, merged[-1][1])
            else:
                merged.append((start, stop))
        return [range(*run) for run in merged]


def _run(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first) + 1
