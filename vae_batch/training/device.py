"""Where training runs, and in which arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vae_batch.errors import SpecError


def choose_device(wish: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device.

    Raises:
        SpecError: "cuda" was asked for and torch sees none.
    """
    available = torch.cuda.is_available()
    if wish == "cuda" and not available:
        raise SpecError(
            f"device=cuda, but torch {torch.__version__} sees no CUDA device here: install a CUDA build of torch "
            "where there is a GPU, or give --device cpu"
        )
    return torch.device("cuda" if available and wish != "cpu" else "cpu")


def autocast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """Say what convolutions run in: for "auto" bfloat16 where the hardware multiplies it faster; None is float32.

    On CPUs that is so with AMX; where bfloat16 is only emulated or converted, float32 is as fast.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
    return torch.bfloat16 if capabilities.get("amx_tile") or capabilities.get("amx_bf16") else None


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from the seed inside, with deterministic convolutions; leave the process as it was."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
