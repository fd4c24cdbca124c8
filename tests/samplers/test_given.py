from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vae_batch.errors import SpecError
from vae_batch.samplers import open_given

KINDS = [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3), pa.list_(pa.float16(), 3)]


def write(path: Path, values: Any, kind: pa.DataType = KINDS[0], column: str = "latent") -> str:
    pq.write_table(pa.table({column: pa.array(values, kind)}), path, row_group_size=4)
    return str(path)


@given(
    hnp.arrays(np.float16, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(-9, 9, width=16)),
    st.sampled_from(KINDS),
    st.integers(0, 25),
    st.integers(1, 9),
)
def test_a_latent_is_its_row(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, kind: pa.DataType, first: int, count: int
) -> None:
    sampler, _ = open_given(write(tmp_path_factory.mktemp("given") / "x.parquet", list(values), kind), "latent", 3)
    drawn = sampler.draw(first, count)
    assert sampler.total == len(values) and drawn.latents.shape == (count, 3) and drawn.latents.dtype == np.float32
    there = min(count, max(0, len(values) - first))
    assert np.array_equal(drawn.latents[:there], values[first : first + there].astype(np.float32))


def test_the_digest_is_of_the_values_alone(tmp_path: Path) -> None:
    rows = [[float(i), 1.0, 2.0] for i in range(9)]
    (tmp_path / "two").mkdir()
    write(tmp_path / "two" / "a.parquet", rows[:4], KINDS[1])
    write(tmp_path / "two" / "b.parquet", rows[4:], KINDS[2])
    one, two = open_given(write(tmp_path / "one", rows), "latent", 3), open_given(str(tmp_path / "two"), "latent", 3)
    assert one[1] == two[1] and np.array_equal(one[0].draw(0, 9).latents, two[0].draw(0, 9).latents)
    assert open_given(write(tmp_path / "other", rows[::-1]), "latent", 3)[1] != one[1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "row 5: null, and a latent of this model has 3"),
        ([1.0, 2.0], "row 5: 2 numbers, and"),
        ([], "row 5: 0 numbers"),
        ([1.0, float("nan"), 2.0], "row 5: a number is null, not finite"),
        ([1.0, None, 2.0], "row 5: a number is null, not finite"),
        ([1.0, 1e300, 2.0], "row 5: .* too large for float32"),
    ],
)
def test_a_row_that_is_no_latent_is_named(tmp_path: Path, bad: Any, message: str) -> None:
    file = write(tmp_path / "x.parquet", [*[[0.0] * 3] * 5, bad, [0.0] * 3])
    with pytest.raises(SpecError, match=f"x.parquet, column latent, {message}"):
        open_given(file, "latent", 3)


def test_a_null_of_fixed_size_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", [[0.0] * 3, None], KINDS[2])
    with pytest.raises(SpecError, match="row 1: null"):
        open_given(file, "latent", 3)


def test_what_holds_no_latents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.parquet").write_text("no Parquet")
    file, names = write(tmp_path / "x.parquet", [[0.0] * 3]), write(tmp_path / "y.parquet", ["a"], pa.string())
    empty = write(tmp_path / "e.parquet", [])
    for location, column, message in [
        (str(tmp_path / "folder"), "latent", "give a Parquet file, or a folder"),
        (str(tmp_path / "none"), "latent", "give a Parquet file, or a folder"),
        (str(tmp_path / "text.parquet"), "latent", "cannot be read as Parquet"),
        (file, "z", "has no column z: name one with --latent-column, of latent"),
        (names, "latent", "lists of floats are wanted, and these are string"),
        (empty, "latent", "has no row"),
    ]:
        with pytest.raises(SpecError, match=message):
            open_given(location, column, 3)
