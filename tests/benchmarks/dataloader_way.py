"""torch's DataLoader over the files: as many worker processes as cores decode with Pillow, this process encodes.

The threads of torch are left as they come, one for each core: that is how such scripts are written, and it is slow
here, since they and the workers wait for each other. `dataloader_1_thread_way` has the one line that mends it.
`seconds` begins when the model is loaded and warm.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from tests.benchmarks.task import IMAGE_SIZE, Task, load_ready, posterior, run_way


class Pictures(Dataset[tuple[str, torch.Tensor]]):
    def __init__(self, folder: str) -> None:
        self.paths = sorted(str(path) for path in Path(folder).iterdir())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, torch.Tensor]:
        with Image.open(self.paths[index]) as image:
            picture = image.convert("RGB")
        side, left, top = min(picture.size), *((edge - min(picture.size)) // 2 for edge in picture.size)
        picture = picture.crop((left, top, left + side, top + side))
        picture = picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
        return self.paths[index], torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def vectors(batches: list[np.ndarray]) -> pa.Array:
    values = np.concatenate(batches)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def encode(task: Task) -> dict[str, float]:
    model = load_ready(task)
    Path(task.out).mkdir(parents=True)
    begun = time.perf_counter()
    loader = DataLoader(Pictures(task.files), batch_size=task.batch_size, num_workers=task.cores)
    paths: list[str] = []
    means, variances = [], []
    with torch.inference_mode():
        for names, pixels in loader:
            mean, variance = posterior(model, pixels)
            paths += names
            means.append(mean)
            variances.append(variance)
    columns = {"path": pa.array(paths), "mean": vectors(means), "variance": vectors(variances)}
    pq.write_table(pa.table(columns), Path(task.out) / "latents.parquet")
    return {"seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    run_way(encode)
