"""Where training runs, and in which arithmetic."""

from __future__ import annotations

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


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Say what convolutions run in: bfloat16 where the hardware multiplies it faster, else None for float32.

    On CPUs that is so with AMX; where bfloat16 is only emulated or converted, float32 is as fast.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
    return torch.bfloat16 if capabilities.get("amx_tile") or capabilities.get("amx_bf16") else None
