"""`train --report`: the pictures and the page in the model's folder, or an error before anything is trained."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vae_batch.analysis import figures
from vae_batch.cli.train import command
from vae_batch.cluster.train_report import IMAGES, _choose
from vae_batch.errors import SpecError
from vae_batch.training.draws import held_out

PICTURES = ["curves.png", "kl.png", "prior.png", "reconstructions.png", "traversals.png"]


def arguments(source: Path, out: Path) -> list[str]:
    small = ["--image-size", "16", "--latent-dim", "3", "--width", "8", "--steps", "3", "--batch-size", "8"]
    return [str(source), "--out", str(out), *small, "--device", "cpu", "--report"]


def test_the_report_is_in_the_models_folder(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = CliRunner().invoke(command, arguments(faces, out), catch_exceptions=False)
    assert f"Report: {out}/report/report.html" in done.stderr
    assert sorted(path.name for path in (out / "report").iterdir()) == sorted([*PICTURES, "report.html"])
    for name in PICTURES:
        assert np.asarray(Image.open(out / "report" / name).convert("RGB")).std() > 1
    page = (out / "report" / "report.html").read_text()
    inside = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert {base64.b64decode(data) for data in inside} == {(out / "report" / n).read_bytes() for n in PICTURES}
    assert page.count("src=") == len(PICTURES) and "://" not in page
    assert str(faces) in page and "held out" in page


def test_a_missing_extra_is_said_before_training_begins(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"--report needs matplotlib and jinja2: pip install 'vae_batch\[report\]'"):
        CliRunner().invoke(command, arguments(faces, tmp_path / "model"), catch_exceptions=False)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("count", [30, 400, 20_000])
def test_the_images_looked_at_are_held_out_where_there_are_such(count: int) -> None:
    ids = [f"{i}.jpg" for i in range(count)]
    kind, chosen = _choose(ids, 0.5)
    assert kind == "held-out" and len(chosen) <= IMAGES
    assert held_out([ids[i] for i in chosen], 0.5).all()
    assert (np.diff(chosen) > 0).all()
    kind, chosen = _choose(ids, 0.0)
    assert kind == "training" and len(chosen) == min(count, IMAGES)
