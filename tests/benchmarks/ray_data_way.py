"""Ray Data over the files, as its guide to batch inference has it: read_images, map_batches, write_parquet.

`seconds` begins when the first actor has its model, warm: by then the cluster has long been up and some images are
read already, a present to this way. `size=` resizes in the reading tasks and squashes the picture instead of
cropping it: less work, and far less to move, than whole pictures through the object store.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from tests.benchmarks.task import IMAGE_SIZE, Task, load_ready, posterior, run_way

ACTOR_CPUS = 0.5
"""Two actors of a whole core each would leave the reading tasks none, and the job would hang."""


class Encoder:
    def __init__(self, task: Task, ready: Path) -> None:
        torch.set_num_threads(1)
        self.model = load_ready(task)
        (ready / str(time.time())).touch()

    @torch.inference_mode()
    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        pixels = torch.from_numpy(np.ascontiguousarray(batch["image"]))
        mean, variance = posterior(self.model, pixels.permute(0, 3, 1, 2))
        return {"path": batch["path"], "mean": mean, "variance": variance}


def encode(task: Task) -> dict[str, float]:
    ready = Path(task.out) / "ready"
    ready.mkdir(parents=True)
    ray.init(address="local", num_cpus=task.cores, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    dataset = ray.data.read_images(task.files, size=(IMAGE_SIZE, IMAGE_SIZE), mode="RGB", include_paths=True)
    dataset = dataset.map_batches(
        Encoder,
        fn_constructor_args=(task, ready),
        batch_size=task.batch_size,
        num_cpus=ACTOR_CPUS,
        compute=ray.data.ActorPoolStrategy(size=task.cores),
    )
    dataset.write_parquet(str(Path(task.out) / "data"))
    return {"seconds": time.time() - min(float(path.name) for path in ready.iterdir())}


if __name__ == "__main__":
    run_way(encode)
