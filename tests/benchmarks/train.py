"""Training against a hand-written loop: `python -m tests.benchmarks.train`.

Both train the same network from the same start on the same images, decoded before: ours as `vae-batch train` does,
with its checkpoints and figures; the other as one writes it in an afternoon: one process, torch's own threads, the
whole batch at once. They take turns, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from vae_batch.cluster.workers import train_on_workers
from vae_batch.images import Transform
from vae_batch.images.cache import CacheWriter, ImageCache
from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.specs import TrainSpec
from vae_batch.training import Watch, train
from vae_batch.training.device import autocast_dtype

SIZE, LATENT, BATCH = 64, 64, 32


def draw(count: int) -> Tensor:
    """Random smooth pictures, uint8 (N, 64, 64, 3): speed does not depend on what they show."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def by_hand(images_NHWC: Tensor, steps: int, dtype: torch.dtype | None) -> float:
    """Seconds of a plain loop over so many steps."""
    model = ConvVAE(ConvConfig(SIZE, LATENT)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    dims = SIZE * SIZE * 3
    start = time.perf_counter()
    for _ in range(steps):
        x = images_NHWC[torch.randint(len(images_NHWC), (BATCH,))].permute(0, 3, 1, 2).float() / 255.0
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            posterior = model.encode(x)
            y = model.expected(posterior.sample(torch.randn(BATCH, LATENT)))
        loss = 0.5 * (x - y).square().mean().log() + posterior.kl().mean() / dims
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - start


def keep(images_NHWC: Tensor, folder: Path) -> ImageCache:
    """Have images as `vae-batch train` has them when they are decoded."""
    (folder / "images").mkdir()
    (folder / "pixels").write_bytes(images_NHWC.numpy().tobytes())
    with CacheWriter(folder / "images", SIZE) as writer:
        writer.add(folder / "pixels", [str(i) for i in range(len(images_NHWC))], [])
    transform = {f"transform.{key}": value for key, value in Transform(SIZE).to_dict().items()}
    writer.finish({"source": "random smooth pictures", **transform})
    return ImageCache.open(folder / "images")


def ours(images: ImageCache, steps: int, folder: Path, workers: int) -> float:
    """Seconds of `train` over so many steps, without the reading, the linear start and the start of Ray."""
    out = tempfile.mkdtemp(dir=folder)
    spec = TrainSpec(source=".", out=out, steps=steps, batch_size=BATCH, validation=0, workers=workers)
    trained = train(spec, images, Watch()) if workers == 1 else train_on_workers(spec, images, Watch())
    return trained.last.seconds


def main() -> None:
    """Print images a second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=200, help="In a turn; the last one writes a checkpoint.")
    parser.add_argument("--turns", type=int, default=3)
    told = parser.parse_args()
    images, dtype = draw(told.images), autocast_dtype(torch.device("cpu"), "auto")
    print(f"{torch.get_num_threads()} threads, {dtype or torch.float32}, {told.turns} turns of {told.steps} steps")
    by_hand(images, 5, dtype)
    ratios: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        kept = keep(images, Path(folder))
        for _ in range(told.turns):
            theirs = by_hand(images, told.steps, dtype)
            one, two = (ours(kept, told.steps, Path(folder), workers) for workers in (1, 2))
            ratios.append((theirs / one, one / two))
            by, mine, shared = (told.steps * BATCH / seconds for seconds in (theirs, one, two))
            print(f"by hand {by:.0f}, vae-batch {mine:.0f}, on two workers {shared:.0f} images/s", flush=True)
    speed, workers = (statistics.median(ratio) for ratio in zip(*ratios, strict=True))
    print(f"medians: vae-batch to by hand {speed:.2f}, wanted 0.9; two workers to one {workers:.2f}, wanted 1")


if __name__ == "__main__":
    main()
