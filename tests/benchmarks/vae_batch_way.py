"""vae_batch over the tars. Besides mean and variance it writes what it always does: a sample, the KL, digests.

`seconds` is the run's own account: from the first replica that has its model to the last part published.
"""

from __future__ import annotations

import vae_batch
from tests.benchmarks.task import Task, run_way


def encode(task: Task) -> dict[str, float]:
    spec = vae_batch.EncodeSpec(
        source=task.tars,
        model=task.model,
        out=task.out,
        batch_size=task.batch_size,
        precision=task.precision,
        replicas=task.cores,
        address="local",
    )
    run = vae_batch.encode(spec).run
    return {"seconds": run["seconds"], **run["stage_seconds"]}


if __name__ == "__main__":
    run_way(encode)
