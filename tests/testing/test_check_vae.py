"""`check_vae` passes models that keep the contract, and names what is wrong with those that do not."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace

import pytest
import torch
from torch import nn

import vae_batch.testing
from tests.models.test_exported import DIMS, SIZE, Decoder, Encoder, export
from vae_batch.models import DiagonalGaussian, load_model
from vae_batch.testing import check_vae


class Good(nn.Module):
    image_size, in_channels = 16, 3

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inward = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.SiLU(), nn.Flatten(), nn.Dropout())
        self.head, self.outward = nn.Linear(128, 8), nn.Linear(4, 3 * 16 * 16)

    def encode(self, x):
        return self.head(self.inward(x)).chunk(2, 1)

    def decode(self, z):
        return self.outward(z).sigmoid().view(-1, 3, 16, 16)


class Deterministic(Good):
    def encode(self, x):
        return super().encode(x)[0]


class TrainsForEver(Good):
    def train(self, mode=True):
        return super().train(True)


class BatchNormAlwaysTrains(Good):
    def train(self, mode=True):
        super().train(mode)
        self.inward[1].train()
        return self


class GivesADraw(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean + (0.5 * logvar).exp() * torch.randn_like(mean), logvar


class GivesASeededDraw(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
        return mean + (0.5 * logvar).exp() * eps, logvar


class Counts(Good):
    calls = 0

    def encode(self, x):
        self.calls += 1
        mean, logvar = super().encode(x)
        return mean + 1e-3 * self.calls, logvar


class DrawsPixels(Good):
    def decode(self, z):
        return (super().decode(z) + 0.01 * torch.randn(len(z), 3, 16, 16)).clamp(0, 1)


class SpreadsOverTheBatch(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean - mean.mean(0), logvar


class LooksAtTheFirst(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean, logvar + x[0].mean()


class OneBatchOnly(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean.repeat(8, 1)[:8] if len(x) > 1 else mean, logvar.repeat(8, 1)[:8] if len(x) > 1 else logvar


class Uneven(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean, logvar[:, :1]


class SumsTheBatch(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean.sum(0, keepdim=True), logvar.sum(0, keepdim=True)


class LatentGrowsWithTheBatch(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean[:, : 2 + (len(x) > 1)], logvar[:, : 2 + (len(x) > 1)]

    def decode(self, z):
        return super().decode(torch.cat([z, z], 1)[:, :4])


class Signed(Good):
    def decode(self, z):
        return self.outward(z).tanh().view(-1, 3, 16, 16)


class Unclamped(Good):
    def decode(self, z):
        return 0.5 + self.outward(z).view(-1, 3, 16, 16)


class OtherImage(Good):
    def decode(self, z):
        return super().decode(z)[:, :, :8]


class LogOfZero(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean, logvar + (1 - x.mean((1, 2, 3))).log()[:, None]


class HugeVariance(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean, logvar + 100 * x.mean((1, 2, 3))[:, None]


class ChangesItsInput(Good):
    def encode(self, x):
        return super().encode(x.mul_(2).sub_(1))


class ChangesItsLatent(Good):
    def decode(self, z):
        return super().decode(z.mul_(0.5))


class PlainTensor(Good):
    def __init__(self) -> None:
        super().__init__()
        self.inward[0].scale = torch.tensor(2.0)


class Stubborn(Good):
    def load_state_dict(self, state, **options):
        return super().load_state_dict({k: 2 * v if k == "head.bias" else v for k, v in state.items()}, **options)


class Unloadable(Good):
    def state_dict(self, *args, **options):
        state = super().state_dict(*args, **options)
        return {k: v for k, v in state.items() if k != "head.bias"}


class OverflowsInBf16(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean if mean.dtype == torch.float32 else mean / 0, logvar


class GivesTheVariance(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return mean, logvar.exp()


class Collapsed(Good):
    def encode(self, x):
        mean, logvar = super().encode(x)
        return 0 * mean, 0 * logvar


@pytest.mark.parametrize("network", [Good, Deterministic])
def test_a_good_module_passes(network):
    report = check_vae(network())
    assert len(report.checks) == 11
    assert report.notes == ()
    assert "latents of 4\nok    posteriors of shape (8, 4), float32, finite for black" in str(report)


def test_the_module_itself_is_left_as_it_is():
    module = Good().train()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    check_vae(module)
    assert module.training and all(p.requires_grad for p in module.parameters())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_the_built_in_model_passes(model):
    assert check_vae(str(model)).card.family == "conv"


def test_exported_programs_pass_with_a_fixed_batch_too(tmp_path):
    export(Encoder(), tmp_path / "encoder.pt2", torch.rand(6, 3, SIZE, SIZE))
    export(Decoder(), tmp_path / "decoder.pt2", torch.rand(6, DIMS))
    assert "batches of 6 images" in check_vae(str(tmp_path), trust_model_code=True).checks
    with pytest.raises(AssertionError, match="if you trust where it comes from"):
        check_vae(str(tmp_path))
    (tmp_path / "decoder.pt2").unlink()
    assert "no decoder: nothing to decode" in check_vae(str(tmp_path), trust_model_code=True).checks


def test_the_template_in_the_docstring_passes(module_in_cwd):
    blocks = re.findall(r"(?m)^((?:    .*\n|\n)+)", vae_batch.testing.__doc__)
    code = [textwrap.dedent(block).strip() for block in blocks if block.strip()]
    template, test = code
    assert template.startswith("# my_vae.py") and len([line for line in template.splitlines() if line]) <= 21
    module_in_cwd("my_vae", template)
    names: dict = {}
    exec(test, names)
    assert load_model("my_vae:MyVAE?latent_dim=16").card.latent_shape == (16,)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (TrainsForEver, "Expected more than 1|encoded twice, have other posteriors"),
        (BatchNormAlwaysTrains, r"depends on the others in its batch \(by .*batch normalisation in training mode"),
        (GivesADraw, "encoded twice, have other posteriors: give the mean, not a draw"),
        (GivesASeededDraw, "depends on its place in the batch .* noise by position"),
        (Counts, "encoded twice, have other posteriors: .* no state that changes"),
        (DrawsPixels, "decoded twice, give other images"),
        (SpreadsOverTheBatch, "depends on the others in its batch"),
        (LooksAtTheFirst, "depends on its place in the batch"),
        (OneBatchOnly, r"gave a mean of shape \(8, 4\) for x of shape \(3, 3, 16, 16\)"),
        (Uneven, r"mean of shape \(1, 4\) and a log-variance of shape \(1, 1\); they have to be alike"),
        (SumsTheBatch, r"gave a mean of shape \(1, 4\) for x of shape \(8, 3, 16, 16\)"),
        (LatentGrowsWithTheBatch, r"gave a mean of shape \(8, 3\); by the card it is \(8, 2\)"),
        (Signed, r"pixels from -.* have to be in \[0, 1\]: for a network that works in \[-1, 1\] give \(y \+ 1\) / 2"),
        (Unclamped, r"decode\(\) of the means gave pixels from -.* clamp"),
        (OtherImage, r"it has to give an image of that shape"),
        (LogOfZero, r"the logvar of 1 of 8 images \(white\) is not finite"),
        (HugeVariance, r"the variance of 1 of 8 images \(white\) is not finite; a clamp"),
        (ChangesItsInput, r"encode\(\) changes its images in place"),
        (ChangesItsLatent, r"decode\(\) changes z in place"),
        (PlainTensor, r"plain attribute of a module, inward\.0\.scale: it is neither saved nor in the digest"),
        (Stubborn, "loaded once more, the model has another card or digest"),
        (Unloadable, r"cannot be saved and loaded by state_dict: (.|\n)*head\.bias"),
        (OverflowsInBf16, r"in bf16 encode\(\) gave values that are not finite"),
    ],
)
def test_a_broken_module_is_found(network, message):
    with pytest.raises(AssertionError, match=message):
        check_vae(network())


@pytest.mark.parametrize(
    ("network", "note"),
    [(GivesTheVariance, "every log-variance is above 0 .* is it the variance"), (Collapsed, "collapsed model")],
)
def test_what_cannot_be_told_is_noted(network, note):
    assert re.search(note, "\n".join(check_vae(network()).notes))


def test_weights_that_are_drawn_anew_are_found(module_in_cwd):
    text = "import numpy, torch\nfrom tests.testing.test_check_vae import Good\nclass Net(Good):\n" + textwrap.indent(
        "def __init__(self):\n    super().__init__()\n"
        "    self.head.bias.data += torch.from_numpy(numpy.random.randn(8).astype('f4'))\n",
        "    ",
    )
    module_in_cwd("unsteady", text)
    with pytest.raises(AssertionError, match="loaded once more, the model has another card or digest: its weights dep"):
        check_vae("unsteady:Net")


class Whole:
    """A `VAE` of a plug-in, with one thing wrong."""

    def __init__(self, network=None, **changes):
        self.network, self.changes = network or Good(), changes
        card = check_vae(Good()).card
        self.card = replace(card, **{k: v for k, v in changes.items() if hasattr(card, k)})

    def prepare(self, device, precision):
        if not self.changes.get("lazy"):
            self.network.eval().requires_grad_(False)
        return None if self.changes.get("lost") else self

    def encode(self, x):
        mean, logvar = self.network.encode(x)
        if self.changes.get("pair"):
            return mean, logvar
        if self.changes.get("double"):
            mean, logvar = mean.double(), logvar.double()
        return DiagonalGaussian(mean, logvar)

    def decode(self, z):
        image = self.network.decode(z.float())
        return image.double() if self.changes.get("double_image") else image


def test_a_good_whole_vae_passes():
    assert check_vae(Whole()).card.family == "module"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_shape": (2, 2)}, r"gave a mean of shape \(8, 4\); by the card it is \(8, 2, 2\)"),
        ({"deterministic": True}, r"the card says deterministic=True; what encode\(\) gives says otherwise"),
        ({"transform": {"side": 16}}, "the card's transform: .*side"),
        ({"in_channels": 4}, "the card's in_channels is 4"),
        ({"lost": True}, r"prepare\(\) has to give the model itself; it gave NoneType"),
        ({"lazy": True}, r"encoded twice, have other posteriors: .*prepare\(\) has to call eval\(\)"),
        ({"lazy": True, "network": Good().eval()}, r"carry gradients: prepare\(\) has to call requires_grad_\(False\)"),
        ({"pair": True}, "has to give a DiagonalGaussian; it gave a tuple"),
        ({"double": True}, r"gave a mean of torch\.float64; it has to be float32"),
        ({"double_image": True}, r"decode\(\) gave torch\.float64; it has to be float32"),
    ],
)
def test_a_broken_whole_vae_is_found(changes, message):
    with pytest.raises(AssertionError, match=message):
        check_vae(Whole(**changes))


def test_what_is_no_model_is_refused():
    with pytest.raises(AssertionError, match="3 is neither a reference, a VAE nor a torch module"):
        check_vae(3)
    with pytest.raises(AssertionError, match="there is no module no_such"):
        check_vae("no_such:Net")


def test_the_random_state_is_left_as_it_is():
    module = Good()
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    check_vae(module)
    assert torch.equal(torch.rand(1), first)
