"""--retry-rejects: units with rejects are made anew, exactly once, whenever the job is killed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

import vae_batch
from tests.cluster.growing import CUT, RETRY, assert_finished, contents, damaged, grow, repair, rows, run, write_tar
from tests.cluster.inline import Kill, Killed, replicas_here, sweep_kills
from tests.cluster.test_encode import Lines
from tests.conftest import image_bytes
from tests.s3 import S3
from vae_batch import Summary, storage
from vae_batch.errors import MismatchError, SourceError
from vae_batch.latents.layout import Layout
from vae_batch.work.rejects import export_rejects


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return damaged(tmp_path / "source")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas_here(monkeypatch)


def test_a_retry_on_ray_gives_the_rows_of_a_fresh_run(
    ray_session: None, source: Path, model: Path, tmp_path: Path
) -> None:
    out, report = tmp_path / "out", Lines()
    assert run(source, model, out, replicas=2).rejects == 3
    before = contents(out)
    repair(source)
    summary = run(source, model, out, report, replicas=2, **RETRY)
    assert (summary.rows, summary.rejects, summary.run["units"]) == (21, 1, 4)
    assert "Trying 3 rejects again: 4 units are made anew." in report.text
    assert summary == Summary.load(Layout.of(out))
    assert_finished(out)
    run(source, model, tmp_path / "fresh")
    assert rows(out) == rows(tmp_path / "fresh")
    after = contents(out)
    same = {name for name in before if after.get(name) == before[name]}
    assert {"data/part-000001.parquet", "data/part-000005.parquet"} <= same  # without rejects: not touched
    assert len([name for name in after if "rejects/" in name]) == 1


def test_nothing_repaired_gives_the_same_bytes(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out", Lines()
    run(source, model, out)
    before = contents(out)
    assert run(source, model, out, report, **RETRY).run["units"] == 3
    assert contents(out) == before
    assert_finished(out)


def test_there_may_be_nothing_to_retry(here: None, model: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.jpg").write_bytes(image_bytes())
    run(tmp_path / "source", model, tmp_path / "out", **RETRY)
    report = Lines()
    run(tmp_path / "source", model, tmp_path / "out", report, **RETRY)
    assert "--retry-rejects: there is nothing to try again." in report.text and "Already done" in report.text


@pytest.mark.parametrize("repaired", [True, False])
@pytest.mark.parametrize("again", [RETRY, {}], ids=["with_the_flag", "without"])
def test_killed_at_every_step(
    here: None, source: Path, model: Path, tmp_path: Path, again: dict[str, Any], repaired: bool
) -> None:
    """Before each publish and each removal; what is there then is never less than before, and the end is the same."""
    begun = tmp_path / "begun"
    run(source, model, begun)
    if repaired:
        repair(source)

    def retry(out: Path) -> None:
        run(source, model, out, **RETRY)

    def look(out: Path) -> None:
        assert len(rows(out)) >= 19
        assert ids_of_rejects(out) >= {"img08.jpg"}

    sweep_kills(retry, begun, tmp_path, bool(again), 15, look, lambda out: run_again(source, model, out, again))


def run_again(source: Path, model: Path, out: Path, again: dict[str, Any]) -> None:
    """Without the flag a repair that the job has not taken in yet is refused; nothing changes by that."""
    try:
        run(source, model, out, **again)
    except MismatchError as error:
        assert not again and "--retry-rejects takes in files that were rejects" in str(error)
        run(source, model, out, **RETRY)
    else:
        if vae_batch.status(out).units_to_redo == 0 and not again and "img03.jpg" in ids_of_rejects(out):
            run(source, model, out, **RETRY)  # killed before the retry had begun


def ids_of_rejects(out: Path) -> set[str]:
    return {row["id"] for row in vae_batch.rejects(out).to_pylist()}


def test_status_and_verify_say_that_a_retry_was_stopped(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, model, out)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        Kill(patch, 1)
        run(source, model, out, **RETRY)
    now = vae_batch.status(out)
    assert (now.state, now.units_to_redo) == ("stopped", 3)
    assert "a retry was stopped with 3 units still to be made anew: run the same command to go on" in (
        vae_batch.verify(out).findings
    )
    report = Lines()
    run(source, model, out, report, **RETRY)
    assert "--retry-rejects: going on with a retry of which 3 units are left." in report.text
    assert_finished(out)


def test_a_slice_of_the_units_leaves_the_rest_to_be_retried(
    here: None, source: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(source, model, out)
    repair(source)
    assert not run(source, model, out, units="0:2", **RETRY).complete
    assert vae_batch.status(out).units_to_redo == 3
    assert run(source, model, out).rejects == 1
    assert_finished(out)


@pytest.mark.parametrize(
    ("name", "data"), [("img00.jpg", image_bytes(99)), ("img00.jpg", None), ("n.tar", image_bytes()), ("n.tar", None)]
)
def test_a_change_of_what_was_encoded_is_refused(
    here: None, source: Path, model: Path, tmp_path: Path, name: str, data: bytes | None
) -> None:
    out = tmp_path / "out"
    run(source, model, out)
    before = contents(out)
    repair(source)
    (source / name).write_bytes(data) if data else (source / name).unlink()
    with pytest.raises(MismatchError, match=rf"Rows are written of 1: {name}; --retry-rejects takes in only"):
        run(source, model, out, **RETRY)
    assert contents(out) == before


def test_without_the_flag_a_repair_is_refused_and_named(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    run(source, model, tmp_path / "out")
    repair(source)
    with pytest.raises(MismatchError, match=r"changed  2: img03.jpg, m.tar\n--retry-rejects takes in files that were"):
        run(source, model, tmp_path / "out")


def test_a_reject_may_be_taken_away_and_come_back(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, model, out)
    (source / "img03.jpg").unlink()
    assert run(source, model, out, **RETRY).rejects == 3
    gone = [r for r in vae_batch.rejects(out).to_pylist() if r["id"] == "img03.jpg"]
    assert [r["error"] for r in gone] == ["FileNotFoundError"]
    (source / "extra.jpg").write_bytes(image_bytes(70))
    run(source, model, out, extend=True)
    (source / "img03.jpg").write_bytes(image_bytes(3))
    with pytest.raises(MismatchError, match=r"changed  1: img03.jpg"):
        run(source, model, out, extend=True)  # it has its unit: not to be planned twice
    assert run(source, model, out, **RETRY).rejects == 2
    assert_finished(out)
    assert [r["id"] for r in rows(out)].count("img03.jpg") == 1


def test_a_tar_repaired_in_its_own_size(here: None, model: Path, tmp_path: Path) -> None:
    """A broken header: the plan counted other files in it than there are once it is mended."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    write_tar(source / "a.tar", {f"{i:02}.jpg": image_bytes(i) for i in range(10)})
    good = (source / "a.tar").read_bytes()
    at = good.index(b"05.jpg")
    (source / "a.tar").write_bytes(good[:at] + bytes(300) + good[at + 300 :])
    assert run(source, model, out).rejects > 0
    (source / "a.tar").write_bytes(good)
    summary = run(source, model, out, **RETRY)
    assert (summary.rows, summary.rejects, summary.seen) == (10, 0, 10)
    assert_finished(out)


