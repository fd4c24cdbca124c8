"""For the tests of retries and extensions: a small collection that is damaged, repaired, and grows."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import vae_batch
from tests.conftest import image_bytes, spec

CUT = slice(0, 300)
RETRY: dict[str, Any] = {"retry_rejects": True}


def write_tar(path: Path, names: dict[str, bytes]) -> None:
    """A tar of these members."""
    with tarfile.open(path, "w") as tar:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def damaged(folder: Path) -> Path:
    """Ten loose images, of which two are bad; a tar of ten, of which one is bad; a good tar of two."""
    folder.mkdir()
    for i in range(10):
        (folder / f"img{i:02}.jpg").write_bytes(image_bytes(i))
    (folder / "img03.jpg").write_bytes(image_bytes(3)[CUT])
    (folder / "img08.jpg").write_bytes(b"")
    members = {f"{i:02}.jpg": image_bytes(20 + i) for i in range(10)}
    write_tar(folder / "m.tar", {**members, "04.jpg": image_bytes(24)[CUT]})
    write_tar(folder / "n.tar", {f"{i}.jpg": image_bytes(40 + i) for i in range(2)})
    return folder


def repair(folder: Path) -> None:
    """Mend one loose image and the tar; the empty image stays as it is."""
    (folder / "img03.jpg").write_bytes(image_bytes(3))
    write_tar(folder / "m.tar", {f"{i:02}.jpg": image_bytes(20 + i, size=(200, 150)) for i in range(10)})


def grow(folder: Path) -> None:
    """Add loose files and a tar whose names come before, between and behind the old ones."""
    for name, seed in (("aaa.jpg", 50), ("img04b.jpg", 51), ("zzz.jpg", 52)):
        (folder / name).write_bytes(image_bytes(seed))
    (folder / "sub").mkdir()
    (folder / "sub" / "new.jpg").write_bytes(image_bytes(53))
    write_tar(folder / "b.tar", {f"{i}.jpg": image_bytes(60 + i) for i in range(5)})


def run(source: Path, model: Path, out: Path | str, report: Any = None, **more: Any) -> vae_batch.Summary:
    """Encode in units of four, however many rejects there are."""
    wanted = spec(source, model, out, **{"unit_size": 4, "max_reject_rate": 1, "replicas": 1, **more})
    return vae_batch.encode(wanted, report)


def copied(out: Path, to: Path) -> Path:
    """A copy of an OUT, to be spoilt."""
    return Path(shutil.copytree(out, to))


def contents(out: Path) -> dict[str, bytes]:
    """Every file of OUT, byte for byte, less the progress and what the summary says of the last run."""
    files = [f for f in out.rglob("*") if f.is_file() and f.name != "progress.json" and f.parent.name != "tmp"]
    found = {str(f.relative_to(out)): f.read_bytes() for f in files}
    if ".vae_batch/summary.json" in found:
        summary = json.loads(found[".vae_batch/summary.json"])
        found[".vae_batch/summary.json"] = json.dumps({**summary, "out": "", "run": {}}).encode()
    return found


def rows(out: Path) -> list[dict[str, object]]:
    """All rows, by id."""
    return sorted(pq.read_table(out / "data").to_pylist(), key=lambda row: str(row["id"]))


def assert_finished(out: Path) -> None:
    """Nothing is wrong and nothing is left to do."""
    verdict = vae_batch.verify(out)
    assert verdict.ok, verdict.findings
    assert vae_batch.status(out).state == "finished"
    assert not (out / ".vae_batch" / "retry.json").exists()
