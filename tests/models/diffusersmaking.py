"""For tests: small autoencoders of diffusers with random weights, in folders as `save_pretrained` leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

KL: dict[str, Any] = {
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "norm_num_groups": 4,
    "sample_size": 32,
    "force_upcast": False,
}
TINY: dict[str, Any] = {
    "encoder_block_out_channels": (8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8),
    "num_encoder_blocks": (1, 1, 1),
    "num_decoder_blocks": (1, 1, 1),
}
DC: dict[str, Any] = {
    "latent_channels": 4,
    "attention_head_dim": 8,
    "scaling_factor": 0.5,
    **{f"{half}_block_types": ("ResBlock", "EfficientViTBlock") for half in ("encoder", "decoder")},
    **{f"{half}_block_out_channels": (8, 16) for half in ("encoder", "decoder")},
    **{f"{half}_layers_per_block": (1, 1) for half in ("encoder", "decoder")},
    **{f"{half}_qkv_multiscales": ((), (5,)) for half in ("encoder", "decoder")},
}
MADE_OF = {"AutoencoderKL": KL, "AutoencoderTiny": TINY, "AutoencoderDC": DC}


def make(
    name: str, folder: Path, variant: str | None = None, change: Callable[[Any], None] | None = None, **config: Any
) -> Any:
    """Save a network, and give it.

    Args:
        name: its class.
        folder: where it goes.
        variant: of the weights' file name.
        change: made to its weights before they are saved.
        config: other than `MADE_OF` has it.
    """
    import diffusers

    torch.manual_seed(0)
    network = getattr(diffusers, name)(**{**MADE_OF[name], **config}).eval()
    if change is not None:
        with torch.no_grad():
            change(network)
    network.save_pretrained(folder, variant=variant)
    return network


def overflow_fp16(network: Any) -> None:
    """Let 27 inputs of a white image add up to more than 65,504 in an AutoencoderKL; of a grey one they do not."""
    network.encoder.conv_in.weight[0] = 1e4


def overflow_fp32(network: Any) -> None:
    """Let an AutoencoderTiny give infinities, and then no numbers, for a white image and for no darker one."""
    into, block = network.encoder.layers[0], network.encoder.layers[1].conv
    into.weight[0], into.bias[0] = 1.0, -20.0  # 27 pixels in [0, 1]: positive for white alone
    block[0].weight[0], block[0].bias[0] = 0.0, 0.0
    block[0].weight[0, 0, 1, 1] = 1.0
    block[2].weight[:, 0, 1, 1] = 3e38


def edit_config(folder: Path, *without: str, **changes: Any) -> None:
    """Change config.json, and leave keys out."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if key not in without}))
