"""`vae-batch inspect`: what it says of each kind of model, and how it ends when there is none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner, Result

from tests.cli.test_commands import vae_batch
from tests.models.diffusersmaking import make
from tests.models.test_exported import SIZE, Encoder, export
from vae_batch.cli.inspect import command
from vae_batch.errors import ModelError, SpecError
from vae_batch.models import ModelCard, describe_model, timing
from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.models.save import save_model


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.0)


def run(*arguments) -> Result:
    result = CliRunner().invoke(command, [*map(str, arguments), "--device", "cpu"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_saved_model_for_a_person(tmp_path):
    network = ConvVAE(ConvConfig(image_size=32, latent_dim=8, width=8))
    extra = {"training": {"steps": 300, "rate": 12.3456789}, "latents_mean": list(range(16)), "scaling_factor": 0.18215}
    save_model(network, tmp_path, {"image_size": 32, "crop": "center", "fit": "cover", "decode": "exact"}, extra)
    lines = dict(line.split(maxsplit=1) for line in run(tmp_path).stdout.splitlines())
    assert lines["family"] == "conv"
    assert lines["digest"] == describe_model(str(tmp_path)).digest
    assert lines["parameters"] == f"{network.card.parameters:,}"
    assert lines["images"] == "32×32, RGB"
    assert lines["latent"] == "8, mean and variance"
    assert lines["transform"] == "image_size 32, crop center, fit cover, decode exact"
    assert lines["training"] == "steps 300, rate 12.3457"
    assert lines["scaling_factor"] == "0.18215"
    assert lines["latents_mean"] == "0 1 2 3 4 5 6 7 … (16)"
    assert "ms a batch of 64 at 32×32, fp32 on cpu, one thread" in lines["encode"]
    assert "images/s" in lines["decode"]


def test_as_json_it_is_the_card_and_the_timing(model):
    value = json.loads(run(model, "--json", "--batch-size", 5).stdout)
    measured = value.pop("timing")
    assert ModelCard.from_dict(value) == describe_model(str(model))
    assert (measured["device"], measured["batch_size"], measured["image_size"]) == ("cpu", 5, 32)
    for direction in ("encode", "decode"):
        speed, milliseconds = measured[f"{direction}_images_per_second"], measured[f"{direction}_ms"]
        assert speed == pytest.approx(5000 / milliseconds)


def test_an_encoder_with_one_batch_says_both(tmp_path):
    export(Encoder("tensor"), tmp_path / "net.pt2", torch.rand(4, 3, SIZE, SIZE))
    said = run(tmp_path / "net.pt2", "--trust-model-code").stdout
    for line in ("decoder     none: it encodes only", "batches     of 4 images only", "deterministic: no variance"):
        assert line in said
    assert "decode  " not in said and "a batch of 4 at 16×16" in said
    with pytest.raises(SpecError, match=r"batch_size=5: .* does not take it; the nearest that it takes is 4"):
        run(tmp_path / "net.pt2", "--trust-model-code", "--batch-size", 5)
    with pytest.raises(ModelError, match="give --trust-model-code"):
        run(tmp_path / "net.pt2")


def test_what_scales_the_latents_of_a_diffusers_model_is_said(tmp_path):
    pytest.importorskip("diffusers")
    make("AutoencoderKL", tmp_path, scaling_factor=0.13025, latents_mean=[0.5, 0.0, 0.0, 1.0], force_upcast=True)
    lines = dict(line.split(maxsplit=1) for line in run(tmp_path).stdout.splitlines())
    assert (lines["scaling_factor"], lines["latents_mean"]) == ("0.13025", "0.5 0 0 1") and "shift_factor" not in lines
    assert lines["precision"].startswith("fp32 where fp16 is asked for")


def test_a_module_for_any_size_is_timed_at_the_size_asked_for(module_in_cwd):
    module_in_cwd(
        "any_size",
        "from torch import nn\nclass Net(nn.Module):\n"
        "    def encode(self, x): return x[:, :2, ::8, ::8]\n"
        "    def decode(self, z): return z[:, [0, 1, 1]].repeat_interleave(8, 2).repeat_interleave(8, 3)\n",
    )
    assert "a batch of 64 at 64×64" in run("any_size:Net").stdout
    said = run("any_size:Net", "--image-size", 24).stdout
    assert "latent      2×3×3, deterministic" in said and "at 24×24" in said


def test_too_large_a_batch_is_said(monkeypatch, model):
    def fails(run):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(timing, "_median_seconds", fails)
    with pytest.raises(
        ModelError, match="64 images of 32×32 are too many for the memory of cpu: give a smaller --batch"
    ):
        run(model)


def test_the_number_of_threads_is_left_as_it_is(model):
    before = torch.get_num_threads()
    run(model)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 1, "vae-batch: --model 'nowhere' is no folder here"),
        (["no_such:Net"], 1, "families of models that are plugged in: none"),
        (["nowhere", "--image-size", "4"], 2, "4 is not in the range 8<=x<=4096"),
    ],
)
def test_errors_are_one_message(arguments, code, said, tmp_path):
    done = vae_batch("inspect", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_ray_is_not_needed():
    check = (
        "import sys, vae_batch.cli.inspect, vae_batch.models.timing, vae_batch.work.forward, vae_batch.testing\n"
        "print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
