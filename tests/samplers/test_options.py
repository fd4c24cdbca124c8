"""Which options go with which sampler."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

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
        ("interpolate", {"latents": "x", "pairs": "p", "across": "a", "count": None}, "give pairs or across, not both"),
        ("interpolate", {"latents": "x", "count": None}, "give count or indices"),
        ("interpolate", {}, "the sampler interpolate wants latents"),
        ("interpolate", {"latents": "x", "steps": 1}, "steps=1: Input should be greater than or equal to 2"),
        ("traverse", {}, "wants latents, to know which dimensions are active, or dimensions"),
        ("traverse", {"dimensions": "1,1"}, "dimensions='1,1': give numbers of dimensions from 0, each once"),
        ("traverse", {"dimensions": "a"}, "dimensions='a': Input should be a valid integer"),
        ("traverse", {"dimensions": "1", "around": "x.jpg"}, "where and around speak of encoded images: give latents"),
        ("traverse", {"latents": "x", "reach": float("inf")}, "reach=inf: Input should be a finite number"),
        ("grid", {"dimensions": "1,2,3"}, "dimensions=1,2,3: a grid is of two"),
        ("grid", {"dimensions": "1,2", "reach": 2.0}, "reach goes with the sampler traverse, not with grid"),
        ("edit", {"latents": "x"}, "wants attribute or fit, one of the two"),
        ("edit", {"latents": "x", "attribute": "a", "fit": "f"}, "wants attribute or fit, one of the two"),
        ("edit", {"latents": "x", "fit": "f", "balance": "b"}, "it goes without balance"),
        ("edit", {"attribute": "a"}, "the sampler edit wants latents: an encoded data set"),
        ("edit", {"latents": "x", "attribute": "a", "strength": "1,nan"}, "strength='1,nan': give finite numbers"),
        ("edit", {"latents": "x", "attribute": "a", "strength": ""}, "strength='': give finite numbers"),
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


def test_lists_are_written_with_commas_or_as_lists() -> None:
    values = {"model": "m", "out": "o", "latents": "x", "sampler": "edit", "attribute": "a"}
    spec = GenerateSpec(**values, strength="-1, 0,2", balance="b,c")
    assert (spec.strength, spec.balance) == ((-1.0, 0.0, 2.0), ("b", "c"))
    assert GenerateSpec(**values, strength=[-1, 0, 2], balance=["b", "c"]) == spec
    assert GenerateSpec(**values, strength=2).strength == (2.0,)
    assert GenerateSpec(**yaml.safe_load(spec.to_yaml())) == spec
