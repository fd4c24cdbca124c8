"""Beginning a job: of two drivers in a new OUT one writes the job file; the other works under it, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import image_bytes, spec
from vae_batch import storage
from vae_batch.errors import MismatchError
from vae_batch.latents.plan import open_plan
from vae_batch.work.job import open_job, prepare


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.jpg").write_bytes(image_bytes())
    return tmp_path / "source"


def test_two_drivers_begin_at_once(source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first, same, other = (prepare(spec(source, model, out, seed=seed)) for seed in (0, 0, 1))
    (source / "b.jpg").write_bytes(image_bytes(1))
    later = prepare(spec(source, model, out))
    file, _ = open_job(first)
    written = (out / ".vae_batch/job.json").read_bytes()
    assert open_job(same)[0] == file
    with pytest.raises(MismatchError, match=r"seed +0 +1"):
        open_job(other)
    with pytest.raises(MismatchError, match="source"):
        open_job(later)
    assert (out / ".vae_batch/job.json").read_bytes() == written
    assert open_plan(first.layout, file.plan)[0].pieces[0].files == ("a.jpg",)
    assert not list((out / ".vae_batch/tmp").iterdir())


def test_the_job_file_names_places_that_hold_anywhere(
    source: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone.txt").write_text("x.jpg\n")
    told = spec(Path("source"), model, Path("out"), exclude="gone.txt")
    file, _ = open_job(prepare(told))
    found = {key: file.spec[key] for key in ("source", "out", "exclude")}
    assert found == {"source": str(source), "out": str(tmp_path / "out"), "exclude": str(tmp_path / "gone.txt")}
    assert file.source == {"location": str(source), "root": str(source)}


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_takes_no_others_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def none(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", none)
    final, tmp = tmp_path / "x.json", tmp_path / "tmp"
    storage.write_json(final, 1, tmp, new=True)
    if links:
        with pytest.raises(FileExistsError):
            storage.write_json(final, 2, tmp, new=True)
    assert final.read_text() == "1\n" and not list(tmp.iterdir())
