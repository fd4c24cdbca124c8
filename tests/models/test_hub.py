from __future__ import annotations

import shutil
import sys

import pytest

from tests.conftest import image_bytes
from tests.models.diffusersmaking import edit_config, make
from tests.models.hub import Hub, serving
from vae_batch.errors import ModelError
from vae_batch.models import describe_model

pytest.importorskip("huggingface_hub")
pytest.importorskip("diffusers")

FIRST, SECOND = "1" * 40, "2" * 40

DESCRIBE = """
import sys
from vae_batch.errors import ModelError
from vae_batch.models import describe_model, load_model, resolve_model
try:
    ref = resolve_model(sys.argv[1])
    card = describe_model(ref)
    print(ref, card.digest, card.reference)
    assert "torch" not in sys.modules and "diffusers" not in sys.modules
    if len(sys.argv) > 2:
        assert load_model(ref).card == card
except ModelError as error:
    print(error)
"""


@pytest.fixture
def hub(tmp_path):
    """A pipeline of two commits; `main` is at the second."""
    for commit, scaling_factor in ((FIRST, 0.25), (SECOND, 0.5)):
        make("AutoencoderKL", tmp_path / commit / "vae", scaling_factor=scaling_factor)
        make("AutoencoderKL", tmp_path / commit / "vae", variant="fp16", scaling_factor=scaling_factor)
        (tmp_path / commit / "unet").mkdir()
        (tmp_path / commit / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"large")
    with serving(Hub(tmp_path, "ada/faces", SECOND)) as hub:
        yield hub


def test_a_name_is_its_commit_here_there_and_without_a_network(hub, tmp_path):
    digests = {c: describe_model(str(tmp_path / c)).digest for c in (FIRST, SECOND)}
    here, there = tmp_path / "here", tmp_path / "there"
    answer = hub.python(DESCRIBE, here, "ada/faces")
    assert answer.stdout.split() == [f"ada/faces@{SECOND}", digests[SECOND], f"ada/faces@{SECOND}"], answer.stderr
    fetched = [path for path in hub.asked if path.startswith("GET") and "/resolve/" in path]
    assert {path.partition(SECOND)[2] for path in fetched} == {
        "/vae/config.json", "/vae/diffusion_pytorch_model.safetensors"
    }  # fmt: skip
    hub.main = FIRST  # what was pinned stays, wherever it is looked up
    for cache in (here, there):
        assert hub.python(DESCRIBE, cache, f"ada/faces@{SECOND}").stdout.split()[1] == digests[SECOND]
    hub.asked.clear()
    offline = hub.python(DESCRIBE, there, f"ada/faces@{SECOND}", "load", HF_HUB_OFFLINE="1")
    assert offline.stdout.split()[1] == digests[SECOND] and not hub.asked, offline.stderr
    assert hub.python(DESCRIBE, here, "ada/faces").stdout.split()[:2] == [f"ada/faces@{FIRST}", digests[FIRST]]


def test_a_job_keeps_the_commit(hub, tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "0.png").write_bytes(image_bytes(0, "PNG"))
    code = (
        "import sys; from vae_batch import EncodeSpec; from vae_batch.work.job import prepare\n"
        "prepared = prepare(EncodeSpec(source=sys.argv[1], model='ada/faces', out=sys.argv[2]))\n"
        "print(prepared.job.model, prepared.spec.model, prepared.job.card.reference)"
    )
    answer = hub.python(code, tmp_path / "cache", str(tmp_path / "faces"), str(tmp_path / "out"))
    assert answer.stdout.split() == [f"ada/faces@{SECOND}"] * 3, answer.stderr


def test_only_a_variant_or_only_a_pickle(hub, tmp_path):
    (tmp_path / FIRST / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    digest = describe_model(str(tmp_path / FIRST)).digest
    assert hub.python(DESCRIBE, tmp_path / "cache", f"ada/faces@{FIRST}").stdout.split()[1] == digest
    variant = tmp_path / SECOND / "vae" / "diffusion_pytorch_model.fp16.safetensors"
    variant.rename(variant.with_name("diffusion_pytorch_model.bin"))
    variant.with_name("diffusion_pytorch_model.safetensors").unlink()
    assert "are a pickle" in hub.python(DESCRIBE, tmp_path / "cache", "ada/faces").stdout


def test_what_the_hub_has_not_is_said_in_one_line(hub, tmp_path):
    cache = tmp_path / "cache"
    said = hub.python(DESCRIBE, cache, "ada/no-faces").stdout
    assert said.startswith(
        "--model 'ada/no-faces' is no folder here, and cannot be had from the Hugging Face hub: Repo"
    )
    assert said.count("\n") == 1
    said = hub.python(DESCRIBE, cache, "ada/faces", HF_HUB_OFFLINE="1").stdout
    assert "cannot be had from the Hugging Face hub: LocalEntryNotFound" in said
    shutil.rmtree(tmp_path / SECOND / "vae")
    assert "has no config.json of diffusers" in hub.python(DESCRIBE, cache, "ada/faces").stdout
    edit_config(tmp_path / FIRST / "vae", _class_name="VQModel")
    assert "is of the class VQModel" in hub.python(DESCRIBE, cache, f"ada/faces@{FIRST}").stdout


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"is no folder here; .*pip install 'vae_batch\[diffusers\]'"):
        describe_model("nobody/nothing")
