from __future__ import annotations

import json
import math

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests.training.conftest import spec
from vae_batch.cluster.train import train
from vae_batch.errors import MismatchError, ModelError, OutputError, SourceError, SpecError
from vae_batch.faces import draw_face
from vae_batch.images import Transform
from vae_batch.models import describe_model, load_model
from vae_batch.models.arrays import to_float
from vae_batch.models.families import build_model
from vae_batch.specs import TrainSpec
from vae_batch.training import Objective, Watch, schedule
from vae_batch.training.checkpoint import read_checkpoint
from vae_batch.work.cache import open_cache


class Follow(Watch):
    """Keeps what it is told, and stops where it is asked to."""

    def __init__(self, stop_before: int | None = None) -> None:
        self.steps, self.lines, self.found, self.asked, self.stop_before = [], [], [], 0, stop_before

    def progress(self, state, steps):
        self.steps.append((state.step, steps))

    def validated(self, step, found):
        self.found.append((step, found))

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("train") / "model"
    seen = Follow()
    return train(spec(source, out), seen), seen.steps


def test_the_model_is_saved_and_loads(trained):
    result, seen = trained
    assert sorted(p.name for p in result.out.iterdir()) == [
        *("README.md", "config.json", "metrics.jsonl", "model.safetensors", "rejects.jsonl")
    ]
    card = describe_model(str(result.out))
    assert card.transform == Transform(32).to_dict()
    assert card.latent_shape == (8,)
    assert card.extra["training"]["steps"] == 45
    assert load_model(str(result.out)).decode(torch.zeros(2, 8)).shape == (2, 3, 32, 32)
    assert seen == [(20, 45), (40, 45), (45, 45)]


def test_the_images_that_cannot_be_read_are_counted(trained):
    result, _ = trained
    assert (result.images, result.rejected) == (40, 1)
    assert [(r.id, r.stage) for r in result.examples] == [("017x.jpg", "decode")]


