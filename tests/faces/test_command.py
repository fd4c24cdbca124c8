"""`vae-batch draw-faces` as it is typed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vae_batch.cli import group


def draw(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["draw-faces", *arguments])


def test_the_last_line_counts_and_says_what_to_try_next(tmp_path: Path) -> None:
    out = str(tmp_path / "my faces")
    result = draw(out, "--count", "12", "--shard-size", "5", "--size", "40x50", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        r"12 faces in 3 tars, 0\.\d MB, \d+\.\d s \(\d+ faces/s\)\. "
        rf"Next: vae-batch train '{re.escape(out)}' --out MODEL",
        result.output.splitlines()[-1],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "Invalid value for '--count': 0 is not in the range x>=1."),
        ([], "Missing option '--count'."),
        (
            ["--count", "3", "--size", "abc"],
            "Invalid value for '--size': 'abc' is not WIDTHxHEIGHT in pixels, such as 178x218",
        ),
        (["--count", "3", "--seed", "-1"], "Invalid value for '--seed': -1 is not in the range x>=0."),
    ],
)
def test_bad_values_are_usage_errors(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = draw(str(tmp_path / "out"), *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_still_faces_share_their_background(tmp_path: Path) -> None:
    draw(str(tmp_path / "a"), "--count", "2", "--format", "folder", "--still", "--workers", "1")
    corners = [np.asarray(Image.open(path))[:20, :20] for path in sorted((tmp_path / "a").rglob("*.jpg"))]
    assert len(corners) == 2
    np.testing.assert_allclose(corners[0], corners[1].astype(int), atol=3)
