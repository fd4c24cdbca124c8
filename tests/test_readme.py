"""The README's commands and programs run as they stand, in its order, in one folder; install and test lines apart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(bash|python|yaml)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(folder: Path, number: int) -> None:
    language, text = BLOCKS[number]
    named = re.match(r"# (\S+\.(?:py|yaml))\n", text)
    if named:
        (folder / named[1]).write_text(text)
        return
    lines = text.splitlines() if language == "bash" else []
    commands = [["bash", "-c", line] for line in lines if not line.startswith("python3 -m venv")]
    for command in commands or ([[sys.executable, "-c", text]] if language == "python" else []):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(folder), timeout=400)
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"


def environment(folder: Path) -> dict[str, str]:
    """The environment of these tests, with its commands on the path and a cache of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}


def test_ci_runs_the_readmes_test_command() -> None:
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv") and "pytest" in line]
    assert len(commands) == 1
    assert "grep -m 1 '^python3 -m venv .*pytest' README.md" in (Path(__file__).parent.parent / ".ci/run").read_text()


def test_the_files_it_names_are_there() -> None:
    root = Path(__file__).parent.parent
    names = re.findall(r"`((?:vae_batch|jobs|tests)/[\w/.]*)`", README) + re.findall(r"\]\((\.readme/[\w.]+)\)", README)
    assert len(names) > 5
    assert [n for n in names if not (root / n).exists()] == []
