"""How a training went: rate, distortion, ELBO and sigma over its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_batch.analysis.figures import BLUE, ORANGE, figure

PANELS = {
    "elbo": "ELBO, nats per image",
    "distortion": "distortion, nats per image",
    "rate": "rate, nats per image",
    "sigma": "sigma of the likelihood",
}
ROBUST = 0.1
"""Share of the steps whose values may lie outside of a panel: the first ones would flatten all others."""


def draw_curves(path: Path, training: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]) -> None:
    """Draw the lines of metrics.jsonl.

    Args:
        path: of the PNG.
        training: lines with `step` and the keys of `PANELS`.
        validation: the same of images held out; may be empty.
    """
    with figure(path, 10, 6.4) as drawing:
        for axes, (key, title) in zip(drawing.subplots(2, 2).flat, PANELS.items(), strict=True):
            axes.plot(*_line(training, key), color=BLUE, linewidth=1.6, label="training")
            if validation:
                axes.plot(
                    *_line(validation, key), color=ORANGE, linewidth=1.6, marker="o", markersize=4, label="held out"
                )
            axes.set_title(title, loc="left")
            axes.set_xlabel("step")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            if key != "sigma":
                axes.yaxis.set_major_formatter("{x:,.5g}")
            axes.grid(True)
            axes.set_ylim(_limits([*_line(training, key)[1], *_line(validation, key)[1]]))
        drawing.axes[0].legend(loc="lower right")


def _line(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    known = [line for line in lines if line.get(key) is not None]
    return [line["step"] for line in known], [line[key] for line in known]


def _limits(values: Sequence[float]) -> tuple[float, float] | None:
    """Give the range of all values but the extreme ones, with a margin."""
    if len(values) < 2:
        return None
    ordered = sorted(values)
    cut = int(ROBUST / 2 * len(ordered))
    low, high = ordered[cut], ordered[-1 - cut]
    margin = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    return low - margin, high + margin
