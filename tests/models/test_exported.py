"""Exported programs: loaded on the user's word only, and the same numbers as the module that was exported."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vae_batch.errors import ModelError, SpecError
from vae_batch.models import VAE, ModelCard, describe_model, load_model
from vae_batch.models.reference import ExportedReference, parse_reference
from vae_batch.specs import EncodeSpec
from vae_batch.work.suits import check_batches, check_encodes

SIZE, DIMS = 16, 6


class Encoder(nn.Module):
    def __init__(self, gives: str = "pair", channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gives = gives
        self.features = nn.Sequential(nn.Conv2d(channels, 8, 4, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(8 * (SIZE // 4) ** 2, 2 * DIMS)

    def forward(self, x):
        h = self.head(self.features(x))
        mean, logvar = h.chunk(2, 1)
        return {"pair": (mean, logvar), "tensor": mean, "triple": (mean, logvar, h)}[self.gives]


class Anywhere(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 4, 4)

    def forward(self, x):
        return self.head(x).chunk(2, 1)


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Linear(DIMS, 3 * SIZE**2)

    def forward(self, z):
        return self.head(z).sigmoid().view(-1, 3, SIZE, SIZE)


def export(module, file, example, *, batch=None, train=False):
    """`batch`: the limits of a dynamic one; None: as in the example."""
    shapes = ({0: torch.export.Dim("batch", **batch)},) if batch is not None else None
    file.parent.mkdir(exist_ok=True)
    torch.export.save(torch.export.export(module.train(train), (example,), dynamic_shapes=shapes), str(file))
    return module.eval()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    encoder = export(Encoder(), folder / "encoder.pt2", torch.rand(4, 3, SIZE, SIZE), batch={})
    return folder, encoder, export(Decoder(), folder / "decoder.pt2", torch.rand(4, DIMS), batch={})


def test_the_programs_give_what_the_modules_gave(folder):
    path, encoder, decoder = folder
    model = load_model(str(path), trust_model_code=True).prepare("cpu", "fp32")
    assert isinstance(model, VAE)
    x = torch.rand(5, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        posterior, (mean, logvar) = model.encode(x), encoder(x)
        assert torch.allclose(posterior.mean, mean, atol=1e-6)
        assert torch.allclose(posterior.logvar, logvar, atol=1e-6)
        assert torch.allclose(model.decode(mean), decoder(mean), atol=1e-6)
    card = model.card
    assert (card.family, card.image_size, card.in_channels, card.latent_shape) == ("exported", SIZE, 3, (DIMS,))
    assert (card.deterministic, card.decodes, card.batch_sizes) == (False, True, None)
    assert card.parameters == sum(p.numel() for m in (encoder, decoder) for p in m.parameters())
    assert ModelCard.from_dict(card.to_dict()) == card


def test_reduced_precision_runs_reduced_and_comes_back_as_float32(folder):
    x = torch.rand(3, 3, SIZE, SIZE)
    given = [load_model(str(folder[0]), None, True).prepare("cpu", p).encode(x).mean for p in ("fp32", "bf16")]
    assert given[1].dtype == torch.float32
    assert 0 < (given[0] - given[1]).abs().max() < 0.05


def test_nothing_is_loaded_without_the_users_word(tmp_path):
    file = tmp_path / "net.pt2"
    file.write_bytes(b"this would fail to load")
    for load in (load_model, describe_model):
        with pytest.raises(ModelError, match=r"can run code .* if you trust where it comes from, give --trust-model-c"):
            load(str(file))
    with pytest.raises(ModelError, match="cannot be read as an exported program by torch"):
        load_model(str(file), trust_model_code=True)


def test_an_encoder_alone_encodes_and_says_that_it_does_not_decode(folder):
    file = folder[0] / "encoder.pt2"
    model = load_model(str(file), trust_model_code=True)
    assert not model.card.decodes
    with pytest.raises(ModelError, match=r"has no decoder: put it beside the encoder, encoder\.pt2 and decoder\.pt2"):
        model.decode(torch.zeros(1, DIMS))
    spec = EncodeSpec(source="s", out="o", model=str(file), diagnostics=True)
    with pytest.raises(SpecError, match=r"encoder\.pt2 has no decoder: leave them out"):
        check_encodes(spec, model.card)


@pytest.mark.parametrize(
    ("batch", "sizes", "wrong", "message"),
    [
        (None, (4, 4), 3, r"batch_size=3: .*net\.pt2 was exported for batches of 4 images"),
        ({"min": 4, "max": 32}, (4, 32), 64, "was exported for batches of 4 to 32 images"),
        ({"max": 32}, (1, 32), 33, "was exported for batches of 1 to 32 images"),
        ({"min": 4}, (4, None), 3, "was exported for batches of 4 and more images"),
    ],
)
def test_the_jobs_batches_are_those_of_the_program(tmp_path, batch, sizes, wrong, message):
    export(Encoder(), tmp_path / "net.pt2", torch.rand(4, 3, SIZE, SIZE), batch=batch)
    model = load_model(str(tmp_path / "net.pt2"), trust_model_code=True)
    assert model.card.batch_sizes == sizes
    assert ModelCard.from_dict(model.card.to_dict() | {"batch_sizes": list(sizes)}) == model.card
    with pytest.raises(SpecError, match=message):
        check_batches(spec(tmp_path, wrong), model.card)
    with pytest.raises(ModelError, match=r"encode\(\) failed on a tensor of shape"):
        model.encode(torch.rand(wrong, 3, SIZE, SIZE))
    assert check_batches(spec(tmp_path, sizes[0]), model.card) == []
    assert len(model.encode(torch.rand(sizes[0], 3, SIZE, SIZE)).mean) == sizes[0]
    said = check_batches(spec(tmp_path, None), model.card)
    assert said == (["Batches of 4 images: the model takes no others."] if batch is None else [])
    assert model.card.nearest_batch(64) == (sizes[1] or 64)


def spec(folder, batch_size):
    return EncodeSpec(source="s", out="o", model=str(folder / "net.pt2"), batch_size=batch_size)


def test_halves_with_no_batch_in_common_are_refused(tmp_path):
    export(Encoder(), tmp_path / "encoder.pt2", torch.rand(4, 3, SIZE, SIZE))
    export(Decoder(), tmp_path / "decoder.pt2", torch.rand(8, DIMS))
    with pytest.raises(ModelError, match="takes batches of 4 to 4 images and the decoder 8 to 8"):
        load_model(str(tmp_path), trust_model_code=True)


def test_one_tensor_is_a_deterministic_autoencoder(tmp_path):
    export(Encoder("tensor", channels=1), tmp_path / "net.pt2", torch.rand(4, 1, SIZE, SIZE), batch={})
    card = describe_model(str(tmp_path / "net.pt2"), trust_model_code=True)
    assert (card.deterministic, card.in_channels) == (True, 1)


def test_a_program_for_any_size_takes_the_size_that_is_asked_for(tmp_path):
    sides = {2: 4 * torch.export.Dim("rows"), 3: 4 * torch.export.Dim("columns")}
    shapes = ({0: torch.export.Dim("batch"), **sides},)
    program = torch.export.export(Anywhere(), (torch.rand(4, 3, 32, 32),), dynamic_shapes=shapes)
    torch.export.save(program, str(tmp_path / "net.pt2"))
    assert describe_model(str(tmp_path / "net.pt2"), None, True).image_size is None
    assert describe_model(str(tmp_path / "net.pt2"), 24, True).latent_shape == (2, 6, 6)


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        (Encoder("triple"), torch.rand(4, 3, SIZE, SIZE), r"encode\(\) gave a tuple of 3"),
        (Decoder(), torch.rand(4, DIMS), r"takes a tensor of shape .*an encoder takes \(B, 3 or 1, S, S\)"),
        (Encoder().double(), torch.rand(4, 3, SIZE, SIZE).double(), r"takes torch\.float64; it has to take float32"),
    ],
)
def test_programs_of_another_kind_are_named(tmp_path, module, example, message):
    export(module, tmp_path / "net.pt2", example)
    with pytest.raises(ModelError, match=message):
        load_model(str(tmp_path / "net.pt2"), trust_model_code=True)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.Dropout()])
def test_a_program_exported_in_training_mode_is_refused(tmp_path, layer):
    net = nn.Sequential(layer, Encoder("tensor"))
    export(net, tmp_path / "fine.pt2", torch.rand(4, 3, SIZE, SIZE))
    load_model(str(tmp_path / "fine.pt2"), trust_model_code=True)
    export(net, tmp_path / "net.pt2", torch.rand(4, 3, SIZE, SIZE), train=True)
    with pytest.raises(ModelError, match=r"exported in training mode \(aten.*call eval\(\) on the module before"):
        load_model(str(tmp_path / "net.pt2"), trust_model_code=True)


def test_another_image_size_is_refused(folder):
    with pytest.raises(ModelError, match="takes images of 16×16 pixels, not 32×32"):
        load_model(str(folder[0]), image_size=32, trust_model_code=True)


def test_the_digest_is_that_of_the_files(folder, tmp_path):
    path = folder[0]
    whole, half = (describe_model(str(p), None, True).digest for p in (path, path / "encoder.pt2"))
    path.rename(tmp_path / "elsewhere")
    assert describe_model(str(tmp_path / "elsewhere"), None, True).digest == whole != half


def test_programs_under_a_uri_are_the_same_model(folder):
    path = folder[0]
    for place in (path, path / "encoder.pt2"):
        there, here = (load_model(ref, None, True).card for ref in (f"local://{place}", str(place)))
        assert (there.digest, there.decodes, there.latent_shape) == (here.digest, here.decodes, here.latent_shape)
    with pytest.raises(ModelError, match=r"local://.*/no\.pt2 is not there"):
        load_model(f"local://{path}/no.pt2", trust_model_code=True)


def test_a_config_beside_the_programs_means_a_saved_model(folder):
    assert parse_reference(str(folder[0])) == ExportedReference(str(folder[0]))
    (folder[0] / "config.json").write_text("{}")
    assert not isinstance(parse_reference(str(folder[0])), ExportedReference)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu(folder, precision):
    path, encoder, _ = folder
    model = load_model(str(path), None, True).prepare("cuda", precision)
    x = torch.rand(5, 3, SIZE, SIZE)
    with torch.inference_mode():
        posterior = model.encode(x.cuda())
        assert torch.allclose(posterior.mean.cpu(), encoder(x)[0], atol=1e-3 if precision == "fp32" else 0.05)
        assert model.decode(posterior.mean).device.type == "cuda"
