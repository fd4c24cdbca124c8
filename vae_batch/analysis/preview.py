"""A contact sheet of a generated data set, made from the data set itself: pictures, and under each where it is from."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from vae_batch import storage
from vae_batch.errors import OutputError, SpecError
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.pictures import PictureReader
from vae_batch.latents.schema import rows_at_a_time

Row = dict[str, Any]

MOST_LINES = 8
"""Under the number of a picture."""
LEAST, MOST = 96, 256
"""Pixels a side of a picture on the sheet: small ones are magnified by a whole factor, large ones reduced."""

MARGIN, LINE, TEXT = 6, 13, 10
"""Pixels: between cells, of a line of a caption, of its letters."""

ROWS, COLUMNS, MOST_COLUMNS = 8, 8, 32
MOST_PIXELS = 100_000_000
"""Of a sheet."""

_NO_ORIGIN = ("id", "index", "image", "latent", "seed", "file", "sha256")


def preview(out: str, file: str | Path, rows: int | None = None, columns: int | None = None) -> int:
    """Draw the first images of a data set, finished or not, with their numbers and origin.

    Images that belong together (steps of one interpolation or dimension, a grid's row, strengths of one edit, draws
    around one image) have a row of their own.

    Args:
        out: a generated data set, a folder or a URI.
        file: the PNG.
        rows: of the sheet; None: 8, and all of a grid.
        columns: of the sheet; None: as many as belong together, else 8.

    Returns:
        Images on the sheet.

    Raises:
        OutputError: `out` is none, has no pictures yet, or one of them cannot be read.
        SpecError: the sheet would be too large.
    """
    layout = Layout.of(out)
    job = JobFile.load(layout)
    if job.kind != "generate":
        raise OutputError(f"{layout.out} is an encoded data set: it has posteriors, and no pictures to show")
    columns = columns or _run(job.fields)
    rows = rows or (columns if job.fields["sampler"] == "grid" else ROWS)
    if rows * columns * LEAST**2 > MOST_PIXELS:
        raise SpecError(f"a sheet of {rows * columns:,} images is too large: give fewer --rows or --columns")
    captions = [_caption(row) for row in islice(_rows(layout, pictures=False), rows * columns)]
    if not captions:
        raise OutputError(f"{layout.out} has no picture yet; see `vae-batch status {out}`")
    count = len(captions)
    sheet: _Sheet | None = None
    with PictureReader(layout) as pictures:
        for number, row in enumerate(islice(_rows(layout, pictures=True), count)):
            picture = _picture(pictures, row)
            sheet = sheet or _Sheet(picture.size, captions, columns)
            sheet.add(number, picture)
    assert sheet is not None
    sheet.image.save(file, "PNG")
    return count


def _rows(layout: Layout, pictures: bool) -> Iterator[Row]:
    """Iterate over the rows without their latents, in order, a bounded number in memory."""
    left_out = {"latent"} if pictures else {"latent", "image"}
    for unit in sorted(layout.parts()[0]):
        with storage.open_input(layout.part(unit)) as source, pq.ParquetFile(source) as part:
            names = [name for name in part.schema_arrow.names if name not in left_out]
            for batch in part.iter_batches(rows_at_a_time(part), columns=names, use_threads=False):
                yield from batch.to_pylist()


def _run(fields: Mapping[str, Any]) -> int:
    """How many consecutive images belong together: steps of one pair, draws around one image; else 8."""
    strengths = len(fields.get("strength", ()))
    run = 0 if "indices" in fields else fields.get("steps") or fields.get("draws") or strengths
    return run if 1 < run <= MOST_COLUMNS else COLUMNS


def _origin(row: Mapping[str, Any]) -> list[str]:
    return [name for name in row if name not in _NO_ORIGIN]


def _caption(row: Mapping[str, Any]) -> list[str]:
    """Give the lines under a picture: its id, and what is known of it, without the words `predicted_`."""
    known = {name.removeprefix("predicted_"): row[name] for name in _origin(row) if row[name] is not None}
    told = [f"{name} {_short(value)}" for name, value in known.items()]
    return [row["id"].lstrip("0") or "0", *told[:MOST_LINES]]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _picture(pictures: PictureReader, row: Row) -> Image.Image:
    try:
        with Image.open(io.BytesIO(pictures.of(row))) as image:
            return image.convert("RGB")
    except OSError as error:
        raise OutputError(f"the picture of {row['id']} cannot be read: {error}; see `vae-batch verify`") from None


class _Sheet:
    """A sheet in the making: cells of one size, row by row, on white."""

    def __init__(self, size: tuple[int, int], captions: Sequence[Sequence[str]], columns: int) -> None:
        self._captions, self._columns = captions, columns
        self._zoom = max(1, -(-LEAST // max(size))) if max(size) <= MOST else MOST / max(size)
        self._size = (round(size[0] * self._zoom), round(size[1] * self._zoom))
        lines = max(map(len, captions))
        self._step = (max(self._size[0], LEAST) + MARGIN, self._size[1] + lines * LINE + 2 * MARGIN)
        rows = -(-len(captions) // columns)
        width, height = columns * self._step[0] + MARGIN, rows * self._step[1] + MARGIN
        if width * height > MOST_PIXELS:
            raise SpecError(f"a sheet of {rows}×{columns} would have {width:,}×{height:,} pixels: give fewer --rows")
        self.image = Image.new("RGB", (width, height), "white")
        self._draw, self._font = ImageDraw.Draw(self.image), ImageFont.load_default(TEXT)

    def add(self, number: int, picture: Image.Image) -> None:
        """Put a picture and its caption into the cell of its number."""
        way = Image.Resampling.NEAREST if self._zoom >= 1 else Image.Resampling.LANCZOS
        left = MARGIN + number % self._columns * self._step[0]
        top = MARGIN + number // self._columns * self._step[1]
        self.image.paste(picture.resize(self._size, way), (left, top))
        for line, text in enumerate(self._captions[number]):
            at = (left, top + self._size[1] + 1 + line * LINE)
            self._draw.text(at, self._fitting(text), "black", self._font)

    def _fitting(self, text: str) -> str:
        """Cut a text that is wider than its cell: the beginning of its value, since paths differ at the end."""
        name, _, value = text.partition(" ")
        while value and self._draw.textlength(text, self._font) > self._step[0] - MARGIN:
            value = value[1:]
            text = f"{name} …{value}"
        return text
