"""What the specs have in common: frozen, unknown keys refused, errors of ours, YAML."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vae_batch.errors import SpecError

Precision = Literal["fp32", "bf16", "fp16"]
Seed = Annotated[int, Field(ge=0, lt=2**64)]


class Spec(BaseModel):
    """Base of the specs: frozen, unknown keys refused, errors as `SpecError`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SpecError(_explain(error, type(self))) from None

    def to_yaml(self) -> str:
        """Write the spec with the keys that differ from their defaults."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        kind = {"kind": self.__dict__["kind"]} if "kind" in self.__dict__ else {}
        text: str = yaml.safe_dump({**kind, **values}, sort_keys=False)
        return text


def _explain(error: ValidationError, spec: type[Spec]) -> str:
    lines = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {name!r}; the keys are {', '.join(spec.model_fields)}")
        elif item["type"] == "missing":
            lines.append(f"{name} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{name}={item['input']!r}: {message}" if name else message)
    return "; ".join(dict.fromkeys(lines))
