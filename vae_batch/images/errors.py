"""The one error of this package."""

from __future__ import annotations

from vae_batch.errors import VaeBatchError
from vae_batch.types import Stage


class ImageError(VaeBatchError):
    """An image that could not be decoded or transformed; it becomes a reject."""

    def __init__(self, stage: Stage, error: str, message: str) -> None:
        super().__init__(f"{stage}: {error}: {message}")
        self.stage = stage
        """"decode" or "transform"."""
        self.error = error
        """Class name of the cause."""
        self.message = message

    def __reduce__(self) -> tuple[type[ImageError], tuple[Stage, str, str]]:
        return type(self), (self.stage, self.error, self.message)
