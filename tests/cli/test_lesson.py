"""The lesson in small: four trainings, the collapse by its name, the tables, the pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vae_batch.cli import lesson, lesson_pictures, lesson_runs
from vae_batch.errors import InterruptedJobError, OutputError


def test_the_lesson_shows_what_it_says(ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = lesson_runs.runs
    monkeypatch.setattr(lesson_runs, "runs", lambda folder: [replace(r, image_size=16, epochs=4) for r in real(folder)])
    monkeypatch.setattr(lesson, "FACES", 240)
    monkeypatch.setattr(lesson, "SHARD_SIZE", 40)
    out = tmp_path / "lesson"
    done = CliRunner().invoke(lesson.command, ["--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "Posterior collapse: the rate is 0.0" in done.output
    assert done.output.count("as only the KL term was trained") == 1
    lines = {title: line.split() for line in done.stdout.splitlines() for title in TITLES if f"   {title}" in line}
    kl = {title: float(lines[title][-5]) for title in TITLES}
    assert kl[TITLES[1]] < 0.1 < kl[TITLES[2]]
    for name in lesson_pictures.ATTRIBUTES:
        assert f"   {name} " in done.stdout
    for name in ("planes", "six_faces", "six_traversals", "six_correlations"):
        assert np.asarray(Image.open(out / f"{name}.png").convert("RGB")).std() > 10
        assert f"{out}/{name}.png" in done.stdout
    with pytest.raises(OutputError, match="is not empty: give another --out, or delete it"):
        CliRunner().invoke(lesson.command, ["--out", str(out)], catch_exceptions=False)


def test_an_interrupted_lesson_is_not_said_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise InterruptedJobError("SIGTERM: stopped after step 5 of 9; the same command goes on from step 6")

    monkeypatch.setattr(lesson, "FACES", 4)
    monkeypatch.setattr(lesson, "_train_and_encode", interrupted)
    with pytest.raises(InterruptedJobError, match=r"^the lesson was interrupted, and begins anew: delete .*/lesson"):
        CliRunner().invoke(lesson.command, ["--out", str(tmp_path / "lesson")], catch_exceptions=False)


TITLES = ["only the reconstruction term", "only the KL term", "both terms, the ELBO"]


def test_faces_that_differ_are_chosen() -> None:
    known = np.array([[0.0, 0], [0.1, 0], [1, 1], [0, 0.9], [0.9, 1]])
    assert lesson_pictures.unlike(known, 3) == [0, 2, 3]
