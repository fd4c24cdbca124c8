"""The main job on real Ray: what it writes, and that it writes it exactly once."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vae_batch
from tests.conftest import FACES, image_bytes, snapshot, spec
from vae_batch.cluster.report import Progress
from vae_batch.errors import (
    MismatchError,
    NoResourcesError,
    OutputError,
    SourceError,
    SpecError,
    TooManyRejectsError,
)
from vae_batch.latents.footer import read_footer
from vae_batch.latents.part import read_rejects
from vae_batch.noise import noise


class Lines:
    """A report that keeps everything."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.states: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, state: Progress) -> None:
        self.states.append(state.line())

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def test_every_column_is_as_the_design_says(encoded: Path) -> None:
    table = pq.read_table(encoded / "data")
    vector = pa.list_(pa.field("element", pa.float32()), 8)
    assert [(f.name, f.type) for f in table.schema] == [
        ("id", pa.string()),
        ("shard", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("mean", vector),
        ("variance", vector),
        ("sample", vector),
        ("kl", pa.float32()),
        *((name, pa.float64()) for name in ("smile", "skin_tone", "glasses", "beard", "hair_colour", "hair_length")),
    ]
    assert json.loads(table.schema.field("mean").metadata[b"shape"]) == [8]
    assert table.num_rows == FACES
    first = table.slice(0, 1).to_pylist()[0]
    assert (first["id"], first["shard"], first["row"]) == ("faces-000000.tar/000000000.jpg", "faces-000000.tar", 0)
    assert (first["width"], first["height"]) == (89, 109)


def test_rows_come_in_the_order_of_the_source_with_their_labels(encoded: Path, faces: Path) -> None:
    table = pq.read_table(encoded / "data")
    ids, smiles = [], []
    for shard in sorted(faces.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    ids.append(f"{shard.name}/{member.name}")
                else:
                    file = tar.extractfile(member)
                    assert file is not None
                    smiles.append(json.load(file)["smile"])
    assert table["id"].to_pylist() == ids
    assert table["smile"].to_pylist() == smiles


def test_values_are_those_of_the_model(encoded: Path, faces: Path, model: Path) -> None:
    """Mean, variance, KL and sample again by hand, from the first image on."""
    import torch

    from vae_batch.images import Transform, load_image

    with tarfile.open(faces / "faces-000000.tar") as tar:
        images = [tar.extractfile(m).read() for m in tar if m.name.endswith(".jpg")]  # type: ignore[union-attr]
    pixels = np.zeros((16, 32, 32, 3), np.uint8)
    for slot, data in zip(pixels, images, strict=False):
        load_image(data, Transform(32), slot)
    torch_model = vae_batch.load_model(str(model))
    with torch.inference_mode():
        posterior = torch_model.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    table = pq.read_table(encoded / "data").slice(0, 16)
    columns = {name: np.array(table[name].to_pylist()) for name in ("mean", "variance", "sample", "kl")}
    np.testing.assert_allclose(columns["mean"], posterior.mean.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(columns["variance"], posterior.logvar.exp().numpy(), rtol=1e-5)
    mean, variance = columns["mean"], columns["variance"]
    np.testing.assert_allclose(
        columns["kl"], 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(1), rtol=1e-4, atol=1e-5
    )
    eps = noise(0, table["id"].to_pylist(), 8)[:, 0]
    stored = mean.astype(np.float32), variance.astype(np.float32)
    np.testing.assert_array_equal(columns["sample"].astype(np.float32), stored[0] + np.sqrt(stored[1]) * eps)


@pytest.mark.parametrize("replicas", [1, 3])
def test_the_number_of_replicas_changes_no_byte(
    encoded: Path, faces: Path, model: Path, tmp_path: Path, replicas: int
) -> None:
    vae_batch.encode(spec(faces, model, tmp_path / "out", replicas=replicas if replicas == 1 else 2))
    assert snapshot(tmp_path / "out") == snapshot(encoded)


def test_units_are_done_in_slices_and_the_rest_goes_on(encoded: Path, faces: Path, model: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out", Lines()
    part = vae_batch.encode(spec(faces, model, out, units="1:3"), report)
    assert not part.complete and part.units == 2
    assert sorted(p.name for p in (out / "data").iterdir()) == ["part-000001.parquet", "part-000002.parquet"]
    assert "run without --units to do the rest" in report.text
    assert vae_batch.status(out).state == "stopped"
    whole = vae_batch.encode(spec(faces, model, out), report)
    assert whole.complete and whole.rows == FACES
    assert f"Going on: 2 of {whole.units} units are done" in report.text
    assert snapshot(out) == snapshot(encoded)


def test_units_beyond_the_plan_are_refused(faces: Path, model: Path, tmp_path: Path, ray_session: None) -> None:
    with pytest.raises(SpecError, match=r"units='90:' leaves nothing: the plan has the units 0 to \d+"):
        vae_batch.encode(spec(faces, model, tmp_path / "out", units="90:"))


def test_a_finished_job_does_nothing(encoded: Path, faces: Path, model: Path) -> None:
    before, report = snapshot(encoded), Lines()
    written = (encoded / ".vae_batch" / "summary.json").stat().st_mtime_ns
    summary = vae_batch.encode(spec(faces, model, encoded), report)
    assert summary.rows == FACES
    assert "Already done: 240 rows, 0 rejects" in report.text and "Ray" not in report.text
    assert snapshot(encoded) == before
    assert (encoded / ".vae_batch" / "summary.json").stat().st_mtime_ns == written


def test_a_lost_part_is_made_again_as_it_was(encoded: Path, faces: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    vae_batch.encode(spec(faces, model, out))
    (out / "data" / "part-000002.parquet").unlink()
    vae_batch.encode(spec(faces, model, out))
    assert snapshot(out) == snapshot(encoded)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, r"seed +0 +1"),
        ({"precision": "bf16"}, r"precision +fp32 +bf16"),
        ({"samples": 2}, r"samples +1 +2"),
        ({"unit_size": 26}, r"unit_size +25 +26"),
        ({"diagnostics": True}, r"diagnostics +false +true"),
        ({"columns": "smile:float64"}, r"labels +\["),
    ],
)
def test_another_job_is_refused_with_the_fields_side_by_side(
    encoded: Path, faces: Path, model: Path, change: dict[str, object], said: str
) -> None:
    with pytest.raises(MismatchError, match=said) as caught:
        vae_batch.encode(spec(faces, model, encoded, **change))
    assert "give another --out" in str(caught.value)


def test_another_source_or_model_is_refused(encoded: Path, faces: Path, model: Path, tmp_path: Path) -> None:
    grown = tmp_path / "grown"
    grown.mkdir()
    for shard in faces.iterdir():
        (grown / shard.name).symlink_to(shard)
    (grown / "more.jpg").write_bytes(image_bytes())
    with pytest.raises(MismatchError, match=r"is not what it was when OUT was begun:\n  new      1: more.jpg"):
        vae_batch.encode(spec(grown, model, encoded))


def test_a_folder_that_is_no_output_is_refused(faces: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match=r"is not empty and has no \.vae_batch/job\.json"):
        vae_batch.encode(spec(faces, model, tmp_path))
    with pytest.raises(OutputError, match="is a file"):
        vae_batch.encode(spec(faces, model, tmp_path / "thesis.txt"))


def test_out_inside_the_source_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(image_bytes())
    with pytest.raises(OutputError, match="lies in the source"):
        vae_batch.encode(spec(tmp_path, model, tmp_path / "out"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]


def test_out_left_before_its_job_file_is_used(encoded: Path, faces: Path, model: Path, tmp_path: Path) -> None:
    """The driver may die between making the folders and writing the job file."""
    (tmp_path / "out" / "data").mkdir(parents=True)
    (tmp_path / "out" / ".vae_batch").mkdir()
    (tmp_path / "out" / ".vae_batch" / "plan-0123456789abcdef.arrow").write_bytes(b"half")
    vae_batch.encode(spec(faces, model, tmp_path / "out"))
    assert snapshot(tmp_path / "out") == snapshot(encoded)


def test_samples_storage_diagnostics_and_digests(ray_session: None, faces: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    vae_batch.encode(spec(faces, model, out, samples=3, store="float16", diagnostics=True, sha256=True, seed=9))
    table = pq.read_table(out / "data")
    half = pa.list_(pa.field("element", pa.float16()), 8)
    assert table.schema.field("mean").type == half
    assert table.schema.field("sample").type == pa.list_(pa.field("element", half), 3)
    assert table.schema.field("variance").type == pa.list_(pa.field("element", pa.float32()), 8)
    mse, psnr = (table[n].to_numpy() for n in ("mse", "psnr"))
    assert (mse > 0).all() and np.allclose(psnr, -10 * np.log10(mse), atol=1e-4)
    with tarfile.open(faces / "faces-000000.tar") as tar:
        data = tar.extractfile("000000000.jpg").read()  # type: ignore[union-attr]
    import hashlib

    assert table["sha256"][0].as_py() == hashlib.sha256(data).hexdigest()
    latents = vae_batch.read_latents(out)
    assert latents.array("sample").shape == (FACES, 3, 8)
    assert vae_batch.verify(out).ok


def test_no_samples(ray_session: None, faces: Path, model: Path, tmp_path: Path) -> None:
    vae_batch.encode(spec(faces, model, tmp_path / "out", samples=0, units="0:1"))
    assert "sample" not in pq.read_schema(tmp_path / "out" / "data" / "part-000000.parquet").names


def bad_folder(folder: Path) -> Path:
    """Six images, of which three are bad, and files that are no images."""
    folder.mkdir()
    for i in range(3):
        (folder / f"good{i}.jpg").write_bytes(image_bytes(i))
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "html.png").write_bytes(b"<html>quota exceeded</html>")
    (folder / "cut.jpg").write_bytes(image_bytes(5)[:300])
    (folder / "notes.txt").write_text("no image")
    (folder / "good1.json").write_text('{"age": 30, "name": "Ada"}')
    return folder


def test_rejects_are_kept_with_their_reasons_and_the_rest_goes_on(
    ray_session: None, model: Path, tmp_path: Path
) -> None:
    source, out = bad_folder(tmp_path / "source"), tmp_path / "out"
    with pytest.raises(TooManyRejectsError, match=r"3 of 6 images are rejects \(50.0%, allowed 1.0%\)") as caught:
        vae_batch.encode(spec(source, model, out))
    assert caught.value.exit_code == 3
    footer = read_footer(out / "data" / "part-000000.parquet")
    assert (footer.seen, footer.rows, footer.rejects, footer.skipped) == (7, 3, 3, 1)
    rejects = read_rejects(out / ".vae_batch" / "rejects" / footer.rejects_file).to_pylist()
    assert [(r["id"], r["stage"]) for r in rejects] == [
        ("cut.jpg", "decode"),
        ("empty.jpg", "decode"),
        ("html.png", "decode"),
    ]
    assert all(r["message"] and r["sha256"] for r in rejects)
    table = pq.read_table(out / "data")
    assert table["id"].to_pylist() == ["good0.jpg", "good1.jpg", "good2.jpg"]
    assert table["age"].to_pylist() == [None, 30.0, None]
    assert vae_batch.verify(out).ok
    report = Lines()
    vae_batch.encode(spec(source, model, out, max_reject_rate=0.5), report)
    assert "Already done" in report.text


def test_mostly_rejects_stop_early_with_examples(ray_session: None, model: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for i in range(100):
        (source / f"{i:03}.jpg").write_bytes(b"rubbish")
    with pytest.raises(vae_batch.VaeBatchError, match="stopped early") as caught:
        vae_batch.encode(spec(source, model, tmp_path / "out", unit_size=10))
    assert str(caught.value).count("UnidentifiedImageError") == 3 and caught.value.exit_code == 1
    vae_batch.encode(spec(source, model, tmp_path / "out", unit_size=10, max_reject_rate=1.0))
    assert vae_batch.status(tmp_path / "out").rejects == 100


def test_a_damaged_tar_is_noticed_and_its_neighbours_are_rows(ray_session: None, model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for i in range(6):
            data = image_bytes(i)
            info = tarfile.TarInfo(f"{i}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = bytearray(sink.getvalue())
    at = data.index(b"2.jpg\0")
    data[at : at + 512] = b"\xff" * 512
    (source / "a.tar").write_bytes(data)
    (source / "b.tar").write_bytes(sink.getvalue()[:4000])
    with pytest.raises(TooManyRejectsError):
        vae_batch.encode(spec(source, model, out))
    summary = vae_batch.status(out)
    assert summary.seen == summary.rows + summary.rejects + summary.skipped
    ids = pq.read_table(out / "data")["id"].to_pylist()
    assert [i for i in ids if i.startswith("a.tar")] == [f"a.tar/{i}.jpg" for i in (0, 1, 3, 4, 5)]
    assert summary.rejects >= 2


MODULE = """
import torch

class Net(torch.nn.Module):
    image_size = 16

    def __init__(self, dims=4, kind="pair"):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(3 * 16 * 16, 2 * dims)
        self.kind = kind

    def encode(self, x):
        mean, logvar = self.linear(x.flatten(1)).chunk(2, 1)
        if self.kind == "tensor":
            return mean
        if self.kind == "overflow":
            mean = mean + torch.where(x.mean((1, 2, 3)) > 0.5, torch.tensor(torch.nan), torch.tensor(0.0))[:, None]
        return mean, logvar

    def decode(self, z):
        return torch.sigmoid(z.mean(1))[:, None, None, None].expand(-1, 3, 16, 16)
"""


def test_a_module_of_the_users_from_the_working_directory(
    ray_session: None, faces: Path, tmp_path: Path, module_in_cwd: Callable[[str, str], None]
) -> None:
    module_in_cwd("net_pair", MODULE)
    out = tmp_path / "out"
    vae_batch.encode(spec(faces, "net_pair:Net?dims=6", out, units="0:2"))
    assert vae_batch.read_latents(out).array("mean").shape[1] == 6
    with pytest.raises(MismatchError, match="model"):
        vae_batch.encode(spec(faces, "net_pair:Net?dims=6&kind=x", out))


def test_a_deterministic_autoencoder_has_no_variance(
    ray_session: None, faces: Path, tmp_path: Path, module_in_cwd: Callable[[str, str], None]
) -> None:
    module_in_cwd("net_tensor", MODULE)
    out = tmp_path / "out"
    vae_batch.encode(spec(faces, "net_tensor:Net?kind=tensor", out, samples=2))
    table = pq.read_table(out / "data")
    assert table["variance"].null_count == table["kl"].null_count == FACES
    latents = vae_batch.read_latents(out)
    np.testing.assert_array_equal(latents.array("sample")[:, 1], latents.array("mean"))
    assert vae_batch.verify(out).ok


def test_values_that_are_not_finite_are_never_rows(
    ray_session: None, faces: Path, tmp_path: Path, module_in_cwd: Callable[[str, str], None]
) -> None:
    module_in_cwd("net_overflow", MODULE)
    out = tmp_path / "out"
    vae_batch.encode(spec(faces, "net_overflow:Net?kind=overflow", out, max_reject_rate=1))
    now = vae_batch.status(out)
    assert now.rows + now.rejects == FACES and 0 < now.rejects < FACES
    assert vae_batch.verify(out).ok
    footer = read_footer(sorted((out / "data").iterdir())[0])
    reasons = read_rejects(out / ".vae_batch" / "rejects" / footer.rejects_file)
    assert set(reasons["stage"].to_pylist()) == {"encode"} and set(reasons["error"].to_pylist()) == {"NonFinite"}


def test_more_than_the_machine_has_is_refused_with_numbers(
    ray_session: None, faces: Path, model: Path, tmp_path: Path
) -> None:
    from vae_batch.cluster.connect import Cluster
    from vae_batch.cluster.resources import choose

    private = Cluster("here", True, ({"CPU": 2.0},))
    with pytest.raises(NoResourcesError, match="one replica asks for 1 CPUs and 1 GPUs, and this machine has 2 CPUs"):
        choose(private, "auto", 1, None)
    assert choose(private, "auto", None, None)[0] == 2
    eight = Cluster("there", False, ({"CPU": 64.0, "GPU": 8.0}, {"CPU": 16.0}))
    size, resources = choose(eight, "auto", None, None)
    assert (size, resources.gpus, resources.cpus) == (8, 1.0, 8)


def test_progress_says_what_it_should(ray_session: None, faces: Path, model: Path, tmp_path: Path) -> None:
    report = Lines()
    vae_batch.encode(spec(faces, model, tmp_path / "out"), report)
    assert f"{FACES} of {FACES} images" in report.states[-1]
    assert "rejects" in report.states[-1] and "of 2 replicas" in report.states[-1]
    assert "bounds this job" in report.text
    summary = json.loads((tmp_path / "out" / ".vae_batch" / "summary.json").read_text())
    assert set(summary["run"]["stage_seconds"]) == {"decode", "device", "publish", "read", "wait", "write"}


def test_a_model_that_does_not_say_its_image_size_takes_64_and_the_user_is_told(
    ray_session: None, faces: Path, tmp_path: Path, module_in_cwd: Callable[[str, str], None]
) -> None:
    module_in_cwd("net_any_size", ANY_SIZE)
    report, out = Lines(), tmp_path / "out"
    vae_batch.encode(spec(faces, "net_any_size:Net", out, units="0:1", replicas=1), report)
    said = "Image size: 64 pixels, since neither --image-size nor the model (image_size, sample_size) says."
    assert said in report.lines
    assert pq.read_table(out / "data")["mean"].to_pylist()[0] == [64.0, 64.0]
    report = Lines()
    vae_batch.encode(spec(faces, "net_any_size:Net", tmp_path / "b", units="0:1", replicas=1, image_size=32), report)
    assert said not in report.lines
    assert pq.read_table(tmp_path / "b" / "data")["mean"].to_pylist()[0] == [32.0, 32.0]


ANY_SIZE = """
import torch

class Net(torch.nn.Module):
    def encode(self, x):
        return torch.tensor([[float(s) for s in x.shape[2:]]] * len(x))
    def decode(self, z):
        return torch.zeros(len(z), 3, *z[0].int().tolist())
"""


def test_a_folder_without_any_image_is_an_error(ray_session: None, model: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "notes.txt").write_text("no image")
    (source / "table.csv").write_text("a,b")
    for _ in range(2):
        with pytest.raises(SourceError, match=r"none of the 2 files in .* is an image"):
            vae_batch.encode(spec(source, model, tmp_path / "out", replicas=1))


def test_large_units_of_rejects_stop_early_too(ray_session: None, model: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for i in range(4500):
        (source / f"{i:04}.jpg").write_bytes(b"rubbish")
    with pytest.raises(vae_batch.VaeBatchError, match="stopped early"):
        vae_batch.encode(spec(source, model, tmp_path / "out", unit_size=2100, replicas=1))
