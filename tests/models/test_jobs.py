"""The recipes in jobs/: they load, and the networks that they name exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from vae_batch.images import Transform
from vae_batch.models.families import build_model
from vae_batch.specs import EncodeSpec, TrainSpec, load_spec

JOBS = Path(__file__).parents[2] / "jobs"
LATENTS = {
    "train_faces": (128,),
    "train_celeba64": (128,),
    "train_celeba128": (16, 8, 8),
    "train_betavae_celeba64": (10,),
}


def test_every_recipe_is_here() -> None:
    assert {file.stem for file in JOBS.glob("train_*.yaml")} == set(LATENTS)
    assert isinstance(load_spec(JOBS / "encode_faces.yaml"), EncodeSpec)


@pytest.mark.parametrize("name", LATENTS)
def test_a_recipe_loads_and_its_network_can_be_made(name: str) -> None:
    spec = load_spec(JOBS / f"{name}.yaml")
    assert isinstance(spec, TrainSpec)
    assert build_model(spec).config.latent_shape == LATENTS[name]
    Transform(spec.image_size, spec.crop or "center", spec.fit or "cover")
    assert f"vae-batch run jobs/{name}.yaml" in (JOBS / f"{name}.yaml").read_text()


def test_the_published_beta_vae_has_its_published_settings() -> None:
    spec = load_spec(JOBS / "train_betavae_celeba64.yaml")
    assert isinstance(spec, TrainSpec)
    model = build_model(spec)
    assert (model.family, model.card.parameters) == ("burgess", 504_055)
    assert (spec.likelihood, spec.beta, spec.latent_dim, spec.image_size) == ("bernoulli", 10, 10, 64)
    assert (spec.learning_rate, spec.batch_size, spec.epochs, spec.kl_warm_up) == (5e-4, 64, 200, 10_000)
    assert callable(getattr(model, "logits", None))
