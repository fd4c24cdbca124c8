"""Images a second of `vae_batch.generate` beside the limit: `python -m tests.benchmarks.generate vae_batch_demo/model`.

The limit is one core's time for the decoder and for writing the picture, times the cores; sampling, Parquet and Ray
cost nothing there. The model is a trained one: how long a picture takes to compress depends on what it shows. Both
take turns. Asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

BATCH, WARM_BATCHES, BATCHES = 64, 5, 40


def limit(model: str, codec: str, precision: str) -> tuple[float, float]:
    """Microseconds an image of decoder and codec, on one core."""
    import torch

    from vae_batch.images.codecs import encode_image
    from vae_batch.models import load_model

    torch.set_num_threads(1)
    vae = load_model(model).prepare("cpu", precision)
    z = torch.randn(BATCH, *vae.card.latent_shape)
    decoding = writing = 0.0
    for batch in range(WARM_BATCHES + BATCHES):
        if batch == WARM_BATCHES:
            decoding = writing = 0.0
        begun = time.perf_counter()
        with torch.inference_mode():
            x = (vae.decode(z) * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        decoded = time.perf_counter()
        for picture in x:
            encode_image(picture, codec)
        writing += time.perf_counter() - decoded
        decoding += decoded - begun
    return decoding / (BATCH * BATCHES) * 1e6, writing / (BATCH * BATCHES) * 1e6


def ours(model: str, codec: str, precision: str, count: int, cores: int) -> tuple[float]:
    """Images a second, from the first replica that has its model to the last part published."""
    import vae_batch

    with tempfile.TemporaryDirectory(prefix="vae_batch_benchmark_") as folder:
        spec = vae_batch.GenerateSpec(
            model=model, out=f"{folder}/out", count=count, codec=codec, precision=precision, replicas=cores,
            batch_size=BATCH, address="local",
        )  # fmt: skip
        return (float(vae_batch.generate(spec).run["images_per_second"]),)


def apart(call: str) -> list[float]:
    """Run a call of this module in a process of its own; give the numbers that it returns."""
    code = f"from tests.benchmarks.generate import *; print(*{call})"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return [float(number) for number in done.stdout.splitlines()[-1].split()]


def main() -> None:
    """Print both for each codec and precision."""
    from tests.benchmarks.encode import machine

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.generate", description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=40_000)
    parser.add_argument("--codecs", nargs="+", default=["png", "jpeg"])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--cores", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--repeats", type=int, default=2)
    told = parser.parse_args()
    print(machine())
    for precision in told.precision:
        for codec in told.codecs:
            which = f"{told.model!r}, {codec!r}, {precision!r}"
            turns = [
                (apart(f"limit({which})"), apart(f"ours({which}, {told.count}, {told.cores})")[0])
                for _ in range(told.repeats)
            ]
            decoding, writing = (statistics.median(turn[0][part] for turn in turns) for part in (0, 1))
            most, rate = told.cores * 1e6 / (decoding + writing), statistics.median(turn[1] for turn in turns)
            print(
                f"{precision} {codec:5} limit {most:,.0f} images/s (decoder {decoding:.0f} µs, codec {writing:.0f}"
                f" µs), vae_batch {rate:,.0f}: {rate / most:.2f} of it",
                flush=True,
            )


if __name__ == "__main__":
    main()
