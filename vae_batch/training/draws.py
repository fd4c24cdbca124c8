"""All that is drawn while training, as a function of (seed, step): nothing of it need be kept to go on.

Draws are made for whole batches, on the CPU, and then shared out: neither workers nor devices change them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from vae_batch import storage


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """Give a generator for one purpose."""
    digest = storage.json_sha256([seed, purpose, number])
    return torch.Generator().manual_seed(int(digest[:16], 16))


def normals(seed: int, step: int, shape: Sequence[int]) -> Tensor:
    """Give the standard normals of a step, float32."""
    return torch.randn(tuple(shape), generator=generator(seed, "normals", step))


def batch_of(seed: int, step: int, images: int, batch_size: int) -> Tensor:
    """Give the numbers of a step's images, (batch_size,) from 0 to images - 1.

    Every pass over the images has a new order and leaves out an odd rest.
    """
    epoch, place = divmod(step - 1, images // batch_size)
    return _order(seed, epoch, images)[place * batch_size : (place + 1) * batch_size]


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, images: int) -> Tensor:
    return torch.randperm(images, generator=generator(seed, "order", epoch))


def held_out(ids: Sequence[str], share: float) -> Tensor:
    """Say which images are held out for validation, (N,) bool.

    An image's id alone decides, whatever the seed: it stays on its side when others come or go.
    """
    limit = int(share * 2**32)
    return torch.tensor([_place(image_id) < limit for image_id in ids], dtype=torch.bool)


def _place(image_id: str) -> int:
    key = hashlib.blake2b(image_id.encode(), digest_size=4, person=b"validation").digest()
    return int.from_bytes(key, "little")
