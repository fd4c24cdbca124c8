"""What `evaluate` is told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vae_batch.specs.base import Seed, Spec


class EvaluateSpec(Spec):
    """What `evaluate` is told. Paths are relative to the working directory."""

    kind: Literal["evaluate"] = "evaluate"
    generated: str
    """A finished generated data set; or an encoded one, to be judged as if it were."""
    real: str
    """What to compare with, best images that the model was not trained on: an encoded data set of the same model, or a
    collection, which is encoded first, cut as the model's own images were."""
    train: str | None = None
    """The images that the model was trained on, encoded or a collection: asks whether it copies them."""
    where: str | None = None
    """SQL over the columns of `real`: only the rows for which it is true."""
    model: str | None = None
    """Where the model is now; None: where the job file of `generated` says."""
    work: str | None = None
    """Folder for what has to be encoded, kept for the next time; None: `generated`/.vae_batch/evaluate."""
    k: int = Field(default=5, ge=1, le=100)
    """Neighbours that the radii of precision, recall, density and coverage reach to."""
    limit: int = Field(default=10_000, ge=2, le=50_000)
    """Images of each set for all but the latent Fréchet distance, at most; chosen by seed and id."""
    seed: Seed = 0
    """Of that choice."""
    address: str | None = None
    """Ray cluster for what has to be encoded; None: RAY_ADDRESS, else a private one on this machine."""
    trust_model_code: bool = False
    """Allow a model whose file can run code, such as an exported program."""
