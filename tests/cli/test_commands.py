"""The commands as a user calls them: what they print and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import FACES, image_bytes, snapshot, spec
from vae_batch import cli, encode
from vae_batch.cli import COMMANDS

ROOT = Path(__file__).parents[2]


def vae_batch(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vae_batch.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=180)


def test_every_command_has_its_help_with_an_example() -> None:
    import click

    for name in COMMANDS:
        command = cli.group.get_command(click.Context(cli.group), name)
        assert command is not None and command.help is not None
        assert "Example:" in command.help and f"vae-batch {name}" in command.help, name


def test_every_option_of_encode_is_a_key_of_the_spec_and_the_other_way() -> None:
    import click

    from vae_batch.specs import EncodeSpec

    command = cli.group.get_command(click.Context(cli.group), "encode")
    assert command is not None
    options = {p.name for p in command.params} - {"verbose"}
    assert options == set(EncodeSpec.model_fields) - {"kind"}


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        assert f"vae-batch {name}" in readme


def test_the_specs_in_jobs_load() -> None:
    from vae_batch.specs import load_spec

    for file in (ROOT / "jobs").glob("*.yaml"):
        spec, said = load_spec(file), yaml.safe_load(file.read_text())
        assert spec.model_dump(mode="json", include=set(said)) == said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["encode", "nowhere", "--model", "m", "--out", "o"], 1, "nowhere"),
        (["encode", ".", "--model", "no_model", "--out", "../o"], 1, "no_model"),
        (["encode", ".", "--model", "m", "--out", "o"], 1, "--out o lies in the source ."),
        (["encode", ".", "--model", "m"], 2, "Missing option '--out'"),
        (["encode", ".", "--model", "m", "--out", "o", "--samples", "-1"], 2, "samples=-1: Input should be greater"),
        (["encode", ".", "--model", "m", "--out", "o", "--replicas", "x"], 2, "replicas='x'"),
        (
            ["encode", ".", "--model", "m", "--out", "o", "--replicas", "0"],
            2,
            "replicas=0: give a number from 1, or auto",
        ),
        (["encode", ".", "--model", "m", "--out", "o", "--units", "3"], 2, "units='3': give A:B"),
        (["encode", ".", "--model", "m", "--out", "o", "--max-reject-rate", "2"], 2, "max_reject_rate=2.0"),
        (["encode", "s3://bucket/x", "--model", "m", "--out", "o"], 1, "s3://bucket/x"),
        (["status", "."], 1, "is no output of vae_batch: it has no .vae_batch/job.json"),
        (["verify", "."], 1, "is no output of vae_batch"),
        (["status", "nowhere"], 2, "'nowhere' does not exist"),
        (["paint"], 2, "No such command 'paint'"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "x.jpg").write_bytes(image_bytes())
    done = vae_batch(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "kind: encode\nsource: a\nmodel: b\nout: c\nbatchsize: 3\n",
            "unknown key 'batchsize'; the keys are source, image_column",
        ),
        ("kind: encode\nsource: a\nmodel: b\n", "out is missing"),
        ("kind: bake\n", "has kind: 'bake'; known kinds are encode, generate, train, evaluate"),
        ("- 1\n", "is no mapping of keys to values"),
        ("a: [\n", "cannot read the spec"),
        ("kind: encode\nsource: a\nmodel: b\nout: c\nprecision: fp8\n", "precision='fp8'"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "job.yaml").write_text(text)
    done = vae_batch("run", tmp_path / "job.yaml")
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_spec_does_what_the_options_do_and_status_and_verify_say_so(
    encoded: Path, faces: Path, model: Path, tmp_path: Path
) -> None:
    job = {
        **{"kind": "encode", "source": str(faces), "model": str(model), "out": "out"},
        **{"unit_size": 25, "batch_size": 16, "replicas": 1},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    done = vae_batch("run", "job.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert snapshot(tmp_path / "out") == snapshot(encoded)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Ray: a private cluster on this machine, 1 node, 0 GPUs, ")
    assert lines[1] == "1 replica with 1 CPU each, fp32; images at 32×32, latents of 8."
    assert lines[-1] == f"Done: {FACES} rows, 0 rejects in {len(snapshot(encoded))} parts: {tmp_path}/out"
    assert not [line for line in lines if "WARNING" in line or "raylet" in line or "INFO" in line]

    now = vae_batch("status", "out", cwd=tmp_path)
    assert now.stdout.startswith("finished: ") and f"{FACES} rows, 0 rejects, 0 skipped" in now.stdout
    told = json.loads(vae_batch("status", "out", "--json", cwd=tmp_path).stdout)
    assert (told["state"], told["rows"], told["units_done"]) == ("finished", FACES, told["units"])

    checked = vae_batch("verify", "out", "--recompute", "2", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{FACES} rows" in checked.stdout and "encoded again from the source: units " in checked.stdout

    next((tmp_path / "out" / "data").iterdir()).unlink()
    checked = vae_batch("verify", "out", cwd=tmp_path)
    assert checked.returncode == 1 and "missing" in checked.stdout
    assert not json.loads(vae_batch("verify", "out", "--json", cwd=tmp_path).stdout)["ok"]


def test_recompute_finds_values_that_are_not_the_models(
    ray_session: None, faces: Path, model: Path, tmp_path: Path
) -> None:
    """A forger who changes a mean, its sample and all digests is found by encoding again."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.latents.test_verify import rewrite
    from vae_batch.cluster.verify import verify_by_recomputing
    from vae_batch.latents.digest import Digests
    from vae_batch.latents.verify import verify

    out = tmp_path / "out"
    encode(spec(faces, model, out, samples=0, unit_size=240))
    (part,) = (out / "data").iterdir()
    table = pq.read_table(part)
    at = table.schema.get_field_index("mean")
    values = table["mean"].combine_chunks().flatten().to_numpy().copy()
    values[0] = np.nextafter(values[0], np.float32(9))
    forged = pa.FixedSizeListArray.from_arrays(pa.array(values), type=table.schema.field(at).type)
    table = table.set_column(at, table.schema.field(at), forged)
    digests = Digests(table.schema)
    for batch in table.to_batches():
        digests.update(batch)
    rewrite(part, table, values_sha256=digests.values_sha256())
    assert verify(out).ok
    findings = verify_by_recomputing(str(out), 1).findings
    assert len(findings) == 1 and "column mean differs when made again, by up to" in findings[0]


def test_plan_says_what_there_is_and_writes_nothing(faces: Path, model: Path, tmp_path: Path) -> None:
    done = vae_batch("plan", faces, "--model", model, "--unit-size", 25, "--samples", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "shards  6\n" in done.stdout and f"images  {FACES} (" in done.stdout
    assert "mean         7.7 kB" in done.stdout and "sample       15.4 kB" in done.stdout
    assert "images/s a replica" in done.stdout
    assert list(tmp_path.iterdir()) == []
    told = json.loads(vae_batch("plan", faces, "--model", model, "--no-timing", "--json", cwd=tmp_path).stdout)
    assert told["files"] == FACES and told["exact"] and told["hours"] is None
    assert told["units"] == 1 and told["unit_size"] == 256
