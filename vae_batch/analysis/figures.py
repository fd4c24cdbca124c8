"""Figures on white, of one look; drawn off screen, with no state shared between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_batch.errors import SpecError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

U8 = npt.NDArray[np.uint8]

BLUE, ORANGE, RED, GRAY, INK = "#2a6f97", "#e07a2f", "#c1121f", "#9aa5b1", "#22313f"
DPI = 120
EXTRA = ("matplotlib", "jinja2")

_LOOK: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#c5ccd3",
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e9edf1",
    "xtick.color": "#5b6975",
    "ytick.color": "#5b6975",
    "legend.frameon": False,
}


def check_extra(what: str) -> None:
    """Refuse to begin what ends in pictures that cannot be drawn.

    Args:
        what: the option or command that draws them.

    Raises:
        SpecError: matplotlib or jinja2 is not installed.
    """
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        raise SpecError(f"{what} needs {' and '.join(missing)}: pip install 'vae_batch[report]'")


@contextmanager
def figure(path: Path, width: float, height: float, fitted: bool = True) -> Iterator[Figure]:
    """Give an empty figure of so many inches, and write it as PNG afterwards.

    `fitted`: axes are placed so that all words have room; without, they lie where they were put.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_LOOK):
        drawing = Figure(figsize=(width, height), dpi=DPI, layout="constrained" if fitted else None)
        FigureCanvasAgg(drawing)
        yield drawing
        drawing.savefig(path, facecolor="white")


def show_images(axes: Axes, rows: U8, gap: int = 2) -> None:
    """Fill axes with rows of images (R, C, H, W, 3), without ticks."""
    axes.imshow(montage(rows, gap), interpolation="lanczos", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def montage(rows: U8, gap: int = 2) -> U8:
    """Lay images (R, C, H, W, 3) out on white, `gap` pixels apart."""
    height = rows.shape[2]
    padding: Any = ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0))
    spaced = np.pad(rows, padding, constant_values=255)
    sheet = spaced.transpose(0, 2, 1, 3, 4).reshape(len(rows) * (height + gap), -1, 3)
    return np.ascontiguousarray(sheet[:-gap, :-gap] if gap else sheet)
