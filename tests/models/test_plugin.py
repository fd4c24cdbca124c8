"""Families that other packages plug in, through real entry points of a package that is really there."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from vae_batch.errors import ModelError
from vae_batch.models import VAE, describe_model, load_model, module_sources
from vae_batch.models.reference import ModuleReference, PluginReference, absolute_reference, parse_reference

PACKAGE = """
import torch
from pathlib import Path
from dataclasses import replace
from torch import nn

class Net(nn.Module):
    image_size = 16
    def __init__(self, argument, width=4, scale=1.0):
        super().__init__()
        self.inward, self.outward, self.scale = nn.Linear(3 * 16 * 16, 2 * width), nn.Linear(width, 3 * 16 * 16), scale
        if Path(argument, "weights.pt").is_file():
            self.load_state_dict(torch.load(Path(argument, "weights.pt"), weights_only=True))
    def encode(self, x):
        return (self.scale * self.inward(x.flatten(1))).chunk(2, 1)
    def decode(self, z):
        return self.outward(z).sigmoid().view(-1, 3, 16, 16)

def whole(argument, **changes):
    from vae_batch.models.conv import ConvConfig, ConvVAE
    model = ConvVAE(ConvConfig(image_size=32, latent_dim=4, width=8))
    model.card = replace(model.card, digest=argument)
    return model

def fails(argument):
    raise OSError(f"{argument} is not to be had")

nothing = 3
"""

POINTS = """[vae_batch.models]
tiny = tinypackage:Net
whole = tinypackage:whole
fails = tinypackage:fails
nothing = tinypackage:nothing
gone = tinypackage:gone
conv = tinypackage:fails
"""


def install(site: Path, name: str, points: str, version: str = "1.0") -> None:
    info = site / f"{name}.dist-info"
    info.mkdir(exist_ok=True, parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points)
    importlib.invalidate_caches()


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    """Site-packages with a package that brings families."""
    site = tmp_path / "site-packages"
    install(site, "tiny_package", POINTS)
    (site / "tinypackage.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("tinypackage", None)


@pytest.fixture
def folder(tmp_path):
    """A folder that says by its config.json which family it is of."""
    folder = tmp_path / "saved"
    folder.mkdir()
    torch.save(load_model("tiny:")._network.state_dict(), folder / "weights.pt")
    config = {"family": "tiny", "transform": {"image_size": 16, "crop": "none"}, "extra": {"training": {"steps": 3}}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_family_is_called_with_its_argument_and_options():
    assert parse_reference("tiny:a/b:c?width=6&x=1e-3") == PluginReference("tiny", "a/b:c", {"width": 6, "x": 1e-3})
    model = load_model("tiny:?width=6").prepare("cpu", "fp32")
    assert isinstance(model, VAE)
    assert model.encode(torch.rand(3, 3, 16, 16)).mean.shape == (3, 6)
    assert (model.card.family, model.card.reference, model.card.latent_shape) == ("tiny", "tiny:?width=6", (6,))
    assert module_sources("tiny:?width=6") == {}


def test_a_folder_names_its_family(folder):
    card = describe_model(str(folder))
    assert (card.family, card.image_size) == ("tiny", 16)
    assert card.transform == {"image_size": 16, "crop": "none"}
    assert card.extra == {"training": {"steps": 3}}
    assert card.digest == describe_model(f"tiny:{folder}").digest


def test_without_an_argument_no_config_is_looked_for(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert describe_model("tiny:").transform is None


def test_the_digest_follows_what_determines_the_values(folder, site, tmp_path):
    first = describe_model(str(folder)).digest
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"extra": {"note": "other"}}))
    folder.rename(tmp_path / "elsewhere")
    ref = str(tmp_path / "elsewhere")
    assert describe_model(ref).digest == first
    digests = {first, describe_model(f"tiny:{ref}?scale=2.0").digest, describe_model("tiny:nowhere").digest}
    weights = torch.load(f"{ref}/weights.pt", weights_only=True)
    weights["inward.bias"] += 1
    torch.save(weights, f"{ref}/weights.pt")
    digests.add(describe_model(ref).digest)
    install(site, "tiny_package", POINTS, version="1.1")
    digests.add(describe_model(ref).digest)
    assert len(digests) == 5


def test_a_whole_vae_is_taken_as_it_is():
    model = load_model("whole:abc")
    assert (model.card.family, model.card.digest, model.card.reference) == ("whole", "abc", "whole:abc")
    with pytest.raises(ModelError, match="takes images of 32 pixels a side, not 64"):
        load_model("whole:abc", image_size=64)
    with pytest.raises(ModelError, match="the family whole gave a VAE whose card lacks digest"):
        load_model("whole:")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("tiny:?depth=3", "the call failed: TypeError: .*unexpected keyword argument 'depth'"),
        ("fails:hub/name", "the call failed: OSError: hub/name is not to be had"),
        ("nothing:", "the family nothing is tinypackage:nothing, which cannot be called"),
        ("gone:", "the family gone is to come from tinypackage:gone, which cannot be imported: AttributeError"),
        ("tinny:Net", "there is no module tinny, .*plugged in: conv, fails, gone, nothing, tiny, whole"),
        ("tinny:/a/b", "is not of the form .* families that are plugged in: conv, fails, gone, nothing, tiny, whole"),
    ],
)
def test_what_is_wrong_is_said_with_the_known_names(ref, message):
    with pytest.raises(ModelError, match=message):
        load_model(ref)


def test_an_unknown_family_in_a_folder_is_answered_with_the_known_ones(folder, model):
    config = json.loads((model / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"family": "tinny"}))
    with pytest.raises(ModelError, match=r"names the family 'tinny'; known families are conv, .*tiny, whole"):
        load_model(str(folder))


def test_a_plug_in_takes_no_saved_folder_of_a_built_in_family(model):
    assert load_model(str(model)).card.family == "conv"


def test_two_packages_with_one_name_are_told_apart(site):
    install(site, "other_package", "[vae_batch.models]\ntiny = otherpackage:Net\n")
    with pytest.raises(ModelError, match=r"two packages bring .*'tiny': otherpackage:Net and tinypackage:Net"):
        load_model("tiny:")


def test_a_path_in_a_reference_is_the_same_from_any_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert absolute_reference("saved") == str(folder)
    assert absolute_reference("tiny:saved?width=4") == f"tiny:{folder}?width=4"
    assert absolute_reference("tinny:saved") == "tinny:saved"
    assert parse_reference("tinny:saved") == ModuleReference("tinny", "saved")


def test_the_family_none_is_no_error_without_plug_ins(site, tmp_path):
    (site / "tiny_package.dist-info" / "entry_points.txt").unlink()
    with pytest.raises(ModelError, match=r"plugged in: none \(no package here has an entry point in vae_batch\.models"):
        load_model("tiny:Net")
