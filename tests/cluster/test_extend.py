"""A collection that grows: refused with names, or encoded behind what is there, whenever the job is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.growing import assert_finished, contents, damaged, grow, rows, run, write_tar
from tests.cluster.inline import replicas_here, sweep_kills
from tests.cluster.test_encode import Lines
from tests.conftest import image_bytes
from vae_batch.errors import MismatchError, SourceError
from vae_batch.latents.footer import read_footer
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout

EXTEND: dict[str, Any] = {"extend": True}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return damaged(tmp_path / "source")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas_here(monkeypatch)


def test_new_files_become_further_units_on_ray(ray_session: None, source: Path, model: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out", Lines()
    old = run(source, model, out, replicas=2)
    before = contents(out)
    grow(source)
    summary = run(source, model, out, report, replicas=2, **EXTEND)
    assert "Extending by what is new in the source, 5: aaa.jpg, b.tar, img04b.jpg, sub/new.jpg, zzz.jpg" in report.text
    assert (old.units, summary.units, summary.units_planned) == (6, 8, 8)
    assert (summary.rows, summary.rejects, summary.seen) == (19 + 9, 3, 22 + 9)
    assert summary.run["units"] == 2
    after = contents(out)
    assert all(after[name] == before[name] for name in before if name.startswith(("data/", ".vae_batch/rejects/")))
    assert_finished(out)
    run(source, model, tmp_path / "fresh")
    position = {"row"}  # loose files are numbered as they came
    assert without(rows(out), position) == without(rows(tmp_path / "fresh"), position)
    loose = [row["row"] for row in rows(out) if row["shard"] == "."]
    assert len(set(loose)) == len(loose)


def without(table: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in names} for row in table]


def test_by_default_what_is_new_gone_or_changed_is_said(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, model, out)
    before = contents(out)
    grow(source)
    (source / "img00.jpg").unlink()
    (source / "img01.jpg").write_bytes(image_bytes(80))
    said = (
        f"{out}: the source {source} is not what it was when OUT was begun:\n"
        "  new      5: aaa.jpg, b.tar, img04b.jpg, sub/new.jpg, zzz.jpg\n"
        "  gone     1: img00.jpg\n"
        "  changed  1: img01.jpg\n"
        "--extend encodes what is new, as further units; the parts that are there stay as they are.\n"
        "--retry-rejects takes in files that were rejects and were repaired.\n"
        "Put other files back as they were, or give another --out."
    )
    with pytest.raises(MismatchError) as caught:
        run(source, model, out)
    assert str(caught.value) == said
    with pytest.raises(MismatchError, match=r"gone     1: img00.jpg\n  changed  1: img01.jpg\n--retry-rejects"):
        run(source, model, out, **EXTEND)
    assert contents(out) == before


def test_many_new_files_are_counted_and_a_few_named(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    run(source, model, tmp_path / "out")
    for i in range(30):
        (source / f"x{i:02}.jpg").write_bytes(image_bytes(i))
    with pytest.raises(MismatchError, match=r"new      30: x00.jpg, x01.jpg, x02.jpg, x03.jpg, x04.jpg and 25 more"):
        run(source, model, tmp_path / "out")


@pytest.mark.parametrize("again", [EXTEND, {}], ids=["with_the_flag", "without"])
@pytest.mark.parametrize("done", ["", "0:2"], ids=["finished", "half_done"])
def test_killed_at_every_step(
    here: None, source: Path, model: Path, tmp_path: Path, again: dict[str, Any], done: str
) -> None:
    """Before each publish and each removal; old parts stay, and the end is the same."""
    begun = tmp_path / "begun"
    run(source, model, begun, units=done or None)
    old = {name: data for name, data in contents(begun).items() if name.startswith("data/")}
    grow(source)

    def extend(out: Path) -> None:
        run(source, model, out, **EXTEND)

    def look(out: Path) -> None:
        assert contents(out).items() >= old.items()

    def do_again(out: Path) -> None:
        try:
            run(source, model, out, **again)
        except MismatchError as error:  # killed before the job had taken the new files in
            assert not again and "--extend encodes what is new" in str(error)
            extend(out)

    sweep_kills(extend, begun, tmp_path, bool(again), 10, look, do_again)


def test_again_and_again(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    """Each state of the source is kept in the job file; the fingerprint is the first one's."""
    out = tmp_path / "out"
    run(source, model, out)
    for i in range(3):
        (source / f"more{i}.jpg").write_bytes(image_bytes(80 + i))
        assert run(source, model, out, **EXTEND).units == 7 + i
    job = JobFile.load(Layout.of(out))
    assert [state.units for state in job.history] == [6, 7, 8, 9]
    assert job.fields["source"] == job.history[0].digest != job.history[-1].digest
    assert {read_footer(part).fingerprint for part in (out / "data").iterdir()} == {job.fingerprint}
    assert len(list((out / ".vae_batch").glob("*.arrow"))) == 2
    report = Lines()
    assert run(source, model, out, report, **EXTEND).rows == 22
    assert "--extend: nothing is new in the source." in report.text and "Already done" in report.text
    assert_finished(out)


def test_other_settings_are_refused_as_ever(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    run(source, model, tmp_path / "out")
    grow(source)
    with pytest.raises(MismatchError, match=r"seed +0 +1"):
        run(source, model, tmp_path / "out", seed=1, **EXTEND)


def test_new_images_bring_their_labels(here: None, model: Path, tmp_path: Path) -> None:
    """A sidecar that is there already serves a new image beside its own."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "b.jpg").write_bytes(image_bytes(1))
    (source / "b.json").write_text(json.dumps({"age": 3}))
    run(source, model, out)
    (source / "a.jpg").write_bytes(image_bytes(2))
    (source / "a.json").write_text(json.dumps({"age": 4}))
    (source / "b.png").write_bytes(image_bytes(3, "PNG"))
    run(source, model, out, **EXTEND)
    assert {row["id"]: row["age"] for row in rows(out)} == {"a.jpg": 4, "b.jpg": 3, "b.png": 3}
    assert_finished(out)


def test_new_labels_of_an_old_image_are_refused(here: None, source: Path, model: Path, tmp_path: Path) -> None:
    run(source, model, tmp_path / "out")
    (source / "img00.json").write_text('{"age": 3}')
    with pytest.raises(SourceError, match=r"img00.json is new and holds the labels of img00.jpg, which is planned"):
        run(source, model, tmp_path / "out", **EXTEND)


def test_a_pattern_of_tars_grows(here: None, model: Path, tmp_path: Path) -> None:
    for name in ("b", "d"):
        write_tar(tmp_path / f"{name}.tar", {f"{i}.jpg": image_bytes(i) for i in range(3)})
    run(tmp_path / "*.tar", model, tmp_path / "out")
    for name in ("a", "c"):
        write_tar(tmp_path / f"{name}.tar", {f"{i}.jpg": image_bytes(i) for i in range(9)})
    summary = run(tmp_path / "*.tar", model, tmp_path / "out", **EXTEND)
    assert (summary.units, summary.rows) == (2 + 4, 24)
    assert_finished(tmp_path / "out")


def test_verify_recomputes_from_the_grown_source_in_any_working_directory(
    ray_session: None, source: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vae_batch.cluster.verify import verify_by_recomputing

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net").symlink_to(model)
    run(Path("source"), Path("net"), Path("out"), **EXTEND)
    grow(source)
    run(Path("source"), Path("net"), Path("out"), **EXTEND)
    monkeypatch.chdir("/")
    verdict = verify_by_recomputing(str(tmp_path / "out"), 8)
    assert verdict.ok, verdict.findings
