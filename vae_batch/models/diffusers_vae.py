"""An autoencoder of diffusers as a `VAE`: AutoencoderKL, and AutoencoderTiny and AutoencoderDC, which have no variance.

They take and give pixels in [-1, 1]; here they are in [0, 1] as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from vae_batch.errors import ModelError
from vae_batch.models.base import ModelCard, Precision
from vae_batch.models.diffusers_folder import describe_diffusers, variant_of, weights_of
from vae_batch.models.gaussian import DiagonalGaussian
from vae_batch.models.hub import INSTALL

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_diffusers(folder: Path, ref: str, image_size: int | None = None) -> DiffusersVAE:
    """Load an autoencoder from the folder with its config.json, with diffusers' own code and from safetensors only.

    Raises:
        ModelError: diffusers is not installed, or the folder is incomplete, damaged or of a class that is not taken.
    """
    card = describe_diffusers(folder, ref, image_size)
    try:
        import diffusers
    except ImportError as error:
        raise ModelError(
            f"the model {ref} is one of diffusers, which cannot be imported here ({error}): {INSTALL}"
        ) from error
    weights = weights_of(folder)
    try:
        network, found = getattr(diffusers, card.extra["class"]).from_pretrained(
            folder,
            variant=variant_of(weights.name),
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(f"diffusers cannot load the model {ref}: {type(error).__name__}: {error}") from error
    if wrong := [*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])]:
        raise ModelError(
            f"{weights} does not fit config.json: {len(wrong)} tensors are missing or of another shape, such as "
            f"{', '.join(sorted(wrong)[:3])}"
        )
    return DiffusersVAE(network.float(), card)


class DiffusersVAE:
    """A network of diffusers that keeps the protocol `VAE`."""

    def __init__(self, network: Any, card: ModelCard) -> None:
        self.card = card
        self._network = network.eval().requires_grad_(False)
        self._dtype, self._format = torch.float32, torch.contiguous_format

    def prepare(self, device: str, precision: Precision) -> Self:
        """Make ready for inference, once: the network in the given precision, the last layers of its encoder in fp32.

        A model whose config.json has `force_upcast` runs in fp32 where fp16 is asked for.
        """
        self._dtype = DTYPES[self.card.runs_in(precision)]
        nn.Module.to(self._network, device=device, dtype=self._dtype)  # diffusers' own warns of nothing, each time
        if self._dtype != torch.float32:
            self._format = torch.channels_last
            self._network.to(memory_format=self._format)
            for layer in _heads(self._network):
                layer.float().register_forward_pre_hook(_in_float)
        return self

    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors of images, float32 in [0, 1]: mean and logvar (B, channels, H/f, W/f), float32.

        logvar lies in [-30, 20], as diffusers has it; one that is not finite stays so.

        Raises:
            ModelError: a side is no multiple of f.
        """
        f, (_, _, height, width) = self.card.extra["downscaling"], x_BCHW.shape
        if height % f or width % f:
            raise ModelError(
                f"the model {self.card.reference} takes sides that are multiples of {f}, not {height}×{width}"
            )
        x = (2.0 * x_BCHW - 1.0).to(self._dtype).contiguous(memory_format=self._format)
        given = self._network.encode(x, return_dict=False)[0]
        if self.card.deterministic:
            return DiagonalGaussian(given.float())
        asked = given.parameters.chunk(2, dim=1)[1]
        logvar = torch.where(asked.isfinite(), given.logvar, asked)
        return DiagonalGaussian(given.mean.float(), logvar.float())

    def decode(self, z: Tensor) -> Tensor:
        """Give the images of raw latents (B, channels, h, w): (B, C, f·h, f·w) float32 in [0, 1]."""
        image: Tensor = self._network.decode(z.to(self._dtype), return_dict=False)[0]
        return (image.float() / 2.0 + 0.5).clamp(0.0, 1.0)


def _heads(network: Any) -> Iterator[nn.Module]:
    """The layers that make mean and log-variance out of features."""
    yield network.encoder.conv_out if hasattr(network.encoder, "conv_out") else network.encoder.layers[-1]
    if getattr(network, "quant_conv", None) is not None:
        yield network.quant_conv


def _in_float(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.float() for tensor in given)
