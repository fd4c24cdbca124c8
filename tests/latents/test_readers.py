"""What people read the output with: a finished and a half-finished data set, by every reader, however it is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from vae_batch import read_latents


@pytest.fixture(params=["finished", "half-finished"])
def out(request: pytest.FixtureRequest, encoded: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    shutil.copytree(encoded, folder)
    if request.param == "half-finished":
        for number in (1, 4):
            (folder / "data" / f"part-{number:06d}.parquet").unlink()
        (folder / ".vae_batch" / "summary.json").unlink()
        (folder / ".vae_batch" / "tmp" / "part-000001~host~1~x.tmp").write_bytes(b"PAR1half")
    return folder


def with_duckdb(path: str) -> int:
    found = duckdb.sql(f"select mean::FLOAT[8] as mean from '{path}'").fetchnumpy()["mean"]
    return len(found)


def with_datasets(path: str, cache: Path) -> int:
    from datasets import load_dataset

    found = load_dataset("parquet", data_files=path, split="train", cache_dir=str(cache))
    return len(found.with_format("numpy")["mean"])


def with_datasets_folder(path: str, cache: Path) -> int:
    from datasets import load_dataset

    return len(load_dataset(path, split="train", cache_dir=str(cache)))


READERS: dict[str, Callable[[Path, Path], int]] = {
    "duckdb data/*.parquet": lambda o, c: with_duckdb(f"{o}/data/*.parquet"),
    "polars data/*.parquet": lambda o, c: pl.read_parquet(f"{o}/data/*.parquet")["mean"].to_numpy().shape[0],
    "polars data": lambda o, c: len(pl.scan_parquet(f"{o}/data").collect()),
    "pandas data": lambda o, c: len(pd.read_parquet(o / "data")),
    "pandas OUT": lambda o, c: len(pd.read_parquet(o)),
    "pyarrow data": lambda o, c: ds.dataset(o / "data").count_rows(),
    "pyarrow OUT": lambda o, c: ds.dataset(o).count_rows(),
    "datasets data/*.parquet": lambda o, c: with_datasets(f"{o}/data/*.parquet", c),
    "datasets data": lambda o, c: with_datasets_folder(f"{o}/data", c),
    "datasets OUT": lambda o, c: with_datasets_folder(str(o), c),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_sees_just_the_rows(out: Path, tmp_path: Path, reader: str) -> None:
    rows = sum(len(pd.read_parquet(f)) for f in (out / "data").iterdir())
    assert rows > 0
    assert READERS[reader](out, tmp_path / "cache") == rows


def test_values_agree_between_readers(encoded: Path) -> None:
    latents = read_latents(encoded)
    frame = pl.read_parquet(encoded / "data" / "*.parquet")
    assert frame["id"].to_list() == latents.ids()
    np.testing.assert_array_equal(frame["mean"].to_numpy(), latents.array("mean"))
    mean_kl = duckdb.sql(f"select avg(kl) from '{encoded}/data/*.parquet'").fetchall()
    assert mean_kl[0][0] == pytest.approx(latents.array("kl").astype(float).mean())
    shards = pd.read_parquet(encoded)["shard"].unique().tolist()
    assert shards == [f"faces-{i:06d}.tar" for i in range(6)]


def test_read_latents_is_lazy_and_ordered(encoded: Path) -> None:
    latents = read_latents(encoded)
    assert len(latents) == 240 and latents.latent_shape == (8,)
    seen = list(latents.batches(["id", "mean", "shard", "smile"], rows=10))
    assert [i for b in seen for i in b["id"]] == latents.ids()
    np.testing.assert_array_equal(np.concatenate([b["mean"] for b in seen]), latents.array("mean"))
    assert seen[0]["smile"].dtype == np.float64 and seen[0]["shard"][0] == "faces-000000.tar"
