"""What `encode` is told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vae_batch.specs.images import ImagesSpec
from vae_batch.specs.work import WorkSpec


class EncodeSpec(WorkSpec, ImagesSpec):
    """What `encode` is told."""

    kind: Literal["encode"] = "encode"
    image_size: int | None = Field(default=None, ge=8, le=4096)
    """Pixels a side; None: the model's own."""
    samples: int = Field(default=1, ge=0, le=10_000)
    """Draws per image in the column `sample`."""
    diagnostics: bool = False
    """Add `mse` and `psnr` of the reconstruction from the mean."""
    sha256: bool = False
    """Add the digest of each image's bytes."""
    store: Literal["float32", "float16"] = "float32"
    """Type of `mean` and `sample`; the variance is always float32."""
    scaled: bool = False
    """Apply the model's scaling_factor, shift_factor or latents_mean/std to mean, variance and sample; not to kl."""
    columns: str | None = None
    """`name:type,...`: label columns to keep (string, float64, int64, bool, json); None: found by looking."""
    label_prefix: str = ""
    """Put before every label's name."""
    hang_seconds: float = Field(default=120, gt=0)
    """An image that takes longer to decode hangs: its replica is killed, and the image rejected if it does so again."""
    retry_rejects: bool = False
    """Make the units that have rejects anew."""
    extend: bool = False
    """Where the source has new files since OUT was begun: encode them, as further units."""
