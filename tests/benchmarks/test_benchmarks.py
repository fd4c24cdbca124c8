"""The benchmarks of training and of edits run to their end, on little; those of encoding use nothing that others do
not test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

CASES = {
    "train --images 64 --steps 2 --turns 1": "medians: vae-batch to by hand",
    "faces --folder {folder} --count 96 --held-out 40 --epochs 1 --latent-dim 8": "hair_length",
    "synthetic --folder {folder} --train 96 --epochs 1 --count 60 --components 2": "the best mixture beats the prior",
    "edits --folder {folder} --count 96 --epochs 1 --faces 40 --ways 2": "all: rank correlation",
}


@pytest.mark.parametrize("command", CASES)
def test_it_ends_with_its_figures(command: str, tmp_path: Path) -> None:
    name, *options = command.format(folder=tmp_path).split()
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{name}", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert CASES[command] in done.stdout
