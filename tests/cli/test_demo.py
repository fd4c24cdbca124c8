"""The demo in small: every step, every picture, the table, the refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vae_batch.cli import demo
from vae_batch.errors import InterruptedJobError, OutputError


def test_the_demo_shows_what_it_says(ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "FACES", 320)
    monkeypatch.setattr(demo, "SHARD_SIZE", 40)
    monkeypatch.setattr(demo, "EPOCHS", 1)
    out = tmp_path / "demo"
    done = CliRunner().invoke(demo.command, ["--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "OK: 320 rows in " in done.stdout
    assert "rows                           320" in done.stdout
    assert "active dimensions" in done.stdout and "mean KL, nats per image" in done.stdout
    for name in demo.ATTRIBUTES:
        assert f"   {name} " in done.stdout
    assert "Try next:" in done.stdout and f"vae-batch status {out}/latents" in done.stdout
    for name, rows in (("reconstructions", 2), ("prior_samples", 3)):
        picture = np.asarray(Image.open(out / f"{name}.png"))
        assert picture.shape == ((rows * 66 + 2) * 2, (12 * 66 + 2) * 2, 3)
        assert picture.std() > 20
    with pytest.raises(OutputError, match="is not empty: give another --out, or delete it"):
        CliRunner().invoke(demo.command, ["--out", str(out)], catch_exceptions=False)


def test_an_interrupted_demo_is_not_said_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise InterruptedJobError("SIGTERM: stopped after step 5 of 9; the same command goes on from step 6")

    monkeypatch.setattr(demo, "_draw", interrupted)
    with pytest.raises(InterruptedJobError, match=r"^the demo was interrupted, and begins anew: delete .*/demo"):
        CliRunner().invoke(demo.command, ["--out", str(tmp_path / "demo")], catch_exceptions=False)
