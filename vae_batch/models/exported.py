"""Exported programs (`torch.export.save`, `.pt2`) as a `VAE`.

The contract: a program takes one tensor. The encoder's x is float32, (B, C, H, W) in [0, 1], C = 1 or 3; it gives
`(mean, logvar)`, or one tensor from a deterministic autoencoder. The decoder's z is float32, (B, *latent); it gives
images in [0, 1]. Export in evaluation mode, with a dynamic batch unless the job is to have one size of batch:

    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(encoder.eval(), (torch.rand(8, 3, 64, 64),), dynamic_shapes=(batch,))
    torch.export.save(program, "model/encoder.pt2")

`--model` takes one encoder (`NAME.pt2`), or a folder with encoder.pt2 and, where there is one, decoder.pt2.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.base import ModelCard
from vae_batch.models.reference import ExportedReference
from vae_batch.models.remote import DECODER, ENCODER, fetch_programs
from vae_batch.models.user_module import UserVAE

Batches = tuple[int, int | None]


def load_exported(reference: ExportedReference, ref: str, image_size: int | None, trust_model_code: bool) -> UserVAE:
    """Load an encoder, and a decoder where there is one.

    Raises:
        ModelError: the user has not said that they trust the files; or these are no such programs.
    """
    if not trust_model_code:
        raise ModelError(
            f"--model {ref} is an exported program, and loading one can run code that is in the file "
            "(torch.export.load unpickles): if you trust where it comes from, give --trust-model-code (in Python "
            "trust_model_code=True)"
        )
    files = _files(reference.location)
    programs = [_load(file) for file in files]
    shapes = [_input_shape(program, file) for program, file in zip(programs, files, strict=True)]
    size, channels = _pixels(shapes[0], files[0], ref, image_size)
    batches = _common([_batches(program, shape) for program, shape in zip(programs, shapes, strict=True)], ref)
    parameters = sum(p.numel() for program in programs for p in program.parameters())
    card = ModelCard(
        "exported", ref, _digest(files), size, channels, (), False, parameters,
        decodes=len(programs) == 2, batch_sizes=None if batches == (1, None) else batches,
    )  # fmt: skip
    return UserVAE(Programs(ref, *programs), ref, card)


class Programs:
    """An encoder and perhaps a decoder, as `UserVAE` wants them."""

    def __init__(self, ref: str, encoder: ExportedProgram, decoder: ExportedProgram | None = None) -> None:
        self._ref, self._programs = ref, (encoder, decoder)
        self._encoder, self._decoder = map(_runnable, self._programs)

    def encode(self, x_BCHW: Tensor) -> Any:
        """Run the encoder."""
        assert self._encoder is not None
        return self._encoder(x_BCHW)

    def decode(self, z: Tensor) -> Any:
        """Run the decoder; raises ModelError where there is none."""
        if self._decoder is None:
            raise ModelError(
                f"--model {self._ref} has no decoder: put it beside the encoder, encoder.pt2 and decoder.pt2 in one "
                "folder, and give the folder"
            )
        return self._decoder(z)

    def to(self, device: str) -> None:
        """Move the programs, with the constants and devices that are written in them."""
        moved = [program and move_to_device_pass(program, device) for program in self._programs]
        self._encoder, self._decoder = map(_runnable, moved)


def _runnable(program: ExportedProgram | None) -> nn.Module | None:
    return None if program is None else program.module().requires_grad_(False)


def _files(location: str) -> list[Path]:
    """Find the encoder's file, and the decoder's where there is one."""
    place = fetch_programs(location) if storage.is_remote(location) else Path(location)
    if place.is_file():
        return [place]
    return [file for name in (ENCODER, DECODER) if (file := place / name).exists()]


def _load(file: Path) -> ExportedProgram:
    try:
        program = torch.export.load(str(file))
    except Exception as error:
        raise ModelError(
            f"{file} cannot be read as an exported program by torch {torch.__version__}: {type(error).__name__}: "
            f"{error}; write it with torch.export.save, by a torch no newer than this"
        ) from error
    if wrong := next(filter(_trains, program.graph.nodes), None):
        raise ModelError(
            f"{file} was exported in training mode ({wrong.target}): call eval() on the module before exporting it"
        )
    return program


def _trains(node: torch.fx.Node) -> bool:
    """Whether an operation, such as dropout or batch normalisation, was told that this is training."""
    schema = getattr(node.target, "_schema", None)
    names = [argument.name for argument in schema.arguments] if schema else []
    return any(name in ("train", "training") and value is True for name, value in zip(names, node.args, strict=False))


def _input_shape(program: ExportedProgram, file: Path) -> tuple[Any, ...]:
    """Give the shape of the one tensor that a program takes; what is dynamic is no int."""
    names = program.graph_signature.user_inputs
    inputs = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or inputs[0].ndim < 2:
        raise ModelError(f"{file} takes {len(names)} inputs, {', '.join(map(str, names))}; it has to take one tensor")
    if inputs[0].dtype != torch.float32:
        raise ModelError(f"{file} takes {inputs[0].dtype}; it has to take float32: convert inside the module")
    return tuple(inputs[0].shape)


def _pixels(shape: tuple[Any, ...], file: Path, ref: str, image_size: int | None) -> tuple[int | None, int]:
    """Give image size (None: any) and channels of an encoder."""
    fixed = [side if isinstance(side, int) else None for side in shape]
    if len(fixed) != 4 or fixed[1] not in (1, 3) or fixed[2] != fixed[3]:
        raise ModelError(f"{file} takes a tensor of shape {shape}; an encoder takes (B, 3 or 1, S, S), square images")
    if image_size and fixed[2] not in (None, image_size):
        raise ModelError(f"the model {ref} takes images of {fixed[2]}×{fixed[2]} pixels, not {image_size}×{image_size}")
    return image_size or fixed[2], fixed[1]


def _batches(program: ExportedProgram, shape: tuple[Any, ...]) -> Batches:
    """Give the least and the most images in a batch; None: no most."""
    if isinstance(shape[0], int):
        return shape[0], shape[0]
    limits = program.range_constraints.get(shape[0].node.expr)
    if limits is None:  # derived from another dimension: the program itself will say
        return 1, None
    low = int(limits.lower)
    return 1 if low <= 2 else low, int(limits.upper) if limits.upper.is_Integer else None  # export writes 0 and 1 as 2


def _common(batches: list[Batches], ref: str) -> Batches:
    low, most = max(b[0] for b in batches), [b[1] for b in batches if b[1] is not None]
    if most and low > min(most):
        raise ModelError(
            f"--model {ref}: the encoder takes batches of {batches[0][0]} to {batches[0][1]} images and the decoder "
            f"{batches[1][0]} to {batches[1][1]}: export them with batches alike"
        )
    return low, min(most) if most else None


def _digest(files: list[Path]) -> str:
    """Hash the files' content, the encoder's first."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
