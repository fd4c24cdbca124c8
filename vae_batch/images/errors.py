"""The one error of this package."""

from __future__ import annotations

import re

from vae_batch.errors import VaeBatchError
from vae_batch.types import Stage

_OBJECT = re.compile(r" ?<[\w.]+(?: object)? at 0x[0-9a-f]+>")


class ImageError(VaeBatchError):
    """An image that could not be decoded or transformed; it becomes a reject."""

    def __init__(self, stage: Stage, error: str, message: str) -> None:
        message = _OBJECT.sub("", message)  # an address in memory would make other bytes of the same image
        super().__init__(f"{stage}: {error}: {message}")
        self.stage = stage
        """"decode" or "transform"."""
        self.error = error
        """Class name of the cause."""
        self.message = message

    def __reduce__(self) -> tuple[type[ImageError], tuple[Stage, str, str]]:
        return type(self), (self.stage, self.error, self.message)
