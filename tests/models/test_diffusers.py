from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.diffusersmaking import MADE_OF, edit_config, make, overflow_fp16
from vae_batch.errors import ModelError
from vae_batch.models import VAE, ModelCard, describe_model, load_model
from vae_batch.models.load import resolve_model

pytest.importorskip("diffusers")

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of each class, and its network."""
    folder = tmp_path_factory.mktemp("diffusers")
    return {name: (folder / name, make(name, folder / name)) for name in MADE_OF}


@pytest.fixture
def kl(saved, tmp_path):
    return shutil.copytree(saved["AutoencoderKL"][0], tmp_path / "kl")


def own_posterior(network, x):
    """What diffusers gives: mean and logvar, or the latents and None."""
    given = network.encode(2.0 * x - 1.0)
    if hasattr(given, "latent_dist"):
        return given.latent_dist.mean, given.latent_dist.logvar
    return (given.latents if hasattr(given, "latents") else given.latent), None


def same(a, b, tolerance=1e-5):
    return bool(((a - b).abs() <= tolerance * b.abs().clamp(min=1.0)).all())


@pytest.mark.parametrize("name", MADE_OF)
@pytest.mark.parametrize("size", [32, 48])
def test_the_posterior_is_that_of_diffusers(saved, name, size):
    folder, network = saved[name]
    model = load_model(str(folder), size).prepare("cpu", "fp32")
    x = torch.rand(5, 3, size, size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        posterior, (mean, logvar) = model.encode(x), own_posterior(network, x)
        assert same(posterior.mean, mean) and posterior.mean.dtype == torch.float32
        assert tuple(posterior.mean.shape[1:]) == model.card.latent_shape
        assert (posterior.logvar is None) == (logvar is None) == model.card.deterministic
        assert logvar is None or same(posterior.logvar, logvar)
        image = network.decode(mean).sample if name != "AutoencoderDC" else network.decode(mean, return_dict=False)[0]
        assert same(model.decode(posterior.mean), (image / 2 + 0.5).clamp(0, 1))
    assert isinstance(model, VAE)


@pytest.mark.parametrize("name", MADE_OF)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_batch_of_one_shape_gives_an_image_the_same_bits_anywhere(saved, name, precision):
    model = load_model(str(saved[name][0]), 32).prepare("cpu", precision)
    x = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        mean, turned, alone = (
            model.encode(b).mean for b in (x, x.flip(0), torch.cat([x[:1], torch.zeros(3, 3, 32, 32)]))
        )
    assert torch.equal(mean, turned.flip(0)) and torch.equal(mean[0], alone[0])


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.1), ("fp16", 0.01)])
def test_reduced_precision_is_near_and_its_head_is_not_rounded(saved, precision, tolerance):
    folder, network = saved["AutoencoderKL"]
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        posterior = load_model(str(folder)).prepare("cpu", precision).encode(x)
        assert same(posterior.mean, own_posterior(network, x)[0], tolerance)
    kept = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    for values in (posterior.mean, posterior.logvar):
        assert values.dtype == torch.float32 and not torch.equal(values, values.to(kept).float())


def test_the_card_says_what_the_model_is(saved):
    folder, network = saved["AutoencoderKL"]
    card = describe_model(str(folder))
    assert card == load_model(str(folder)).card == ModelCard.from_dict(json.loads(json.dumps(card.to_dict())))
    assert (card.family, card.extra["class"], card.image_size, card.in_channels) == (
        "diffusers",
        "AutoencoderKL",
        32,
        3,
    )
    assert (card.latent_shape, card.deterministic, card.force_upcast) == ((4, 8, 8), False, False)
    assert card.parameters == sum(p.numel() for p in network.parameters())
    assert card.scaling == {"scaling_factor": 0.18215, "shift_factor": None, "latents_mean": None, "latents_std": None}
    assert describe_model(str(saved["AutoencoderTiny"][0])).image_size is None
    assert describe_model(str(saved["AutoencoderDC"][0]), 64).latent_shape == (4, 32, 32)


def test_a_folder_is_described_with_neither_torch_nor_diffusers(kl):
    code = (
        "import sys; from vae_batch.models import describe_model; describe_model(sys.argv[1]); "
        "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(kl)]).returncode == 0


def test_the_digest_follows_the_values_and_nothing_else(kl, tmp_path):
    digest = describe_model(str(kl)).digest
    edit_config(kl, _name_or_path="elsewhere", _diffusers_version="0.1")
    (kl / WEIGHTS).rename(kl / "diffusion_pytorch_model.fp16.safetensors")
    assert describe_model(str(shutil.copytree(kl, tmp_path / "pipeline" / "vae").parent)).digest == digest
    edit_config(kl, scaling_factor=0.5)
    changed = describe_model(str(kl)).digest
    assert changed != digest
    path = kl / "diffusion_pytorch_model.fp16.safetensors"
    weights = load_file(path)
    weights["encoder.conv_in.bias"][0] += 1.0
    save_file(weights, path)
    assert describe_model(str(kl)).digest not in (digest, changed)


class TestWhereItIs:
    def test_in_a_pipeline(self, saved, tmp_path):
        network = make("AutoencoderKL", tmp_path / "pipeline" / "vae")
        (tmp_path / "pipeline" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
        assert describe_model(str(tmp_path / "pipeline")).parameters == sum(p.numel() for p in network.parameters())

    def test_the_full_weights_go_before_a_variant(self, kl):
        digest = describe_model(str(kl)).digest
        make("AutoencoderKL", kl, variant="fp16", change=overflow_fp16)
        assert describe_model(str(kl)).digest == digest
        assert load_model(str(kl)).card.digest == digest
        (kl / WEIGHTS).unlink()
        model = load_model(str(kl))
        assert model.card.digest != digest and model._network.encoder.conv_in.weight[0, 0, 0, 0] == 1e4

    @pytest.mark.parametrize("within", ["", "vae"])
    def test_under_a_uri(self, kl, tmp_path, within):
        here = kl.rename(tmp_path / "vae") if within else kl
        uri = f"local://{tmp_path if within else here}"
        there, local = load_model(uri), load_model(str(here))
        assert there.card.digest == local.card.digest
        with torch.inference_mode():
            x = torch.rand(2, 3, 32, 32)
            assert torch.equal(there.encode(x).mean, local.encode(x).mean)

    def test_a_folder_is_its_own_name(self, kl):
        assert resolve_model(str(kl)) == str(kl)


class TestWhatIsRefused:
    @pytest.mark.parametrize("load", [describe_model, load_model])
    @pytest.mark.parametrize(
        ("size", "nearest"),
        [(30, "the nearest are 28 and 32"), (33, "the nearest are 32 and 36"), (2, "smallest is 4")],
    )
    def test_sides_that_would_be_cut(self, kl, load, size, nearest):
        with pytest.raises(
            ModelError, match=f"sides are multiples of 4, not {size}×{size}; .*{nearest}: give --image-size"
        ):
            load(str(kl), size)

    def test_such_images_at_the_model(self, kl):
        with pytest.raises(ModelError, match="takes sides that are multiples of 4, not 32×30"):
            load_model(str(kl)).encode(torch.rand(1, 3, 32, 30))

    def test_an_oblong_sample_size_without_another(self, kl):
        edit_config(kl, sample_size=[32, 64])
        with pytest.raises(ModelError, match=r"its sample_size is \[32, 64\], and square images are taken"):
            describe_model(str(kl))
        assert describe_model(str(kl), 64).image_size == 64

    def test_pickles(self, kl):
        (kl / WEIGHTS).rename(kl / "diffusion_pytorch_model.bin")
        with pytest.raises(ModelError, match=r"are a pickle \(diffusion_pytorch_model\.bin\), which can run code"):
            load_model(str(kl))

    def test_no_weights(self, kl):
        (kl / WEIGHTS).unlink()
        with pytest.raises(ModelError, match=f"has no weights: {WEIGHTS} is missing"):
            load_model(str(kl))

    def test_weights_in_several_files(self, kl):
        (kl / WEIGHTS).rename(kl / f"{WEIGHTS}.index.json")
        with pytest.raises(ModelError, match="are in several files"):
            load_model(str(kl))

    def test_several_variants(self, kl):
        for variant in ("ema", "fp16"):
            shutil.copy(kl / WEIGHTS, kl / f"diffusion_pytorch_model.{variant}.safetensors")
        (kl / WEIGHTS).unlink()
        with pytest.raises(ModelError, match=r"ema\.safetensors, .*fp16\.safetensors; leave the one you want"):
            load_model(str(kl))

    @pytest.mark.parametrize("kept", [5, 100, -1])
    @pytest.mark.parametrize("load", [describe_model, load_model])
    def test_cut_weights(self, kl, load, kept):
        (kl / WEIGHTS).write_bytes((kl / WEIGHTS).read_bytes()[:kept])
        with pytest.raises(ModelError, match=r"diffusion_pytorch_model\.safetensors are damaged"):
            load(str(kl))

    def test_weights_of_another_network(self, kl):
        weights = load_file(kl / WEIGHTS)
        del weights["encoder.conv_in.bias"]
        save_file(weights, kl / WEIGHTS)
        with pytest.raises(ModelError, match=r"1 tensors are missing or of another shape, such as encoder\.conv_in"):
            load_model(str(kl))

    def test_another_class(self, kl):
        edit_config(kl, _class_name="UNet2DConditionModel")
        with pytest.raises(ModelError, match="is of the class UNet2DConditionModel; of diffusers, AutoencoderKL, "):
            describe_model(str(kl))

    def test_an_incomplete_config(self, kl):
        edit_config(kl, "latent_channels")
        with pytest.raises(ModelError, match=r"config\.json is incomplete: KeyError\('latent_channels'\)"):
            describe_model(str(kl))

    def test_latents_of_neither_gray_nor_rgb(self, kl):
        edit_config(kl, in_channels=4)
        with pytest.raises(ModelError, match="in_channels is 4; images are RGB"):
            describe_model(str(kl))

    def test_a_missing_extra_is_named(self, kl, monkeypatch):
        monkeypatch.setitem(sys.modules, "diffusers", None)
        assert describe_model(str(kl)).family == "diffusers"
        with pytest.raises(ModelError, match=r"pip install 'vae_batch\[diffusers\]'"):
            load_model(str(kl))


class TestScaling:
    def test_an_older_config_has_the_defaults_of_diffusers(self, kl):
        edit_config(kl, "scaling_factor", "force_upcast")
        card, config = describe_model(str(kl)), load_model(str(kl))._network.config
        assert card.scaling["scaling_factor"] == config.scaling_factor == 0.18215
        assert card.force_upcast and config.force_upcast

    def test_force_upcast_runs_fp16_in_fp32(self, kl):
        edit_config(kl, force_upcast=True)
        model = load_model(str(kl)).prepare("cpu", "fp16")
        assert model._network.encoder.conv_in.weight.dtype == torch.float32
        assert [model.card.runs_in(p) for p in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp32"]


def test_a_logvar_beyond_all_numbers_is_not_made_one_by_its_clamp(kl):
    model = load_model(str(kl)).prepare("cpu", "fp32")
    with torch.inference_mode():
        model._network.quant_conv.bias[4] = torch.inf
        posterior = model.encode(torch.rand(1, 3, 32, 32))
    assert posterior.mean.isfinite().all() and not posterior.variance.isfinite().all()


def test_the_classes_are_those_of_diffusers():
    import diffusers

    from vae_batch.models.diffusers_folder import FAMILIES

    for name, family in FAMILIES.items():
        config = getattr(diffusers, name)(**MADE_OF[name]).config
        assert family.levels in config and {k: config[k] for k in family.defaults} == {
            **family.defaults, **{k: v for k, v in MADE_OF[name].items() if k in family.defaults}
        }  # fmt: skip


def test_a_relative_folder_of_two_names_is_no_name_of_the_hub(kl, monkeypatch):
    monkeypatch.chdir(kl.parent.parent)
    ref = str(Path(kl.parent.name, kl.name))
    assert resolve_model(ref) == ref and describe_model(ref).family == "diffusers"
