"""The limit: what one core needs to decode an image and to encode it, and nothing else, times the cores.

One process, one thread, nothing in parallel; reading, noise, Parquet and Ray cost nothing here.
"""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.task import IMAGE_SIZE, Task, load_ready, posterior, run_way
from vae_batch.images import Transform, load_image

BATCHES, WARM_BATCHES = 40, 5


def encode(task: Task) -> dict[str, float]:
    torch.set_num_threads(1)
    model = load_ready(task)
    files = [path.read_bytes() for path in islice(sorted(Path(task.files).iterdir()), 1000)]
    pixels = np.zeros((task.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    transform, decode, forward = Transform(IMAGE_SIZE), 0.0, 0.0
    with torch.inference_mode():
        for batch in range(WARM_BATCHES + BATCHES):
            if batch == WARM_BATCHES:
                decode = forward = 0.0
            begun = time.perf_counter()
            for slot in range(task.batch_size):
                load_image(files[(batch * task.batch_size + slot) % len(files)], transform, pixels[slot])
            decoded = time.perf_counter()
            posterior(model, torch.from_numpy(pixels).permute(0, 3, 1, 2))
            forward += time.perf_counter() - decoded
            decode += decoded - begun
    images = BATCHES * task.batch_size
    per_image = (decode + forward) / images
    return {
        "seconds": task.images * per_image / task.cores,
        "decode_us": decode / images * 1e6,
        "model_us": forward / images * 1e6,
    }


if __name__ == "__main__":
    run_way(encode)
