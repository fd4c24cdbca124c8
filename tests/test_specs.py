from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_batch.errors import SpecError
from vae_batch.specs import EncodeSpec, TrainSpec, load_spec

BASE = {"source": "a", "model": "b", "out": "c"}


@given(
    st.fixed_dictionaries(
        {k: st.just(v) for k, v in BASE.items()},
        optional={
            "batch_size": st.none() | st.integers(1, 4096),
            "precision": st.sampled_from(["fp32", "bf16", "fp16"]),
            "replicas": st.just("auto") | st.integers(1, 99),
            "gpus_per_replica": st.none() | st.floats(0, 8),
            "seed": st.integers(0, 2**64 - 1),
            "samples": st.integers(0, 10),
            "units": st.none() | st.sampled_from([":", "3:", ":4", "1:2"]),
            "columns": st.none() | st.text(max_size=5),
            "max_reject_rate": st.floats(0, 1),
        },
    )
)
def test_a_spec_survives_yaml(values: dict[str, object]) -> None:
    import tempfile

    spec = EncodeSpec(**values)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spec.yaml"
        file.write_text(spec.to_yaml())
        assert load_spec(file) == spec


@pytest.mark.parametrize(
    ("units", "numbers"), [(None, "012345"), ("1:3", "12"), (":2", "01"), ("4:", "45"), ("9:", "")]
)
def test_units_are_a_slice_of_the_plan(units: str | None, numbers: str) -> None:
    assert "".join(map(str, EncodeSpec(**BASE, units=units).unit_range(6))) == numbers


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_has_64_bits(seed: int) -> None:
    with pytest.raises(SpecError, match=f"seed={seed}"):
        EncodeSpec(**BASE, seed=seed)


def test_a_training_has_one_length() -> None:
    with pytest.raises(SpecError, match="give epochs or steps, not both"):
        TrainSpec(source="a", out="b", epochs=1, steps=1)


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        EncodeSpec(**BASE).seed = 3  # type: ignore[misc]