def test_a_tar_that_cannot_be_cut_as_it_was_is_refused(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, model, out)
    before = contents(out)
    write_tar(source / "m.tar", {"00.jpg": image_bytes()})
    with pytest.raises(SourceError, match=r"m.tar has taken the place of a shard that 2 units share"):
        run(source, model, out, **RETRY)
    assert contents(out) == before


def test_what_is_not_encoded_yet_may_be_repaired_too(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, model, out, units="1:2")
    (source / "img00.jpg").write_bytes(image_bytes(3)[CUT])
    repair(source)
    assert run(source, model, out, **RETRY).rejects == 2
    assert_finished(out)


def test_repaired_and_grown_at_once(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, model, out)
    repair(source)
    grow(source)
    for flag in ({"extend": True}, RETRY):
        with pytest.raises(MismatchError):
            run(source, model, out, **flag)
    summary = run(source, model, out, extend=True, **RETRY)
    assert (summary.rows, summary.rejects) == (30, 1)
    assert_finished(out)


@pytest.mark.parametrize("step", [2, 5])
def test_an_output_under_a_uri_killed_on_the_way(
    here: None, s3: S3, source: Path, model: Path, tmp_path: Path, step: int
) -> None:
    out = s3.uri(f"faces/retried{step}")
    run(source, model, out)
    repair(source)
    grow(source)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        Kill(patch, step)
        run(source, model, out, extend=True, **RETRY)
    summary = run(source, model, out, extend=True, **RETRY)
    assert (summary.rows, summary.rejects) == (30, 1)
    assert vae_batch.verify(out).ok and vae_batch.status(out).state == "finished"
    assert {r["id"] for r in vae_batch.rejects(out).to_pylist()} == {"img08.jpg"}
    assert export_rejects(out, tmp_path / "bad").files == 1
    state = storage.list_files(storage.join(out, ".vae_batch")).keys()
    assert "retry.json" not in state and len([name for name in state if name.endswith(".arrow")]) == 2
    assert len(storage.list_files(storage.join(out, ".vae_batch/rejects"))) == 1


def test_a_changed_label_file_is_not_taken_in(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    labels = tmp_path / "ages.csv"
    labels.write_text("name,age\nimg00.jpg,3\n")
    run(source, model, tmp_path / "out", labels=str(labels))
    labels.write_text("name,age\nimg00.jpg,4\n")
    grow(source)
    with pytest.raises(MismatchError, match=r"A label file is another one or has changed: .* nor with --extend"):
        run(source, model, tmp_path / "out", labels=str(labels), extend=True)


def test_an_excluded_image_is_never_exported(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.txt"
    gone.write_text(hashlib.sha256(image_bytes(3)).hexdigest())
    run(source, model, tmp_path / "out", exclude=str(gone))
    repair(source)
    assert export_rejects(tmp_path / "out", tmp_path / "bad").files == 1
    assert "img08" in next((tmp_path / "bad").glob("0*")).name
