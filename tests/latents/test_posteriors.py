"""Posteriors read back: streamed, chosen by SQL, and single ones by their position."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import FACES
from vae_batch.errors import OutputError, SpecError
from vae_batch.latents import take as module
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.posteriors import Posteriors, open_posteriors
from vae_batch.latents.take import numbers, read_through, take
from vae_batch.latents.where import choose


@pytest.fixture(scope="module")
def posteriors(encoded: Path) -> Posteriors:
    return open_posteriors(str(encoded))


@pytest.fixture(scope="module")
def table(encoded: Path) -> pa.Table:
    return pq.read_table(encoded / "data")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int]]:
    """Files of 0 to 30 rows, in row groups of 4; the numbers count through."""
    folder, made, at = tmp_path_factory.mktemp("files"), [], 0
    for number, rows in enumerate([5, 0, 30, 1, 12]):
        path = folder / f"{number}.parquet"
        column = pa.array([[i, -i] for i in range(at, at + rows)], pa.list_(pa.float32(), 2))
        pq.write_table(pa.table({"z": column, "other": pa.array(range(rows), pa.int64())}), path, row_group_size=4)
        made, at = [*made, (str(path), rows)], at + rows
    return made


@given(st.sets(st.integers(0, 47)).map(sorted).filter(len))
def test_rows_by_position_are_those_rows(files: list[tuple[str, int]], positions: list[int]) -> None:
    found = take(files, np.array(positions), ["z"])
    assert np.concatenate([numbers(t["z"], np.float64) for t in found]).tolist() == [[i, -i] for i in positions]


def test_only_the_row_groups_that_hold_them_are_read(
    files: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group

    def counted(file: pq.ParquetFile, number: int, **more: Any) -> pa.Table:
        read.append(number)
        return whole(file, number, **more)

    module._row_group.cache_clear()
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    for first in range(10, 30, 2):  # in the third file, from its row 5 on
        take(files, np.array([first, first + 1]), ["z"])
    assert read == [1, 2, 3, 4, 5, 6]


def test_a_file_that_was_changed_is_refused(files: list[tuple[str, int]]) -> None:
    location, rows = files[2]
    with pytest.raises(OutputError, match="has 30 rows now, and had 31"):
        list(read_through(location, rows + 1, ["z"]))
    with pytest.raises(OutputError, match="has 30 rows now, and had 31"):
        take([(location, rows + 1)], np.array([0]), ["z"])


@given(st.sampled_from([None, "row % 3 = 0", "glasses", "kl > (select avg(kl) from latents)"]), st.data())
def test_streamed_and_by_position_they_are_the_rows(
    posteriors: Posteriors, table: pa.Table, where: str | None, data: st.DataObject
) -> None:
    kl = np.array(table["kl"])
    chosen = {
        None: np.ones(FACES, bool),
        "row % 3 = 0": np.array(table["row"]) % 3 == 0,
        "glasses": np.array(table["glasses"].to_pylist(), bool),
        "kl > (select avg(kl) from latents)": kl > kl.astype(np.float64).mean(),
    }[where]
    some = posteriors if where is None else posteriors.where(where)
    wanted = table.filter(pa.array(chosen))
    assert some.total == len(wanted) > 0
    batches = list(some.batches())
    for i, column in enumerate(("mean", "variance")):
        assert np.array_equal(np.concatenate([b[i] for b in batches]), numbers(wanted[column], np.float64))
    positions = np.array(sorted(data.draw(st.sets(st.integers(0, some.total - 1), min_size=1))))
    assert some.take(positions)["id"].to_pylist() == wanted["id"].take(positions).to_pylist()


def test_a_choice_is_a_bit_for_each_row(posteriors: Posteriors) -> None:
    some = posteriors.where("row < 100000")
    assert some.total == FACES and sum(len(p.chosen or b"") for p in some.parts) <= FACES // 8 + len(some.parts)


def test_batches_are_small(posteriors: Posteriors) -> None:
    """At most 1,024 rows, and of a part at a time, are in memory."""
    assert all(len(mean) <= min(1024, 25) for mean, _ in posteriors.batches())


def test_what_is_there_decides_the_digest(posteriors: Posteriors, encoded: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(encoded, copy)
    assert open_posteriors(str(copy)).digest == posteriors.digest
    (copy / "data" / "part-000002.parquet").unlink()
    fewer = open_posteriors(str(copy))
    assert fewer.digest != posteriors.digest and len(fewer.parts) == fewer.planned - 1


def test_scaled_latents_are_refused(encoded: Path, tmp_path: Path) -> None:
    layout = Layout.of(tmp_path)
    layout.make()
    job = JobFile.load(Layout.of(encoded))
    replace(job, fields={**job.fields, "scaled": True}).save(layout)
    with pytest.raises(SpecError, match="was encoded with --scaled"):
        open_posteriors(str(tmp_path))


@pytest.fixture
def cells(tmp_path: Path) -> ds.Dataset:
    for number in range(2):
        columns = {
            "Smiling": [True, False, None],
            "5_o_Clock_Shadow": [1, 0, 1],
            "Age": [0.5, float(number), 3.0],
            "half": pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float16(), 2)),
        }
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    return ds.dataset([tmp_path / f"{number}.parquet" for number in range(2)])


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("Smiling", [1, 0, 0, 1, 0, 0]),
        ("NOT Smiling", [0, 1, 0, 0, 1, 0]),
        ('"5_o_Clock_Shadow" -- said so', [1, 0, 1, 1, 0, 1]),
        ("Age > 0.7 OR smiling", [1, 0, 1, 1, 1, 1]),
        ("Age = (select max(Age) from latents)", [0, 0, 1, 0, 0, 1]),
    ],
)
def test_conditions(cells: ds.Dataset, where: str, wanted: list[int]) -> None:
    assert np.concatenate(list(choose(cells, where, [3, 3], "--where"))).astype(int).tolist() == wanted


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("Smilin", 'column "Smilin" not found.*The columns are Smiling, 5_o_Clock_Shadow, Age$'),
        ("Age >", "syntax error"),
        ("'yes please'", "Could not convert string"),
        ("avg(Age) > 3", "gives 1 answers for 6 rows"),
        ("Age in (select 1 from read_csv('/etc/passwd'))", "disabled by configuration"),
        ("true) as boolean), true) from latents; drop view latents; select ((1", "syntax error"),
    ],
)
def test_what_is_no_condition_is_refused(cells: ds.Dataset, where: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        list(choose(cells, where, [3, 3], "--where"))
