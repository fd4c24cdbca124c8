"""The DataLoader way at its best: the model on one thread, so that the workers keep their share of the cores."""

import torch

from tests.benchmarks.dataloader_way import encode
from tests.benchmarks.task import run_way

if __name__ == "__main__":
    torch.set_num_threads(1)
    run_way(encode)
