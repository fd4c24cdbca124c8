from __future__ import annotations

import pytest
import torch

from vae_batch.errors import ModelError
from vae_batch.models import VAE, DiagonalGaussian, ModelCard, describe_model, load_model

VAE_TEXT = """
import torch
from torch import nn
from vae_batch.models import DiagonalGaussian

class Net(nn.Module):
    image_size = 16
    def __init__(self, width=4, gives="pair"):
        super().__init__()
        self.gives = gives
        self.inward = nn.Linear(3 * 16 * 16, 2 * width)
        self.outward = nn.Linear(width, 3 * 16 * 16)
    def encode(self, x):
        assert x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
        mean, logvar = self.inward(x.view(len(x), -1)).chunk(2, 1)
        return {"pair": (mean, logvar), "list": [mean, logvar], "gaussian": DiagonalGaussian(mean, logvar),
                "tensor": mean, "one": (mean,), "none": None, "dict": {"mean": mean}, "lost": mean[0],
                "uneven": (mean, logvar[:, :1]), "summed": mean.sum(0, keepdim=True)}[self.gives]
    def decode(self, z):
        return self.outward(z).sigmoid().view(-1, 3, 16, 16)

class Flat(Net):
    def decode(self, z):
        return self.outward(z)

class Signed(Net):
    def decode(self, z):
        return super().decode(z) * 0 - 1

class Other(Net):
    def decode(self, z):
        return super().decode(z)[:, :, :8]

class Mute(nn.Module):
    pass

def number():
    return 3

def fails():
    raise RuntimeError("weights.pt is not here")

settings = {}
"""


@pytest.fixture(autouse=True)
def my_vae(module_in_cwd, monkeypatch):
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path])
    module_in_cwd("my_vae", VAE_TEXT)
    yield
    sys.modules.pop("my_vae", None)


@pytest.mark.parametrize("gives", ["pair", "list", "gaussian"])
def test_every_form_of_a_posterior_is_taken(gives):
    model = load_model(f"my_vae:Net?width=6&gives={gives}").prepare("cpu", "fp32")
    assert isinstance(model, VAE)
    with torch.inference_mode():
        posterior = model.encode(torch.rand(5, 3, 16, 16).contiguous(memory_format=torch.channels_last))
        image = model.decode(posterior.mean)
    assert isinstance(posterior, DiagonalGaussian)
    assert posterior.mean.shape == posterior.logvar.shape == (5, 6)
    assert image.shape == (5, 3, 16, 16)
    assert model.card.latent_shape == (6,)
    assert (model.card.image_size, model.card.deterministic, model.card.family) == (16, False, "module")


def test_one_tensor_is_a_deterministic_autoencoder():
    model = load_model("my_vae:Net?gives=tensor")
    assert model.card.deterministic
    assert model.encode(torch.rand(2, 3, 16, 16)).variance is None


