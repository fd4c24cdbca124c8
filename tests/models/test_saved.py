from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from vae_batch.errors import ModelError
from vae_batch.models import VAE, ModelCard, describe_model, load_model
from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.models.folder import CONFIG, WEIGHTS
from vae_batch.models.save import save_model

TRANSFORM = {"image_size": 32, "crop": "center"}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = ConvVAE(ConvConfig(image_size=32, latent_dim=8, width=8))
    model.start_from(torch.rand(40, 3, 32, 32))
    save_model(model, tmp_path / "model", TRANSFORM, {"training": {"steps": 3}})
    return tmp_path / "model", model


def test_a_saved_model_comes_back_bit_for_bit(saved):
    folder, model = saved
    again = load_model(str(folder))
    x, z = torch.rand(4, 3, 32, 32), torch.randn(4, 8)
    with torch.inference_mode():
        assert torch.equal(model.encode(x).mean, again.encode(x).mean)
        assert torch.equal(model.encode(x).logvar, again.encode(x).logvar)
        assert torch.equal(model.decode(z), again.decode(z))
    assert isinstance(again, VAE)


def test_the_card_says_what_the_model_is(saved):
    folder, model = saved
    card = describe_model(str(folder))
    assert card == load_model(str(folder)).card
    assert (card.family, card.image_size, card.in_channels) == ("conv", 32, 3)
    assert (card.latent_shape, card.deterministic) == ((8,), False)
    assert card.transform == TRANSFORM
    assert card.extra == {"training": {"steps": 3}}
    assert card.parameters == sum(t.numel() for t in model.state_dict().values())
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


def test_a_folder_is_described_without_torch(saved):
    code = (
        "import sys; from vae_batch.models import describe_model; describe_model(sys.argv[1]); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(saved[0])]).returncode == 0


def test_the_digest_follows_the_values_and_nothing_else(saved, tmp_path):
    folder, model = saved
    digest = describe_model(str(folder)).digest
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "metrics.jsonl").write_text("{}\n")
    assert describe_model(str(copy)).digest == digest
    save_model(model, copy, TRANSFORM, {"training": {"steps": 4}})
    assert describe_model(str(copy)).digest == digest
    save_model(model, copy, {**TRANSFORM, "crop": "other"})
    assert describe_model(str(copy)).digest != digest
    with torch.no_grad():
        model.head.bias[0] += 1e-6
    save_model(model, copy, TRANSFORM)
    assert describe_model(str(copy)).digest != digest


def test_saving_leaves_two_files_and_no_scraps(saved):
    assert sorted(p.name for p in saved[0].iterdir()) == ["config.json", "model.safetensors"]


def test_who_may_read_the_config_may_read_the_weights(saved):
    folder, _ = saved
    assert (folder / WEIGHTS).stat().st_mode == (folder / CONFIG).stat().st_mode


def test_a_family_that_is_not_known_here_is_named_whatever_else_its_config_has(saved):
    folder, _ = saved
    (folder / CONFIG).write_text('{"family": "mine"}')
    with pytest.raises(ModelError, match="names the family 'mine'; known families are conv, resnet, burgess"):
        load_model(str(folder))


def test_another_image_size_is_refused(saved):
    with pytest.raises(ModelError, match="takes images of 32×32 pixels, not 64×64"):
        describe_model(str(saved[0]), image_size=64)


@pytest.mark.parametrize("load", [describe_model, load_model])
class TestDamage:
    def test_no_config(self, saved, load):
        (saved[0] / "config.json").unlink()
        with pytest.raises(ModelError, match=r"holds no model: it has no config\.json"):
            load(str(saved[0]))

    def test_no_weights(self, saved, load):
        (saved[0] / "model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"has no weights: model\.safetensors is missing"):
            load(str(saved[0]))

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2, "family": "conv"}'])
    def test_config_that_is_none(self, saved, load, text):
        (saved[0] / "config.json").write_text(text)
        with pytest.raises(ModelError, match=r"config\.json is not a model's config"):
            load(str(saved[0]))

    def test_unknown_family(self, saved, load):
        self._edit(saved[0], family="vit")
        with pytest.raises(ModelError, match="names the family 'vit'; known families are conv"):
            load(str(saved[0]))

    @pytest.mark.parametrize("format", [1, 3])
    def test_other_format(self, saved, load, format):
        self._edit(saved[0], format=format)
        with pytest.raises(ModelError, match=f"has format {format}; this version of vae_batch reads 2"):
            load(str(saved[0]))

    @pytest.mark.parametrize("kept", [0, 5, 100, -1])
    def test_cut_weights(self, saved, load, kept):
        data = (saved[0] / "model.safetensors").read_bytes()
        (saved[0] / "model.safetensors").write_bytes(data[:kept])
        with pytest.raises(ModelError, match=r"model\.safetensors are damaged"):
            load(str(saved[0]))

    @staticmethod
    def _edit(folder, **changes):
        value = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(value | changes))


def test_weights_of_another_network_are_refused_by_name(saved):
    weights = load_file(saved[0] / "model.safetensors")
    weights["other.weight"] = weights.pop("head.weight")
    weights["head.bias"] = weights["head.bias"][:3].clone()
    save_file(weights, saved[0] / "model.safetensors")
    with pytest.raises(ModelError) as error:
        load_model(str(saved[0]))
    for part in ("head.weight is missing", "other.weight is not of this network", "head.bias is (3,)"):
        assert part in str(error.value)
