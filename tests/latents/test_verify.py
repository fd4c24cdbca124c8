"""Tampering: whatever is changed in a finished data set is found and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import image_bytes, spec
from vae_batch import encode
from vae_batch.errors import OutputError
from vae_batch.latents.verify import verify


@pytest.fixture(scope="module")
def rich(ray_session: None, faces: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with every column there is, and a reject in its first unit."""
    folder = tmp_path_factory.mktemp("rich")
    source = folder / "source"
    source.mkdir()
    for shard in faces.iterdir():
        (source / shard.name).symlink_to(shard)
    (source / "bad.jpg").write_bytes(image_bytes()[:200])
    encode(spec(source, model, folder / "out", diagnostics=True, sha256=True, samples=2))
    return folder / "out"


@pytest.fixture
def out(rich: Path, tmp_path: Path) -> Path:
    shutil.copytree(rich, tmp_path / "out")
    return tmp_path / "out"


def part(out: Path, number: int = 3) -> Path:
    return out / "data" / f"part-{number:06d}.parquet"


def rewrite(path: Path, table: pa.Table, **footer: str) -> None:
    """Write a part again with its old footer, but for some keys: the forger's way."""
    old = {k: v for k, v in pq.read_metadata(path).metadata.items() if k != b"ARROW:schema"}
    new = {f"vae_batch.{k}".encode(): v.encode() for k, v in footer.items()}
    pq.write_table(table.replace_schema_metadata({**old, **new}), path)


def test_an_untouched_data_set_is_right(rich: Path) -> None:
    verdict = verify(rich)
    assert verdict.ok and verdict.rows == 240 and verdict.parts == verdict.units
    few = verify(rich, fraction=0.3)
    assert few.ok and 0 < few.parts < verdict.parts


def bump(array: pa.Array) -> pa.Array:
    """Change the last value by the least that its type can tell."""
    if pa.types.is_fixed_size_list(array.type):
        return pa.FixedSizeListArray.from_arrays(bump(array.flatten()), type=array.type)
    values = array.to_pylist()
    last = values[-1]
    if isinstance(last, float):
        kind = np.float32 if pa.types.is_float32(array.type) else np.float64
        values[-1] = float(np.nextafter(kind(last), kind(9)))
    else:
        values[-1] = last + (1 if isinstance(last, int) else "x")
    return pa.array(values, type=array.type)


COLUMNS = [
    *("id", "row", "width", "height", "mean", "variance", "sample", "kl", "mse", "psnr", "sha256"),
    *("smile", "skin_tone", "glasses", "beard", "hair_colour", "hair_length"),
]


@pytest.mark.parametrize("name", COLUMNS)
def test_one_value_changed_in_any_column(out: Path, name: str) -> None:
    table = pq.read_table(part(out))
    assert set(table.schema.names) == {*COLUMNS, "shard"}
    at = table.schema.get_field_index(name)
    changed = table.set_column(at, table.schema.field(at), bump(table.column(at).combine_chunks()))
    rewrite(part(out), changed)
    findings = verify(out).findings
    assert f"{part(out).name}: the values are not those whose digest the footer has" in findings
    assert any("ids" in f for f in findings) == (name == "id")


def test_a_shard_name_changed(out: Path) -> None:
    table = pq.read_table(part(out))
    at = table.schema.get_field_index("shard")
    field = table.schema.field(at)
    changed = table.set_column(at, field, pa.array(["other"] * len(table)).dictionary_encode())
    rewrite(part(out), changed)
    assert any("the values are not those" in f for f in verify(out).findings)


def delete(out: Path) -> None:
    part(out).unlink()


