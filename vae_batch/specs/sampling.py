"""Where `generate` takes its latents from: the samplers, and which options go with which."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from vae_batch.specs.work import WorkSpec

SamplerName = Literal["prior", "fitted", "posterior", "reconstruct", "given", "interpolate", "traverse", "grid", "edit"]
Path = Literal["lerp", "slerp"]

SAMPLER_OPTIONS: dict[SamplerName, tuple[str, ...]] = {
    "prior": ("temperature", "truncation"),
    "fitted": ("latents", "where", "components", "fit", "temperature"),
    "posterior": ("latents", "where", "draws"),
    "reconstruct": ("latents", "where"),
    "given": ("latents", "latent_column"),
    "interpolate": ("latents", "where", "pairs", "across", "steps", "path"),
    "traverse": ("latents", "where", "around", "dimensions", "reach", "steps"),
    "grid": ("latents", "where", "around", "dimensions", "steps"),
    "edit": ("latents", "where", "attribute", "balance", "strength", "fit"),
}
"""Which options go with which sampler; any other is refused."""


class SamplingSpec(WorkSpec):
    """Where the latents come from."""

    sampler: SamplerName = "prior"
    """prior: N(0, I); fitted: a density fitted to encoded posteriors; posterior: draws around encoded images;
    reconstruct: their means; given: your own; interpolate: ways between two encoded images; traverse: one dimension
    after the other over a range; grid: two dimensions over the prior; edit: an attribute added to encoded images."""
    latents: str | None = None
    """An encoded data set of the same model; given: a Parquet file, or a folder of them."""
    where: str | None = None
    """SQL over the columns of `latents`: only the rows for which it is true, such as `Smiling AND NOT Male`; edit: only
    these are edited, and the attribute is learnt from all."""
    components: int = Field(default=1, ge=1, le=1024)
    """fitted: Gaussians, each with a full covariance."""
    fit: str | None = None
    """fitted: the fit file of an earlier job, instead of `latents`; edit: that of an earlier job, with its vector."""
    draws: int = Field(default=1, ge=1, le=1024)
    """posterior: for each encoded image."""
    latent_column: str = "latent"
    """given: the column of lists of floats."""
    temperature: float = Field(default=1.0, gt=0)
    """prior, fitted: factor of the standard deviation."""
    truncation: float | None = Field(default=None, ge=0.1)
    """prior: draw numbers beyond this many standard deviations anew (Brock et al. 2019); None: none."""
    pairs: str | None = None
    """interpolate: a CSV file with columns source_id and target_id; None: pairs by the seed."""
    across: str | None = None
    """interpolate: SQL; pairs by the seed lead from an image for which it is false to one for which it is true."""
    path: Path = "lerp"
    """interpolate: a straight line, or slerp, an arc around 0."""
    steps: int = Field(default=7, ge=2, le=1024)
    """interpolate: images of a pair, the two ends included; traverse: of a dimension; grid: a side."""
    around: str | None = None
    """traverse, grid: id of the encoded image that all else is kept from; None: the mean of those encoded, and 0
    without `latents`."""
    dimensions: tuple[int, ...] | None = None
    """traverse: numbers of dimensions, from 0; None: the active ones. grid: two; None: 0,1 of two."""
    reach: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    """traverse: from -reach to reach, standard deviations of the prior."""
    attribute: str | None = None
    """edit: a column of `latents` (numbers that are not of two values are split at their median), or an SQL
    condition."""
    balance: tuple[str, ...] = ()
    """edit: columns whose own effect is taken out of the attribute's vector."""
    strength: tuple[float, ...] = (1.0,)
    """edit: how many times the vector is added, such as `-1,0,1,2`: an image for each."""

    @field_validator("dimensions", "balance", "strength", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return [value] if isinstance(value, int | float) else value

    @field_validator("strength")
    @classmethod
    def _strengths(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or not all(map(math.isfinite, value)):
            raise ValueError("give finite numbers, such as -1,0,1,2")
        return value

    @field_validator("dimensions")
    @classmethod
    def _dimensions(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or min(value) < 0 or len(set(value)) < len(value)):
            raise ValueError("give numbers of dimensions from 0, each once, such as 3,17")
        return value

    @property
    def endless(self) -> bool:
        """Whether the sampler makes as many images as are asked for."""
        return self.sampler in ("prior", "fitted") or (self.sampler == "interpolate" and self.pairs is None)

    @model_validator(mode="after")
    def _options_of_the_sampler(self) -> Self:
        mine = SAMPLER_OPTIONS[self.sampler]
        for name in sorted({name for names in SAMPLER_OPTIONS.values() for name in names}.difference(mine)):
            if getattr(self, name) != type(self).model_fields[name].default:
                who = " and ".join(s for s, names in SAMPLER_OPTIONS.items() if name in names)
                raise ValueError(f"{name} goes with the sampler {who}, not with {self.sampler}")
        if self.sampler == "fitted" and self.fit is not None:
            if (self.latents, self.where, self.components) != (None, None, 1):
                raise ValueError("fit is a fit that is made already: it goes without latents, where and components")
        elif self.latents is None and self.sampler not in ("prior", "traverse", "grid"):
            what = "a Parquet file of latents" if self.sampler == "given" else "an encoded data set"
            raise ValueError(f"the sampler {self.sampler} wants latents: {what}")
        return self

    @model_validator(mode="after")
    def _options_of_each_other(self) -> Self:
        if self.sampler == "interpolate" and None not in (self.pairs, self.across):
            raise ValueError("give pairs or across, not both: the pairs themselves, or a condition to find some by")
        if self.sampler in ("traverse", "grid") and self.latents is None:
            if (self.where, self.around) != (None, None):
                raise ValueError("where and around speak of encoded images: give latents")
            if self.sampler == "traverse" and self.dimensions is None:
                raise ValueError(
                    "the sampler traverse wants latents, to know which dimensions are active, or dimensions"
                )
        if self.sampler == "grid" and self.dimensions is not None and len(self.dimensions) != 2:
            raise ValueError(f"dimensions={','.join(map(str, self.dimensions))}: a grid is of two, such as 3,17")
        if self.sampler == "edit":
            if [self.attribute, self.fit].count(None) != 1:
                raise ValueError("the sampler edit wants attribute or fit, one of the two: what to add")
            if self.fit is not None and self.balance:
                raise ValueError("fit is a vector that is made already: it goes without balance")
        return self
