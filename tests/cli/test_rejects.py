"""`vae-batch rejects` as a user calls it, and what `encode` says about it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cluster.growing import damaged, repair, run
from tests.cluster.inline import replicas_here
from tests.cluster.test_encode import Lines
from vae_batch import cli
from vae_batch.errors import TooManyRejectsError


@pytest.fixture
def out(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    replicas_here(monkeypatch)
    run(damaged(tmp_path / "source"), model, tmp_path / "out")
    return tmp_path / "out"


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(cli.group, list(map(str, arguments)), prog_name="vae-batch")
    assert result.exit_code == 0, result.output
    return result


def test_the_groups_as_text(out: Path) -> None:
    assert call("rejects", out).stdout.splitlines() == [
        "3 rejects",
        "       2  decode: OSError",
        "          img03.jpg: Truncated File Read",
        "          m.tar/04.jpg: Truncated File Read",
        "       1  decode: UnidentifiedImageError",
        "          img08.jpg: the file is empty",
    ]


def test_the_groups_as_json_and_every_reject_as_csv(out: Path) -> None:
    found = json.loads(call("rejects", out, "--json").stdout)
    assert found["rejects"] == 3 and [g["count"] for g in found["groups"]] == [2, 1]
    assert found["groups"][1]["examples"][0]["id"] == "img08.jpg"
    rows = list(csv.DictReader(io.StringIO(call("rejects", out, "--csv").stdout)))
    assert [r["id"] for r in rows] == ["img03.jpg", "img08.jpg", "m.tar/04.jpg"]
    assert list(rows[0]) == ["unit", "id", "shard", "row", "stage", "error", "message", "sha256"]
    result = CliRunner().invoke(cli.group, ["rejects", str(out), "--csv", "--json"])
    assert result.exit_code == 2 and "give --json or --csv, not both" in result.output


def test_the_bytes_are_exported_on_demand(out: Path, tmp_path: Path) -> None:
    said = call("rejects", out, "--export", tmp_path / "bad").stderr
    assert said == f"3 of 3 copied to {tmp_path / 'bad'}; see index.csv there\n"
    names = sorted(p.name for p in (tmp_path / "bad").iterdir())
    assert names == ["000001-img03.jpg", "000002-img08.jpg", "000003-04.jpg", "index.csv"]


def test_no_rejects(out: Path, model: Path, tmp_path: Path) -> None:
    repair(tmp_path / "source")
    run(tmp_path / "source", model, out, retry_rejects=True, units="0:2")
    run(tmp_path / "source", model, tmp_path / "one", units="0:1")
    assert call("rejects", tmp_path / "one").stdout == "0 rejects\n"
    assert json.loads(call("rejects", tmp_path / "one", "--json").stdout) == {"rejects": 0, "groups": []}
    assert "of these units are to be made anew by the retry under way" in call("status", out).stdout


def test_control_characters_do_not_reach_the_terminal() -> None:
    from vae_batch.cli.rejects import printable

    assert printable("a\x1b[31m\n\u202eb é 顔") == "a\\x1b[31m\\n\\u202eb é 顔"


def test_the_end_of_encode_names_the_command(out: Path, model: Path, tmp_path: Path) -> None:
    report = Lines()
    run(tmp_path / "source", model, out, report, retry_rejects=True)
    assert f"  vae-batch rejects {out} lists them; mended, --retry-rejects tries them again" in report.text
    with pytest.raises(TooManyRejectsError, match=rf"`vae-batch rejects {out}` lists them; --max-reject-rate"):
        run(tmp_path / "source", model, out, max_reject_rate=0)


def test_it_needs_neither_ray_nor_torch(out: Path, tmp_path: Path) -> None:
    check = f"""
import sys
from vae_batch.cli import group
group.main(["rejects", {str(out)!r}, "--export", {str(tmp_path / "bad")!r}], standalone_mode=False)
print(sorted({{"torch", "ray"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