def truncate(out: Path) -> None:
    data = part(out).read_bytes()
    part(out).write_bytes(data[: len(data) // 2])


def duplicate_as_stranger(out: Path) -> None:
    shutil.copy(part(out), out / "data" / "copy.parquet")


def duplicate_as_part(out: Path) -> None:
    shutil.copy(part(out), part(out, 999))


def swap(out: Path) -> None:
    other = part(out, 4)
    part(out).rename(out / "x")
    other.rename(part(out))
    (out / "x").rename(other)


def overwrite(out: Path) -> None:
    shutil.copy(part(out, 4), part(out))


def drop_a_row(out: Path) -> None:
    rewrite(part(out), pq.read_table(part(out)).slice(1))


def drop_a_column(out: Path) -> None:
    rewrite(part(out), pq.read_table(part(out)).drop_columns(["kl"]))


def flip_a_byte(out: Path) -> None:
    data = bytearray(part(out).read_bytes())
    data[len(data) // 3] ^= 0xFF
    part(out).write_bytes(data)


def rejects_gone(out: Path) -> None:
    next((out / ".vae_batch" / "rejects").iterdir()).unlink()


def rejects_changed(out: Path) -> None:
    file = next((out / ".vae_batch" / "rejects").iterdir())
    file.write_bytes(file.read_bytes().replace(b"bad.jpg", b"BAD.jpg"))


def forged_footer(out: Path) -> None:
    rewrite(part(out), pq.read_table(part(out)), skipped="5")


def footer_lost(out: Path) -> None:
    """What reading and writing with pyarrow does."""
    pq.write_table(pq.read_table(part(out)), part(out))


def summary_changed(out: Path) -> None:
    file = out / ".vae_batch" / "summary.json"
    file.write_text(file.read_text().replace('"rows": 240', '"rows": 241'))


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (delete, ["part-000003.parquet: missing"]),
        (truncate, ["part-000003.parquet: not a whole Parquet file of this package"]),
        (duplicate_as_stranger, ["data/copy.parquet: is no part of this data set"]),
        (duplicate_as_part, ["part-000999.parquet: no such unit in the plan"]),
        (swap, ["part-000003.parquet: holds unit 4", "part-000004.parquet: holds unit 3"]),
        (overwrite, ["part-000003.parquet: holds unit 4", "occurs 2 times, in part-000003.parquet and part-000004"]),
        (drop_a_row, ["part-000003.parquet: has "]),
        (drop_a_column, ["part-000003.parquet: the values are not those"]),
        (flip_a_byte, ["part-000003.parquet: "]),
        (rejects_gone, ["part-000000.parquet: rejects file 000000-"]),
        (rejects_changed, ["its content is not what its name says"]),
        (forged_footer, ["rows + 0 rejects + 5 skipped + 0 excluded is not"]),
        (footer_lost, ["part-000003.parquet: the footer has no vae_batch.unit"]),
        (summary_changed, ["summary.json says 241 rows, the parts have 240"]),
    ],
)
def test_tampering_is_found_and_named(out: Path, tamper: Callable[[Path], None], said: list[str]) -> None:
    tamper(out)
    findings = verify(out).findings
    for text in said:
        assert any(text in f for f in findings), findings


def test_a_sample_that_is_not_its_posteriors_is_found_even_under_a_fitting_digest(out: Path) -> None:
    from vae_batch.latents.digest import Digests

    table = pq.read_table(part(out))
    at = table.schema.get_field_index("sample")
    changed = table.set_column(at, table.schema.field(at), bump(table.column(at).combine_chunks()))
    digests = Digests(changed.schema)
    for batch in changed.to_batches():
        digests.update(batch)
    rewrite(part(out), changed, values_sha256=digests.values_sha256())
    assert verify(out).findings == [f"{part(out).name}: sample is not mean + sqrt(variance)·noise in some rows"]


def test_an_edited_job_file_or_plan_is_refused(out: Path, tmp_path: Path) -> None:
    job = out / ".vae_batch" / "job.json"
    text = job.read_text()
    job.write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(OutputError, match="was changed: its fields do not give its fingerprint"):
        verify(out)
    job.write_text(text)
    next((out / ".vae_batch").glob("plan-*.arrow")).write_bytes(b"")
    with pytest.raises(OutputError, match=r"plan-\w+\.arrow is not the plan that the job file names"):
        verify(out)
    with pytest.raises(OutputError, match=r"is no output of vae_batch: it has no \.vae_batch/job\.json"):
        verify(tmp_path)