def test_metrics_are_lines_that_agree_with_each_other(trained):
    lines = [json.loads(line) for line in (trained[0].out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40, 45]
    assert [line["images"] for line in lines] == [320, 640, 720]
    assert lines[-1]["epoch"] == 18.0
    for line in lines:
        assert line["elbo"] == pytest.approx(-(line["distortion"] + line["rate"]))
        assert line["sigma"] == pytest.approx(math.sqrt(line["mse"]))
        assert line["images_per_second"] > 0
        assert line["split"] == "train"
        assert line["distortion_bits"] == pytest.approx(line["distortion"] / 3072 / math.log(2) + 8)
    assert lines[-1]["elbo"] > lines[0]["elbo"]


def test_reconstructions_are_better_than_the_linear_start(source, trained):
    told = spec(source, "")
    x = to_float(open_cache(told, told.cache).images)
    start = build_model(spec(source, ""))
    start.start_from(x)
    model = load_model(str(trained[0].out))
    with torch.inference_mode():
        before, after = ((m.decode(m.encode(x).mean) - x).square().mean() for m in (start, model))
    assert after < 0.9 * before


def test_the_same_seed_gives_the_same_weights_and_another_does_not(source, tmp_path):
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(3)
        train(spec(source, tmp_path / name, steps=4, seed=seed))
        digests.append((tmp_path / name / "model.safetensors").read_bytes())
    assert digests[0] == digests[1] != digests[2]


def test_training_leaves_the_global_generator_alone(source, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(spec(source, tmp_path / "m", steps=1))
    assert torch.equal(torch.rand(3), expected)


def test_a_folder_that_holds_a_model_is_not_overwritten(source, trained, model):
    other = spec(source, trained[0].out, learning_rate=0.01, crop="none")
    with pytest.raises(MismatchError, match="holds a model already, of a training with other settings") as caught:
        train(other)
    assert [line.split() for line in str(caught.value).splitlines()[2:4]] == [
        ["crop", "null", '"none"'],
        ["learning_rate", "0.001", "0.01"],
    ]
    with pytest.raises(OutputError, match="holds a model already; give another --out, or delete it"):
        train(spec(source, model))


def test_a_finished_training_says_so(source, trained):
    before, watch = (trained[0].out / "model.safetensors").stat().st_mtime_ns, Follow()
    again = train(spec(source, trained[0].out, logger="tensorboard", checkpoint_seconds=1), watch)
    assert watch.lines == [f"{trained[0].out} is finished: the 45 steps of this training are done. Nothing to do."]
    assert (again.last, again.images, again.parameters) == (trained[0].last, 40, trained[0].parameters)
    assert (trained[0].out / "model.safetensors").stat().st_mtime_ns == before


def test_nothing_readable_is_an_error_with_the_reason(tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces/a.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(SourceError, match=r"no image of .* can be used: all 1 were rejected, the first, a\.jpg, since"):
        train(spec(tmp_path / "faces", tmp_path / "m", cache=None))
    assert not (tmp_path / "m").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_refused_before_anything_is_read(source, tmp_path):
    with pytest.raises(SpecError, match=r"device=cuda, but torch .* sees no CUDA device here"):
        train(spec("no/such/source", tmp_path / "m", device="cuda"))


def test_a_loss_that_is_not_finite_stops_with_step_and_cause(source, tmp_path, monkeypatch):
    real = Objective._distortion
    calls = []

    def spoiled(self, mse, entropy):
        calls.append(1)
        return real(self, mse * math.nan if len(calls) == 5 else mse, entropy)

    monkeypatch.setattr(Objective, "_distortion", spoiled)
    with pytest.raises(ModelError, match=r"step 5 of 45: distortion=nan, gradient norm=nan is not finite; the check"):
        train(spec(source, tmp_path / "m"))
    assert not (tmp_path / "m" / "config.json").exists()
    checkpoint = read_checkpoint(str(tmp_path / "m"))
    assert checkpoint.facts["step"] in (2, 4)
    assert all(tensor.isfinite().all() for tensor in checkpoint.tensors.values())


@pytest.mark.parametrize(
    ("length", "images", "steps"),
    [({"epochs": 3}, 100, 18), ({"steps": 7}, 100, 7), ({}, 5, 20), ({"epochs": 2}, 5, 2)],
)
def test_the_number_of_steps(length, images, steps):
    assert schedule.total_steps(TrainSpec(source="s", out="o", batch_size=16, **length), images) == steps


def test_fewer_images_than_a_batch_train_too(tmp_path):
    (tmp_path / "faces").mkdir()
    for i in range(3):
        Image.fromarray(draw_face(0, i, (44, 54))).save(tmp_path / f"faces/{i}.png")
    result = train(spec(tmp_path / "faces", tmp_path / "m", steps=2))
    assert result.last.images == 6


def test_without_a_folder_for_them_decoded_images_are_in_out_while_training(source, tmp_path):
    class Look(Watch):
        def progress(self, state, steps):
            self.files = sorted(p.name for p in (tmp_path / "m/.training/cache").glob("*/*"))

    watch = Look()
    train(spec(source, tmp_path / "m", steps=2, cache=None), watch)
    assert watch.files == ["cache.json", "ids.arrow", "pixels.u8", "rejects.jsonl"]
    assert not (tmp_path / "m/.training").exists()


def test_an_out_in_the_source_is_refused(source):
    with pytest.raises(OutputError, match=r"lies in the source .* give a folder outside it"):
        train(spec(source, source / "m"))


def test_the_learning_rate_rises_and_falls_to_nothing():
    factors = [schedule.learning_rate_factor(step, 1000) for step in range(1000)]
    assert 0.95 < max(factors) <= 1
    assert factors[0] < 0.1
    assert factors[-1] < 1e-4
    assert factors.index(max(factors)) == 99


def test_the_command_says_what_was_written_and_what_comes_next(source, tmp_path):
    from vae_batch.cli.train import command

    arguments = [str(source), "--out", str(tmp_path / "m"), "--image-size", "16", "--latent-dim", "4", "--steps", "3"]
    result = CliRunner().invoke(
        command, [*arguments, "--batch-size", "8", "--validation", "0.2"], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "1 image could not be read" in result.stderr
    assert "017x.jpg" in result.stderr
    lines = result.stdout.splitlines()
    assert "3 steps" in lines[-3] and "nats per image" in lines[-3]
    assert "images held out" in lines[-2] and "bits per dimension" in lines[-2] and "SSIM" in lines[-2]
    assert lines[-1] == f"Next: vae-batch encode {source} --model {tmp_path / 'm'} --out latents/"
