from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_batch.analysis.pictures import contact_sheet, to_uint8
from vae_batch.analysis.probes import probe_attributes


def test_probes_find_what_is_linear_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(2000, 8)).astype(np.float32)
    noise = rng.normal(size=2000)
    line = mean @ np.arange(8) + 3
    found = probe_attributes(
        mean,
        {
            "line": line,
            "half": line + noise * line.std(),
            "noise": noise,
            "binary": (line > 3).astype(float),
            "coin": (noise > 0).astype(float),
        },
    )
    scores = {p.attribute: (p.metric, p.score) for p in found}
    assert scores["line"] == ("R²", pytest.approx(1, abs=1e-4))
    assert scores["half"][1] == pytest.approx(0.5, abs=0.07)
    assert abs(scores["noise"][1]) < 0.07
    assert scores["binary"][0] == "AUC" and scores["binary"][1] > 0.99
    assert abs(scores["coin"][1] - 0.5) < 0.07
    assert all(p.fitted_on == 1500 and p.held_out == 500 for p in found)


def test_a_contact_sheet_has_its_images_where_they_belong(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = to_uint8(rng.random((6, 3, 8, 8), dtype=np.float32))
    contact_sheet([images[:4], images[4:]], tmp_path / "x.png", zoom=2)
    sheet = np.asarray(Image.open(tmp_path / "x.png"))
    assert sheet.shape == ((2 * 10 + 2) * 2, (4 * 10 + 2) * 2, 3)
    np.testing.assert_array_equal(sheet[2 * 12 : 2 * 20 : 2, 2 * 12 : 2 * 20 : 2], images[5])
    assert (sheet[2 * 12 : 2 * 20, 2 * 22 :] == 255).all()


def test_gray_is_shown_as_gray() -> None:
    assert to_uint8(np.full((1, 1, 2, 2), 0.5, np.float32)).tolist() == np.full((1, 2, 2, 3), 128).tolist()
