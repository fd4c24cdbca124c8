"""The imports between the packages point the right way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "vae_batch"

BASE = {"errors", "types"}
FIRST = BASE | {"noise", "storage", "specs", "faces"}
MIDDLE = {"sources", "images", "models", "latents"}
SAMPLERS = {"samplers", "probes"}
WORKING = {"work", "training", "analysis", "testing"}
MAY_IMPORT = {
    **dict.fromkeys(("noise", "storage", "specs", "faces"), BASE),
    **{name: set() for name in BASE},
    **dict.fromkeys(MIDDLE, FIRST),
    **dict.fromkeys(SAMPLERS, FIRST | {"latents"}),
    **dict.fromkeys(WORKING, FIRST | MIDDLE | SAMPLERS),
    "cluster": FIRST | MIDDLE | SAMPLERS | WORKING,
    "cli": FIRST | MIDDLE | SAMPLERS | WORKING | {"cluster"},
}
MODULES = [p for p in sorted(ROOT.rglob("*.py")) if p != ROOT / "__init__.py"]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    mine = room(path)
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("vae_batch.")}
    assert ours - {mine} <= MAY_IMPORT[mine]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_ray_and_click_have_one_importer(path: Path) -> None:
    top = {name.split(".")[0] for name in imported(path)}
    assert "ray" not in top or room(path) == "cluster"
    assert "click" not in top or room(path) == "cli"


@pytest.mark.parametrize("code", ["import vae_batch", "import vae_batch.cli as c; c.group.main(['--help'])"])
def test_the_package_and_the_help_load_nothing_heavy(code: str) -> None:
    check = f"""
import sys, contextlib
with contextlib.suppress(SystemExit):
    {code}
print("heavy:", sorted({{"torch", "ray", "pydantic", "pyarrow", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize("command", ["status", "rejects", "verify"])
def test_looking_at_an_output_needs_neither_ray_nor_torch(command: str) -> None:
    check = f"""
import sys
import vae_batch.cli.{command}, vae_batch.latents.{command}
print(sorted({{"torch", "ray"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import vae_batch

    assert vae_batch.__all__ == sorted(vae_batch._WHERE)
    for name in vae_batch.__all__:
        assert getattr(vae_batch, name).__name__ == name
