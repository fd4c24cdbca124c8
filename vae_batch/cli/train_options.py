"""The options that are keys of a train spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_OPTIONS = [
    click.option(
        "--architecture", type=click.Choice(["conv", "resnet", "burgess"]), default="conv", show_default=True,
        help="conv: small, fast; resnet: residual, 64 to 256 pixels; burgess: of the published β-VAE, 64 pixels.",
    ),
    click.option("--image-size", type=int, default=64, show_default=True, help="Pixels a side: a multiple of 16."),
    click.option("--latent-dim", type=int, default=64, show_default=True, help="Dimensions of the posterior."),
    click.option("--latent-grid", type=int, help="resnet: a map of so many places a side.  [default: a vector]"),
    click.option("--width", type=int, help="Channels of the finest level.  [default: the architecture's own]"),
    click.option("--epochs", type=int, help="Passes over the images.  [default: 20, without --steps]"),
    click.option("--steps", type=int, help="Batches, instead of --epochs."),
    click.option("--batch-size", type=int, help="Images in a batch, over all workers.  [default: 32]"),
    click.option("--learning-rate", type=float, help="Of AdamW, at its highest.  [default: 0.001]"),
    click.option("--weight-decay", type=float, help="Of AdamW, on matrices and kernels.  [default: 0]"),
    click.option(
        "--likelihood", type=click.Choice(["gaussian", "bernoulli"]), default="gaussian", show_default=True,
        help="p(x|z), per pixel and channel.",
    ),
    click.option("--sigma", type=float, help="gaussian: fixed, pixels in [0, 1].  [default: each batch's optimum]"),
    click.option(
        "--terms", type=click.Choice(["elbo", "reconstruction", "kl"]), default="elbo", show_default=True,
        help="Terms of the loss that are trained.",
    ),
    click.option("--beta", type=float, default=1.0, show_default=True, help="Weight of the rate."),
    click.option("--kl-warm-up", type=int, help="Steps over which the rate's weight rises from 0.  [default: 0]"),
    click.option("--free-bits", type=float, help="Nats a dimension may have for nothing.  [default: 0]"),
    click.option("--capacity", type=float, help="Nats: hold the rate at a target that rises to this."),
    click.option("--capacity-steps", type=int, help="Steps over which it rises.  [default: half of all]"),
    click.option("--ema", type=float, help="Decay per step of averaged weights, such as 0.999.  [default: 0, none]"),
    click.option(
        "--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True,
        help="What convolutions compute in; auto: bf16 where the hardware multiplies it faster.",
    ),
    click.option("--compile", is_flag=True, help="Use torch.compile: pays on GPUs and in long trainings."),
    click.option("--validation", type=float, default=0.05, show_default=True, help="Share of the images held out."),
    click.option("--workers", type=int, default=1, show_default=True, help="Processes that share each batch."),
    click.option("--address", help="Ray cluster of several workers.  [default: RAY_ADDRESS, else a private one]"),
    click.option("--cache", metavar="FOLDER", help="Of the decoded images.  [default: in OUT, while training]"),
    click.option("--checkpoint-seconds", type=float, default=300, show_default=True, help="Between checkpoints."),
    click.option(
        "--logger", type=click.Choice(["tensorboard", "wandb"]), multiple=True,
        help="Beside metrics.jsonl. May be given again.",
    ),
    click.option("--report", is_flag=True, help="Leave curves, reconstructions and traversals in OUT/report."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same machine: same weights."),
]  # fmt: skip


def options_of_train(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add them to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
