"""Which options go with which sampler."""

from __future__ import annotations

from typing import Any

import pytest

from vae_batch.errors import SpecError
from vae_batch.specs import GenerateSpec


@pytest.mark.parametrize(
    ("sampler", "more", "message"),
    [
        ("prior", {"components": 2}, "components goes with the sampler fitted, not with prior"),
        ("prior", {"latents": "x"}, "latents goes with the sampler fitted and posterior and reconstruct and given"),
        ("fitted", {"latents": "x", "truncation": 1.0}, "truncation goes with the sampler prior"),
        ("fitted", {}, "the sampler fitted wants latents: an encoded data set"),
        ("fitted", {"latents": "x", "fit": "y"}, "goes without latents, where and components"),
        ("fitted", {"fit": "y", "components": 3}, "goes without latents, where and components"),
        ("fitted", {"fit": "y", "where": "a"}, "goes without latents, where and components"),
        ("fitted", {"fit": "y", "count": None}, "give count or indices"),
        ("posterior", {"latents": "x", "temperature": 0.5}, "temperature goes with the sampler prior and fitted"),
        ("reconstruct", {"latents": "x", "draws": 2}, "draws goes with the sampler posterior"),
        ("given", {"latents": "x", "where": "a"}, "where goes with the sampler"),
        ("given", {}, "the sampler given wants latents: a Parquet file"),
        ("given", {"latents": "x", "indices": "3"}, "give count or indices"),
    ],
)
def test_options_of_another_sampler_are_refused(sampler: str, more: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        GenerateSpec(**{"model": "m", "out": "o", "sampler": sampler, "count": 4, **more})


def test_the_data_gives_the_count() -> None:
    for sampler in ("posterior", "reconstruct", "given"):
        assert GenerateSpec(model="m", out="o", sampler=sampler, latents="x").count is None
