"""From a spec to a traversal or a grid: its centre and its dimensions."""

from __future__ import annotations

import math

import numpy as np

from vae_batch.errors import SpecError
from vae_batch.latents.moments import ACTIVE_THRESHOLD
from vae_batch.models import ModelCard
from vae_batch.samplers import Centre, Grid, Traverse, kept_fit, mean_and_active
from vae_batch.specs import GenerateSpec
from vae_batch.work.encoded import Encoded, Kept, Origin, open_encoded


def axes_origin(spec: GenerateSpec, card: ModelCard, kept: Kept) -> Origin:
    """Look for the centre and the dimensions, or take those of the job that is begun. Raises as `origin_of`."""
    dims = math.prod(card.latent_shape)
    _check(spec, dims)
    encoded = open_encoded(spec, card) if spec.latents is not None else None
    centre = kept_fit(Centre, *kept) if kept else _centre(spec, card, encoded)
    dimensions = tuple(centre.dimensions.tolist())
    fields = {
        **(encoded.fields if encoded else {"latents": None}),
        "around": spec.around,
        "dimensions": spec.dimensions and list(spec.dimensions),
        "steps": spec.steps,
    }
    remarks = encoded.remarks if encoded else ()
    if spec.sampler == "grid":
        grid = Grid((dimensions[0], dimensions[1]), spec.steps, spec.around)
        return Origin(grid, fields, remarks, lambda say: centre.to_bytes())
    if spec.dimensions is None:
        remarks += (f"{len(dimensions):,} of {dims:,} dimensions are active.",)
    traverse = Traverse(dimensions, spec.steps, spec.reach, spec.around)
    return Origin(traverse, {**fields, "reach": spec.reach}, remarks, lambda say: centre.to_bytes())


def _check(spec: GenerateSpec, dims: int) -> None:
    for number in spec.dimensions or ():
        if number >= dims:
            raise SpecError(f"--dimensions: there is no dimension {number}, latents have {dims:,} numbers, from 0")
    if spec.sampler == "grid" and spec.dimensions is None and dims != 2:
        raise SpecError(
            f"a grid is over two dimensions, and latents have {dims:,}: name two, such as --dimensions 0,1; "
            "`--sampler traverse` shows what each does"
        )


def _centre(spec: GenerateSpec, card: ModelCard, encoded: Encoded | None) -> Centre:
    """Give the centre, and the dimensions that are asked for, else the active ones."""
    named = (0, 1) if spec.sampler == "grid" and spec.dimensions is None else spec.dimensions
    dimensions = np.array(named or (), np.int64)
    if encoded is None:
        return Centre(np.zeros(math.prod(card.latent_shape)), dimensions, {"model": card.digest})
    point = np.zeros(0)
    if named is None or spec.around is None:
        point, active = mean_and_active(encoded.chosen)
        dimensions = active if named is None else dimensions
    if not len(dimensions):
        raise SpecError(
            f"no dimension of {spec.latents} is active (variance of the posterior mean >= {ACTIVE_THRESHOLD}): none "
            "would change the picture. See for yourself with --dimensions 0,1"
        )
    if spec.around is not None:
        point = encoded.chosen.means(encoded.chosen.positions([spec.around], "--around"))[0][0]
    return Centre(point, dimensions, {**encoded.facts(), "where": spec.where, "around": spec.around})
