"""A data set of faces on disk: names, sidecars, equal bytes from any number of workers, nothing left by a stop."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from vae_batch.errors import OutputError, SpecError
from vae_batch.faces import DrawnFaces, attributes, draw_face, write_faces

SIZE = (48, 60)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DrawnFaces]:
    out = tmp_path_factory.mktemp("tars")
    return out, write_faces(out, 25, shard_size=10, size=SIZE, seed=4, workers=1)


def test_tars_hold_each_picture_next_to_its_attributes(tars: tuple[Path, DrawnFaces]) -> None:
    out, drawn = tars
    assert sorted(path.name for path in out.iterdir()) == [f"faces-{n:06d}.tar" for n in range(3)]
    assert (drawn.faces, drawn.shards) == (25, 3)
    assert drawn.bytes == sum(path.stat().st_size for path in out.iterdir())
    names = []
    for path in sorted(out.iterdir()):
        with tarfile.open(path) as archive:
            for header in archive:
                names.append(header.name)
                assert (header.mtime, header.uid, header.gid, header.uname) == (0, 0, 0, "")
    assert names == [f"{index:09d}.{kind}" for index in range(25) for kind in ("jpg", "json")]


def test_sidecars_and_pictures_are_those_of_the_library(tars: tuple[Path, DrawnFaces]) -> None:
    with tarfile.open(tars[0] / "faces-000001.tar") as archive:
        files = {header.name: archive.extractfile(header).read() for header in archive}  # type: ignore[union-attr]
    assert json.loads(files["000000012.json"]) == asdict(attributes(4, 12))
    picture = simplejpeg.decode_jpeg(files["000000012.jpg"]).astype(float)
    assert np.abs(picture - draw_face(4, 12, SIZE)).mean() < 3


def test_workers_do_not_change_a_byte(tars: tuple[Path, DrawnFaces], tmp_path: Path) -> None:
    write_faces(tmp_path / "three", 25, shard_size=10, size=SIZE, seed=4, workers=3)
    assert digests(tmp_path / "three") == digests(tars[0])


def test_folders_hold_the_same_files(tars: tuple[Path, DrawnFaces], tmp_path: Path) -> None:
    drawn = write_faces(tmp_path, 25, format="folder", shard_size=10, size=SIZE, seed=4, workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000", "001", "002"]
    assert drawn.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.j*"))
    with tarfile.open(tars[0] / "faces-000001.tar") as archive:
        for header in archive:
            member = archive.extractfile(header)
            assert member is not None
            assert (tmp_path / "001" / header.name).read_bytes() == member.read()


def test_progress_counts_up_to_the_end(tmp_path: Path) -> None:
    heard: list[int] = []
    write_faces(tmp_path, 30, shard_size=10, size=SIZE, workers=2, on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count is 0: it must be at least 1"),
        ({"count": 5, "shard_size": 0}, "shard_size is 0: it must be at least 1"),
        ({"count": 5, "workers": 0}, "workers is 0: it must be at least 1"),
        ({"count": 5, "format": "zip"}, "format is 'zip': it must be one of tar, folder"),
        (
            {"count": 5, "size": (31, 40)},
            "size is 31x40: each side must be from 32 to 2048, neither more than twice the other",
        ),
    ],
)
def test_values_out_of_range_are_named(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        write_faces(tmp_path / "out", **options)  # type: ignore[arg-type]
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"is not empty \(it holds thesis\.tex\): name a new folder"):
        write_faces(tmp_path, 5)
    assert digests(tmp_path).keys() == {"thesis.tex"}


def test_a_file_is_no_folder_to_draw_into(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot use .*file as the output folder"):
        write_faces(tmp_path / "file", 5)


def start_drawing(out: Path) -> subprocess.Popen[str]:
    """Draw more than there is time for in a process group of its own; returns once faces are being written."""
    start = [sys.executable, "-c", "from vae_batch.cli import main; main()"]
    arguments = ["draw-faces", str(out), "--count", "1000000", "--workers", "2"]
    process = subprocess.Popen(
        [*start, *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_mind_ctrl_c
    )
    until = time.monotonic() + 30
    while not [path for path in out.parent.glob(f".{out.name}.unfinished/*.tar") if path.stat().st_size]:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    return process


def _mind_ctrl_c() -> None:
    """As in a terminal: a shell's background jobs, which tests may be, are told not to mind it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def group_is_gone(group: int, within: float = 10.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_ctrl_c_leaves_an_empty_folder_and_no_process(tmp_path: Path) -> None:
    process = start_drawing(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75
    assert errors.splitlines()[-1].startswith(f"vae-batch: stopped; {tmp_path} is left empty")
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    assert group_is_gone(process.pid)


def test_a_killed_run_leaves_an_empty_folder_no_process_and_can_be_run_again(tmp_path: Path) -> None:
    out = tmp_path / "faces"
    process = start_drawing(out)
    process.kill()
    process.communicate(timeout=30)
    assert list(out.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path != out] == [".faces.unfinished"]
    assert group_is_gone(process.pid)
    write_faces(out, 5, size=SIZE, workers=1)
    assert [path.name for path in out.iterdir()] == ["faces-000000.tar"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_worker_loads_neither_torch_nor_ray() -> None:
    code = "import sys, vae_batch.faces.workers; print(sorted({'torch', 'ray', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
