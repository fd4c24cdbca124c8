"""What the lesson draws and counts, from the Parquet that its runs left and from their decoders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vae_batch.analysis.bells import draw_posteriors
from vae_batch.analysis.latent_pictures import draw_traversals
from vae_batch.analysis.matches import correlations, draw_correlations
from vae_batch.analysis.planes import Plane, draw_planes
from vae_batch.analysis.probes import Probe, probe_attributes
from vae_batch.cli.lesson_runs import Run
from vae_batch.noise import noise

ATTRIBUTES = ("smile", "skin_tone", "glasses", "beard", "hair_colour", "hair_length")
COLOURED_BY = "hair_colour"
SHOWN, CANDIDATES, DRAWS = 5, 200, 500
"""Faces drawn with their posteriors, those they are chosen from, and draws of the prior."""
ALONE, ELSEWHERE, LOST = 0.8, 0.4, 0.3
"""An attribute has a dimension to itself from the first correlation on, with no other above the second; it is lost
where a linear map of all dimensions explains less than the third."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """How the six dimensions know an attribute."""

    name: str
    dim: int
    """Of the best correlation."""
    r: float
    alone: bool
    """Whether that dimension knows it, and no other does."""
    probe: Probe

    @property
    def lost(self) -> bool:
        """Whether the latent knows next to nothing of it."""
        return (self.probe.score if self.probe.metric == "R²" else 2 * self.probe.score - 1) < LOST


def draw_three(path: Path, three: list[Run]) -> None:
    """Draw the planes of the runs of two dimensions."""
    colour = np.asarray(three[0].latents.array(COLOURED_BY), np.float32)
    draw_planes(path, [_plane(run) for run in three], colour, COLOURED_BY.replace("_", " "))


def _plane(run: Run) -> Plane:
    mean, variance = run.latents.array("mean"), run.latents.array("variance")
    sigma = np.sqrt(variance).mean()
    caption = f"{run.latents.array('kl').mean():.2f} nats per image, sigma of q {sigma:.2g}"
    return Plane(run.title, caption, mean, variance, run.decode)


def prior_psnr(run: Run) -> float:
    """Give the mean PSNR, dB, of images decoded from the prior, each against the drawn face most like it."""
    from vae_batch.work.rows import psnr

    z = noise(0, [f"prior {i}" for i in range(DRAWS)], run.latent_dim)[:, 0]
    images = (run.decode(z), run.faces(len(run.latents)))
    made, known = (x.reshape(len(x), -1).astype(np.float32) / 255.0 for x in images)
    squares = np.square(made).sum(1)[:, None] + np.square(known).sum(1) - 2.0 * made @ known.T
    return float(psnr(squares.min(1) / known.shape[1]).mean())


def prior_covered(run: Run) -> float:
    """Give the share of the prior's draws that lie within two standard deviations of some face's posterior."""
    z_K1D = noise(0, [f"prior {i}" for i in range(DRAWS)], run.latent_dim)
    mean, sigma = run.latents.array("mean"), np.sqrt(run.latents.array("variance"))
    return float(np.mean([(np.square((z - mean) / sigma).sum(1) <= 4.0).any() for z in z_K1D]))


def read_attributes(run: Run) -> list[Attribute]:
    """Say where each known attribute is in the latent."""
    mean, known = run.latents.array("mean"), _known(run)
    r_DA = correlations(mean, known)
    found = []
    for r_D, probe in zip(r_DA.T, probe_attributes(mean, known), strict=True):
        dim = int(np.abs(r_D).argmax())
        others = np.delete(np.abs(r_D), dim)
        alone = bool(abs(r_D[dim]) >= ALONE and (others <= ELSEWHERE).all())
        found.append(Attribute(probe.attribute, dim, float(r_D[dim]), alone, probe))
    return found


def draw_six(folder: Path, run: Run) -> None:
    """Draw faces with their posteriors, traversals, and the table of correlations."""
    mean, variance, known = run.latents.array("mean"), run.latents.array("variance"), _known(run)
    r_DA, names = correlations(mean, known), [name.replace("_", " ") for name in ATTRIBUTES]
    best = np.abs(r_DA).argmax(1)
    heads = [f"dim {dim}\n{names[a]}\nr = {r_DA[dim, a]:+.2f}" for dim, a in enumerate(best)]
    known_NA = np.stack(list(known.values()), axis=1)
    some = unlike(known_NA[:CANDIDATES], SHOWN)
    notes = [[f"{names[a]} {known_NA[i, a]:.2f}" for a in best] for i in some]
    images = run.faces(min(CANDIDATES, len(mean)))[some]
    draw_posteriors(folder / "six_faces.png", images, mean[some], variance[some], heads, notes)
    draw_traversals(folder / "six_traversals.png", run.decode, len(r_DA), dict(enumerate(heads)))
    draw_correlations(folder / "six_correlations.png", r_DA, names)


def unlike(known_NA: npt.NDArray[np.float64], count: int) -> list[int]:
    """Choose rows that differ: the first, then always the one farthest from those chosen."""
    chosen = [0]
    while len(chosen) < count:
        distances = np.square(known_NA[:, None] - known_NA[chosen]).sum(2).min(1)
        chosen.append(int(distances.argmax()))
    return chosen


def _known(run: Run) -> dict[str, npt.NDArray[np.float64]]:
    return {name: np.asarray(run.latents.array(name), np.float64) for name in ATTRIBUTES}
