"""Valid images of many formats, and collections of every form, for the damage to start from."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.conftest import image_bytes, picture

Members = list[tuple[str, bytes]]

FORMATS = {
    "jpg": ("JPEG", "RGB", {}),
    "progressive.jpg": ("JPEG", "RGB", {"progressive": True}),
    "cmyk.jpg": ("JPEG", "CMYK", {}),
    "grey.jpg": ("JPEG", "L", {}),
    "png": ("PNG", "RGBA", {}),
    "palette.png": ("PNG", "P", {}),
    "sixteen.png": ("PNG", "I;16", {}),
    "gif": ("GIF", "P", {}),
    "webp": ("WEBP", "RGB", {}),
    "lzw.tif": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "float.tif": ("TIFF", "F", {}),
    "bmp": ("BMP", "RGB", {}),
    "ppm": ("PPM", "RGB", {}),
    "tga": ("TGA", "RGB", {"compression": "tga_rle"}),
    "ico": ("ICO", "RGBA", {}),
    "jp2": ("JPEG2000", "RGB", {}),
    "avif": ("AVIF", "RGB", {}),
    "dds": ("DDS", "RGB", {}),
    "sgi": ("SGI", "RGB", {}),
    "pcx": ("PCX", "RGB", {}),
    "qoi": ("QOI", "RGB", {}),
}


def images() -> dict[str, bytes]:
    """A small picture in every format that this Pillow writes."""
    Image.init()
    found = {}
    for i, (name, (kind, mode, options)) in enumerate(FORMATS.items()):
        if kind in Image.SAVE:
            sink = io.BytesIO()
            picture(i).convert("L").convert(mode).save(sink, kind, **options) if mode in ("I;16", "F") else picture(
                i, mode=mode
            ).save(sink, kind, **options)
            found[name] = sink.getvalue()
    return found


def members(count: int = 8) -> Members:
    """Images and sidecars, as they lie in an archive."""
    found: Members = []
    for i in range(count):
        found.append((f"faces/{i:04}.jpg", image_bytes(i)))
        found.append((f"faces/{i:04}.json", json.dumps({"smile": i / count, "name": f"n{i}"}).encode()))
    return [*found, ("notes.txt", b"no image")]


def tar(items: Iterable[tuple[str, bytes]], mode: str = "w", kind: int = tarfile.GNU_FORMAT) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode, format=kind) as archive:  # type: ignore[call-overload]
        for name, data in items:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def pax(items: Members) -> bytes:
    return tar([("ä" * 90 + name, data) for name, data in items], kind=tarfile.PAX_FORMAT)


def zipped(items: Members) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for i, (name, data) in enumerate(items):
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED)
    return sink.getvalue()


def _table(items: Members) -> pa.Table:
    pictures = [(name, data) for name, data in items if name.endswith(".jpg")]
    names, data = zip(*pictures, strict=True)
    return pa.table({"image": pa.array(data, pa.binary()), "name": names, "smile": [0.5] * len(names)})


def parquet(items: Members) -> bytes:
    sink = io.BytesIO()
    pq.write_table(_table(items), sink, row_group_size=3)
    return sink.getvalue()


def arrow(items: Members) -> bytes:
    sink = io.BytesIO()
    table = _table(items)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return sink.getvalue()


SHARDS: dict[str, Callable[[Members], bytes]] = {
    "a.tar": tar,
    "pax.tar": pax,
    "a.tar.gz": lambda items: tar(items, "w:gz"),
    "a.zip": zipped,
    "a.parquet": parquet,
    "a.arrow": arrow,
}


def listing(folder: Path, items: Members) -> bytes:
    """Write the members as files, and give the CSV that names them."""
    rows = ["path,smile"]
    for name, data in items:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        if name.endswith(".jpg"):
            rows.append(f"{name},0.5")
    return ("\n".join(rows) + "\n").encode()
