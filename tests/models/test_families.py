"""What holds for every built-in architecture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import vae_batch
from tests.cluster.inline import replicas_here
from tests.conftest import spec
from vae_batch.errors import ModelError
from vae_batch.faces import draw_face
from vae_batch.images import Transform
from vae_batch.latents.read import read_latents
from vae_batch.models import VAE, describe_model, load_model
from vae_batch.models.families import FAMILIES, build_model, network_config
from vae_batch.models.network import TrainableVAE
from vae_batch.models.save import save_model
from vae_batch.specs import TrainSpec

SETTINGS = {
    "conv": {"architecture": "conv", "image_size": 32, "latent_dim": 6, "width": 8},
    "resnet": {"architecture": "resnet", "latent_dim": 6, "width": 8},
    "resnet map": {"architecture": "resnet", "latent_dim": 3, "latent_grid": 8, "width": 8},
    "burgess": {"architecture": "burgess", "latent_dim": 10},
}


def built(name: str) -> TrainableVAE:
    """A network as if trained: every path contributes."""
    torch.manual_seed(1)
    model = build_model(TrainSpec(source="a", out="b", **SETTINGS[name]))
    model.start_from(images_for(model, 9))
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def images_for(model: TrainableVAE, count: int) -> Tensor:
    size = model.config.image_size
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=SETTINGS)
def model(request: pytest.FixtureRequest) -> TrainableVAE:
    return built(request.param)


def test_the_registry_has_what_the_spec_offers() -> None:
    assert tuple(FAMILIES) == get_args(TrainSpec.model_fields["architecture"].annotation)
    for name, load in FAMILIES.items():
        assert build_model(TrainSpec(source="a", out="b", architecture=name)).family == name
        assert {"image_size", "latent_dim", "in_channels"} <= set(load().settings())


def test_shapes_types_and_ranges(model: TrainableVAE) -> None:
    x = images_for(model, 2)
    with torch.inference_mode():
        posterior = model.encode(x)
        z = 3 * torch.randn(2, *model.config.latent_shape)
        image, expected = model.decode(z), model.expected(z)
    assert posterior.mean.shape == posterior.logvar.shape == z.shape
    assert posterior.mean.dtype == posterior.logvar.dtype == image.dtype == expected.dtype == torch.float32
    assert posterior.logvar.min() >= -14 and posterior.logvar.max() <= 6
    assert image.shape == x.shape
    assert torch.equal(image, expected.clamp(0, 1))
    assert isinstance(model, VAE)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_at_a_fixed_shape_an_image_has_the_same_bits_wherever_it_lies(model: TrainableVAE, precision: str) -> None:
    torch.set_num_threads(1)
    model.prepare("cpu", precision)
    x, order = images_for(model, 8), torch.tensor([5, 2, 7, 0, 3, 1, 6, 4])
    with torch.inference_mode():
        plain, permuted = model.encode(x), model.encode(x[order])
        padded = model.encode(torch.cat([x[:3], torch.zeros_like(x[3:])]))
        strided = model.encode(x.contiguous(memory_format=torch.channels_last))
        decoded, back = model.decode(plain.mean), model.decode(plain.mean[order])
    assert torch.equal(decoded[order], back)
    for part in ("mean", "logvar"):
        values = getattr(plain, part)
        assert values.dtype == torch.float32 and values.isfinite().all()
        assert torch.equal(values[order], getattr(permuted, part))
        assert torch.equal(values[:3], getattr(padded, part)[:3])
        assert torch.equal(values, getattr(strided, part))


@pytest.mark.parametrize("name", SETTINGS)
def test_the_head_stays_in_full_precision(name: str) -> None:
    """Under bf16 the features are rounded, the head's arithmetic is not: its outputs are no bf16 numbers."""
    x = images_for(built(name), 4)
    with torch.inference_mode():
        full = built(name).prepare("cpu", "fp32").encode(x)
        half = built(name).prepare("cpu", "bf16").encode(x)
    for part in ("mean", "logvar"):
        a, b = getattr(full, part), getattr(half, part)
        assert not torch.equal(a, b)
        assert (a - b).abs().max() < 0.05 * a.abs().max()
        assert not torch.equal(b, b.bfloat16().float())


