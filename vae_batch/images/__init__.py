"""Bytes of an image file to pixels for a model: decoding, crop and resize."""

from vae_batch.images.decode import decode
from vae_batch.images.errors import ImageError
from vae_batch.images.place import overhang, upright_size
from vae_batch.images.transform import Transform, load_image

__all__ = ["ImageError", "Transform", "decode", "load_image", "overhang", "upright_size"]
