"""The model card: front matter that the hub reads, and facts that are those of the training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from vae_batch.cluster.train import train
from vae_batch.faces import draw_face
from vae_batch.models import describe_model
from vae_batch.sources import open_source
from vae_batch.specs import TrainSpec, load_spec


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    folder = tmp_path_factory.mktemp("card")
    (folder / "faces").mkdir()
    for i in range(30):
        Image.fromarray(draw_face(0, i, (36, 44))).save(folder / "faces" / f"{i:03}.jpg", quality=95)
    (folder / "faces" / "cut.jpg").write_bytes((folder / "faces" / "001.jpg").read_bytes()[:300])
    shape = {"image_size": 16, "latent_dim": 3, "width": 8}
    spec = TrainSpec(
        source=str(folder / "faces"),
        out=str(folder / "a model"),
        **shape,
        steps=3,
        batch_size=8,
        validation=0.3,
        seed=7,
    )
    train(spec)
    return spec


def test_the_front_matter_is_the_hubs(spec: TrainSpec) -> None:
    _, front, body = (Path(spec.out) / "README.md").read_text().split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["library_name"] == "vae_batch"
    assert matter["pipeline_tag"] == "image-feature-extraction"
    assert "variational-autoencoder" in matter["tags"]
    assert "license" not in matter and "# license:" in front
    assert body.lstrip().startswith("# conv VAE, 16×16 pixels to 3 numbers")


def test_the_card_says_how_the_model_was_made(spec: TrainSpec, tmp_path: Path) -> None:
    text = (Path(spec.out) / "README.md").read_text()
    facts = describe_model(spec.out).extra["training"]
    assert f"vae-batch encode IMAGES --model '{spec.out}' --out latents" in text
    assert f"| fingerprint (sha256 of paths and sizes) | `{open_source(spec.source).digest()}` |" in text
    assert f"| of them held out for validation | {facts['held_out']} |" in text
    assert "| images | 30 |" in text and "| rejected, since they could not be read | 1 |" in text
    assert f"torch {torch.__version__}" in text
    lines = [json.loads(line) for line in (Path(spec.out) / "metrics.jsonl").read_text().splitlines()]
    for line in lines[-2:]:
        assert f"| {line['split']} | 3 | {line['elbo']:,.1f} | {line['rate']:,.2f} |" in text
    (tmp_path / "train.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    assert load_spec(tmp_path / "train.yaml") == spec


def test_the_config_has_the_same_facts(spec: TrainSpec) -> None:
    facts = describe_model(spec.out).extra["training"]
    assert facts["source_sha256"] == open_source(spec.source).digest()
    assert facts["versions"]["torch"] == torch.__version__
    assert (facts["images"], facts["rejected"], facts["seed"], facts["steps"]) == (30, 1, 7, 3)
    assert {"hardware", "finished", "spec"} <= facts.keys()


def test_the_python_of_the_card_runs(spec: TrainSpec) -> None:
    code = (Path(spec.out) / "README.md").read_text().split("```python\n")[1].split("```")[0]
    found: dict[str, torch.Tensor] = {}
    exec(code, found)
    assert found["images"].shape == (4, 3, 16, 16)