def test_autocast_leaves_the_head_alone(model: TrainableVAE) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        posterior = model.encode(images_for(model, 2))
        image = model.expected(posterior.mean)
    assert posterior.mean.dtype == posterior.logvar.dtype == image.dtype == torch.float32
    assert not torch.equal(posterior.mean, posterior.mean.bfloat16().float())


def test_a_saved_model_comes_back_and_saves_to_the_same_bytes(model: TrainableVAE, tmp_path: Path) -> None:
    save_model(model, tmp_path / "a", {"image_size": 64}, {"training": {}})
    again = load_model(str(tmp_path / "a"))
    x = images_for(model, 3)
    with torch.inference_mode():
        z = model.encode(x).mean
        assert torch.equal(z, again.encode(x).mean)
        assert torch.equal(model.decode(z), again.decode(z))
    save_model(again, tmp_path / "b", {"image_size": 64}, {"training": {}})
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_is_described_without_torch(model: TrainableVAE, tmp_path: Path) -> None:
    save_model(model, tmp_path)
    code = (
        "import sys, json; from vae_batch.models import describe_model; card = describe_model(sys.argv[1]); "
        "print(json.dumps(card.to_dict())); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=True)
    card = describe_model(str(tmp_path))
    assert json.loads(done.stdout) == card.to_dict()
    assert card == load_model(str(tmp_path)).card
    made = model.card
    for field in ("family", "image_size", "in_channels", "latent_shape", "parameters", "deterministic"):
        assert getattr(card, field) == getattr(made, field)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_few_steps_lower_the_loss(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(TrainSpec(source="a", out="b", **SETTINGS[name]))
    size = model.config.image_size
    drawn = [torch.from_numpy(draw_face(0, i, (size, size))) for i in range(16)]
    x = torch.stack(drawn).permute(0, 3, 1, 2).float() / 255
    optimizer, losses = torch.optim.Adam(model.parameters(), 2e-3), []
    for _ in range(60 if name == "burgess" else 12):  # its logits start at nothing, and it is quick
        posterior = model.encode(x)
        z = posterior.sample(torch.randn_like(posterior.mean))
        losses.append(loss(model, x, z) + posterior.kl().mean() / x[0].numel())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert losses[-1] < 0.95 * losses[0]


def loss(model: TrainableVAE, x: Tensor, z: Tensor) -> Tensor:
    logits = getattr(model, "logits", None)
    return F.binary_cross_entropy_with_logits(logits(z), x) if logits else (model.expected(z) - x).square().mean()


def test_what_an_architecture_does_not_have_is_refused_with_those_that_do() -> None:
    with pytest.raises(ModelError, match=r"^latent_grid=8: the conv network has no latent_grid .* that has: resnet$"):
        build_model(TrainSpec(source="a", out="b", latent_grid=8))
    with pytest.raises(ModelError, match=r"^width=16: the burgess network has no width .* that has: conv, resnet$"):
        network_config(TrainSpec(source="a", out="b", architecture="burgess", width=16))


def test_a_config_of_another_network_is_refused(tmp_path: Path) -> None:
    save_model(built("burgess"), tmp_path)
    value = json.loads((tmp_path / "config.json").read_text())
    value["config"]["width"] = 8
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(ModelError, match=r"the key config is not that of a burgess network: .*width"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("name", ["resnet map", "burgess"])
def test_a_collection_is_encoded_end_to_end(
    name: str, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas_here(monkeypatch)
    network = built(name)
    save_model(network, tmp_path / "model", Transform(64).to_dict())
    summary = vae_batch.encode(spec(faces, tmp_path / "model", tmp_path / "out", units="0:2", diagnostics=True))
    assert summary.rows == summary.seen == 40
    latents = read_latents(tmp_path / "out")
    assert latents.latent_shape == network.config.latent_shape
    mean, kl, mse = (torch.from_numpy(latents.array(column).copy()) for column in ("mean", "kl", "mse"))
    assert mean.shape == (40, *network.config.latent_shape)
    assert mean.isfinite().all() and kl.isfinite().all() and (mse > 0).all()
    variance = torch.from_numpy(latents.array("variance").copy())
    by_hand = 0.5 * (mean.square() + variance - 1 - variance.log()).flatten(1).sum(1)
    torch.testing.assert_close(kl, by_hand, rtol=1e-4, atol=1e-3)
