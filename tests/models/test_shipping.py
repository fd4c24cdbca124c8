from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vae_batch.errors import ModelError
from vae_batch.models import install_sources, module_sources

NET = """
from torch import nn
class Net(nn.Module):
    image_size = 8
    def encode(self, x): return x.mean(dim=(2, 3)) * FACTOR
    def decode(self, z): return z[:, :, None, None].expand(-1, 3, 8, 8).clamp(0, 1)
"""

FILES = {
    "nets/__init__.py": "",
    "nets/vae.py": "from .parts import FACTOR\nimport helper\n" + NET,
    "nets/parts.py": "FACTOR = 0.5\n",
    "helper.py": "import json, torch, numpy.linalg\ndef late():\n    import seldom\n",
    "seldom.py": "x = 1\n",
    "unrelated.py": "raise SystemExit('never imported')\n",
    ".venv/lib/python3/site-packages/library.py": "",
}


@pytest.fixture
def project(tmp_path):
    for path, text in FILES.items():
        (tmp_path / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / path).write_text(text)
    return tmp_path / "project"


def run(folder: Path, code: str, *arguments: str) -> str:
    """Run code as another node would: a fresh process with a working directory of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_users_modules_travel_and_work_elsewhere(project, tmp_path):
    describe = "print(describe_model('nets.vae:Net').digest)"
    sent = run(
        project,
        "import json, sys\nfrom vae_batch.models import *\n"
        "sources = module_sources('nets.vae:Net')\nprint(json.dumps(sources))\n" + describe,
    ).splitlines()
    assert set(__import__("json").loads(sent[0])) == {
        "nets/__init__.py", "nets/vae.py", "nets/parts.py", "helper.py", "seldom.py"
    }  # fmt: skip
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "helper.py").write_text("raise RuntimeError('another file of that name')\n")
    there = run(
        elsewhere,
        "import json, sys\nfrom vae_batch.models import *\ninstall_sources(json.loads(sys.argv[1]))\n" + describe,
        sent[0],
    )
    assert there.strip() == sent[1]


def test_a_module_imported_by_name_at_run_time_travels_too(project):
    (project / "nets" / "vae.py").write_text(
        "import importlib\nFACTOR = importlib.import_module('unusual').FACTOR\n" + NET
    )
    (project / "unusual.py").write_text("FACTOR = 2.0\n")
    code = "from vae_batch.models import *\nload_model('nets.vae:Net')\nprint(sorted(module_sources('nets.vae:Net')))"
    assert "'unusual.py'" in run(project, code)


def test_the_environments_modules_stay(tmp_path):
    assert run(tmp_path, "from vae_batch.models import *\nprint(module_sources('json:loads'))").strip() == "{}"


def test_the_standard_library_stays_though_the_working_directory_is_above_it(tmp_path):
    found = run(Path("/"), "from vae_batch.models import *\nprint(*module_sources('json:loads'))").split()
    assert set(found) <= {"sitecustomize.py"}  # the tests' own, where it is on the path


def test_a_saved_folder_has_no_sources(tmp_path):
    assert module_sources(str(tmp_path)) == {}


@pytest.mark.parametrize("path", ["/etc/x.py", "../x.py", "a/../../x.py", "..\\x.py", "C:/x.py", ""])
def test_paths_that_lead_out_are_refused(path):
    with pytest.raises(ModelError, match="would be written outside its folder"):
        install_sources({"fine.py": "", path: "x = 1"})
