from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_batch.errors import ModelError
from vae_batch.models.resnet import ResNetConfig, ResNetVAE

SHAPES = st.tuples(st.integers(4, 16).map(lambda n: 16 * n), st.none()) | st.sampled_from(
    [(64, 1), (64, 4), (64, 32), (96, 6), (128, 16), (192, 3), (256, 32)]
)


@settings(max_examples=6, deadline=None)
@given(SHAPES, st.integers(1, 5), st.sampled_from([1, 3]))
def test_shapes_and_ranges_at_every_size(shape, latent_dim, channels):
    size, grid = shape
    model = ResNetVAE(ResNetConfig(size, latent_dim, grid, width=4, in_channels=channels))
    x = torch.rand(2, channels, size, size)
    with torch.inference_mode():
        posterior = model.encode(x)
        image = model.decode(3 * torch.randn_like(posterior.mean))
    assert posterior.mean.shape[1:] == model.config.latent_shape == model.card.latent_shape
    assert model.config.latent_shape == ((latent_dim,) if grid is None else (latent_dim, grid, grid))
    assert image.shape == x.shape
    assert image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize(
    ("size", "grid", "suit"),
    [
        (32, None, "64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256"),
        (100, None, "64, 80"),
        (272, None, "64, 80"),
        (64, 6, "96, 192"),
        (64, 64, "128, 256"),
        (96, 8, "64, 128, 256"),
        (64, 50, "100, 200"),
    ],
)
def test_sizes_that_do_not_suit_are_answered_with_those_that_do(size, grid, suit):
    with pytest.raises(ModelError, match=f"^image_size={size}: the sizes that suit the resnet network.* are {suit}"):
        ResNetConfig(size, latent_grid=grid)


@pytest.mark.parametrize("name", ["latent_dim", "latent_grid", "width"])
def test_nothing_is_less_than_one(name):
    with pytest.raises(ModelError, match=f"^{name}=0: the resnet network needs at least 1"):
        ResNetConfig(**{name: 0})


def test_the_levels_end_at_the_latent():
    assert ResNetConfig(64).sides() == [32, 16, 8, 4]
    assert ResNetConfig(64).levels() == [64, 128, 256, 256]
    assert ResNetConfig(240).sides() == [120, 60, 30, 15]
    assert ResNetConfig(256, latent_grid=32).sides() == [128, 64, 32]
    assert ResNetConfig(64, latent_grid=1).sides() == [32, 16, 8, 4, 2, 1]
    assert ResNetConfig(64, latent_grid=32).sides() == [32]


def test_patches_are_what_the_places_of_a_map_see():
    """A network that reads the mean colour of each place: colours of the image's quarters come back in their places."""
    model = ResNetVAE(ResNetConfig(64, latent_dim=1, latent_grid=2, width=4))
    quarters = torch.tensor([[0.1, 0.2], [0.6, 0.9]])
    x = quarters.repeat_interleave(32, 0).repeat_interleave(32, 1).expand(3, 3, 64, 64)
    torch.testing.assert_close(model._patches(x).mean((3, 4, 5)), quarters.expand(3, 2, 2))
    noise = torch.rand(3, 3, 64, 64)
    assert torch.equal(model._join(model._patches(noise).flatten(0, 2)), noise)
    z = torch.rand(12, 1)
    assert torch.equal(model._to_map(z), z.view(3, 1, 2, 2))


@pytest.mark.parametrize(("dims", "grid", "count"), [(12, None, 200), (6, 8, 12)])
def test_the_linear_start_is_the_best_linear_map(dims, grid, count):
    """Smooth images: it beats the mean image by far, the blocks add nothing, unused dimensions are the prior."""
    torch.manual_seed(0)
    model = ResNetVAE(ResNetConfig(64, latent_dim=dims, latent_grid=grid, width=4))
    coarse = torch.rand(count, 3, 2, 2)
    x = torch.nn.functional.interpolate(coarse, (64, 64), mode="bilinear")
    model.start_from(x)
    with torch.inference_mode():
        posterior = model.encode(x)
        rebuilt = model.expected(posterior.mean)
        bare = model.encoder(x - 0.5)
        assert model.decoder(posterior.mean).abs().max() == 0
    assert (rebuilt - x).square().mean() < 0.01 * (x.mean(0) - x).square().mean()
    assert posterior.logvar.std(0).max() == 0 and bare.std() > 0
    means = posterior.mean.movedim(1, -1).flatten(0, -2)
    used = posterior.logvar.movedim(1, -1).flatten(0, -2)[0] < 0
    torch.testing.assert_close(means[:, used].std(0), torch.ones(int(used.sum())), atol=0.15, rtol=0)
    assert used.sum() >= 6
    assert means[:, ~used].abs().max() == 0 if (~used).any() else used.all()


def test_an_image_never_sees_its_neighbours():
    model = ResNetVAE(ResNetConfig(64, latent_dim=4, width=8))
    x = torch.rand(4, 3, 64, 64, requires_grad=True)
    model.encode(x).mean[1].sum().backward()
    assert x.grad[1].abs().sum() > 0
    assert x.grad[[0, 2, 3]].abs().sum() == 0


def test_logvar_is_clamped():
    model = ResNetVAE(ResNetConfig(64, latent_dim=2, latent_grid=4, width=4))
    with torch.no_grad():
        model.head.bias[2:] = torch.tensor([1e4, -1e4])
    logvar = model.encode(torch.rand(1, 3, 64, 64)).logvar
    assert (logvar[0, 0] == 6).all() and (logvar[0, 1] == -14).all()