def test_reduced_precision_comes_back_as_float32():
    posterior = load_model("my_vae:Net").prepare("cpu", "bf16").encode(torch.rand(2, 3, 16, 16))
    full = load_model("my_vae:Net").prepare("cpu", "fp32").encode(torch.rand(2, 3, 16, 16))
    assert posterior.mean.dtype == posterior.logvar.dtype == full.mean.dtype == torch.float32
    assert not posterior.mean.requires_grad


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("no_such:Net", "there is no module no_such, neither in the working directory nor in the environment"),
        ("my_vae:Nett", r"my_vae has no Nett; it has Net, Flat, Signed, Other, Mute, number, fails"),
        ("my_vae:settings", "settings is a dict, not a class or function"),
        ("my_vae:Net?depth=3", "the call failed: TypeError: .*unexpected keyword argument 'depth'"),
        ("my_vae:fails", r"the call failed: RuntimeError: weights\.pt is not here"),
        ("my_vae:number", "gave a int; it has to give a torch.nn.Module"),
        ("my_vae:Mute", r"gave a Mute without a method encode\(\)"),
        ("my_vae:Net?gives=one", r"encode\(\) gave a tuple of 1: a tensor of shape \(1, 4\); it has to give a pair"),
        ("my_vae:Net?gives=none", r"encode\(\) gave None; it has to give a pair"),
        ("my_vae:Net?gives=dict", r"encode\(\) gave a dict; it has to give a pair"),
        ("my_vae:Net?gives=lost", r"encode\(\) gave a mean of shape \(4,\) for x of shape \(1, 3, 16, 16\)"),
        ("my_vae:Net?gives=uneven", r"mean of shape \(1, 4\) and a log-variance of shape \(1, 1\)"),
        ("my_vae:Net?gives=x", r"encode\(\) failed on a tensor of shape \(1, 3, 16, 16\): KeyError"),
        ("my_vae:Flat", r"decode\(\) gave a tensor of shape \(1, 768\) for z of shape \(1, 4\); it has to give"),
        ("my_vae:Signed", r"decode\(\) gave pixels from -1\.00 to -1\.00 for a black image"),
        ("my_vae:Other", r"decode\(\) gave a tensor of shape \(1, 3, 8, 16\) for the latent of an image"),
    ],
)
def test_a_broken_contract_is_said_in_one_sentence(ref, message):
    with pytest.raises(ModelError, match=message):
        describe_model(ref)


def test_a_lost_batch_axis_is_found_at_any_batch():
    with pytest.raises(ModelError, match=r"\(1, 4\) for x of shape \(3, 3, 16, 16\); it has to be \(3, \.\.\.\)"):
        load_model("my_vae:Net?gives=summed").encode(torch.rand(3, 3, 16, 16))


def test_a_missing_import_inside_is_told_from_a_missing_module(module_in_cwd):
    module_in_cwd("needs", "import not_installed_anywhere\n")
    with pytest.raises(ModelError, match="the module needs imports not_installed_anywhere, which is not here"):
        load_model("needs:Net")


def test_a_module_that_fails_to_import_says_why(module_in_cwd):
    module_in_cwd("broken", "x = (\n")
    with pytest.raises(ModelError, match="importing broken failed: SyntaxError"):
        load_model("broken:Net")


CONFIGURED = """
from my_vae import Net as Base
class Config: pass
class Net(Base):
    image_size = None
    def __init__(self, size, kind):
        super().__init__()
        if kind == "object":
            self.config = Config(); self.config.sample_size = [size, 16]
        else:
            self.config = {"image_size": size, "in_channels": 3}
"""


@pytest.mark.parametrize("kind", ["object", "dict"])
def test_the_size_is_read_from_the_config_too(module_in_cwd, kind):
    module_in_cwd("configured", CONFIGURED)
    assert describe_model(f"configured:Net?size=16&kind={kind}").image_size == 16


def test_oblong_images_are_refused(module_in_cwd):
    module_in_cwd("configured", CONFIGURED)
    with pytest.raises(ModelError, match=r"its image size is \[12, 16\]; square images are taken"):
        describe_model("configured:Net?size=12&kind=object")


class TestDigest:
    def digest(self, ref: str = "my_vae:Net?width=4") -> str:
        import sys

        sys.modules.pop("my_vae", None)
        card: ModelCard = describe_model(ref)
        return card.digest

    def test_equal_for_equal_and_drawn_weights_are_seeded(self):
        state = torch.get_rng_state()
        first = self.digest()
        torch.rand(3)
        assert self.digest() == first
        torch.set_rng_state(state)

    def test_follows_weights_arguments_and_source(self, module_in_cwd):
        digests = {self.digest(), self.digest("my_vae:Net?width=4&gives=list")}
        digests.add(self.digest("my_vae:Net?width=5"))
        module_in_cwd("my_vae", VAE_TEXT + "# another word\n")
        digests.add(self.digest())
        module_in_cwd("my_vae", VAE_TEXT.replace("sigmoid()", "sigmoid().mul(0.5)"))
        digests.add(self.digest())
        assert len(digests) == 5
