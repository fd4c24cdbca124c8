"""Images a second of `vae_batch.encode` beside the limit of the machine and the ways that people take today.

    python -m tests.benchmarks.encode --repeats 3 --json figures.json

Every way encodes the same JPEGs with the same weights, batch size and precision on the same two cores, each in a
process of its own, in turns; the median of the repeats counts. `images/s` is of the work alone, without the start of
Ray and the loading of models (each way's module says from where to where); `whole` is the life of the process, so
all of that included. Asserts nothing: times are for a quiet machine and a reader.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from tests.benchmarks.task import Task, make_images, make_model

WAYS = ("limit", "vae_batch", "ray_data", "dataloader", "dataloader_1_thread")
LIBRARIES = ("torch", "ray", "pyarrow", "pillow", "simplejpeg", "numpy")
Run = dict[str, Any]


def main() -> None:
    args = arguments()
    keep = nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory(prefix="vae_batch_benchmark_")
    with keep as folder:
        runs = measure(Path(folder).absolute(), args)
    print("\n" + machine())
    for precision in args.precision:
        print("\n" + table([run for run in runs if run["precision"] == precision], precision))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.encode", description=__doc__.split("\n")[0])
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--shard-size", type=int, default=1000, help="images in a tar")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=("fp32", "bf16"))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep images and outputs here, and use the images that are here")
    parser.add_argument("--json", type=Path, help="write every run's figures to this file")
    return parser.parse_args()


def measure(folder: Path, args: argparse.Namespace) -> list[Run]:
    tars, files = make_images(folder, args.shards, args.shard_size)
    model = make_model(folder / "model")
    images = args.shards * args.shard_size
    task = Task(str(tars), str(files), images, str(model), "", "fp32", args.batch_size, args.cores)
    runs = []
    for repeat in range(args.repeats):
        for precision in args.precision:
            for way in args.ways:
                out = folder / "out" / f"{way}-{precision}-{repeat}"
                runs.append(run(way, replace(task, precision=precision, out=str(out))))
                print(json.dumps(runs[-1]), flush=True)
    return runs


def run(way: str, task: Task) -> Run:
    """Run a way in a fresh process on the task's cores, and count what it wrote."""
    shutil.rmtree(task.out, ignore_errors=True)
    cores = sorted(os.sched_getaffinity(0))[: task.cores]
    command = [sys.executable, "-m", f"tests.benchmarks.{way if way == 'limit' else way + '_way'}", task.to_json()]
    begun = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores)
    )
    whole = time.perf_counter() - begun
    figures = json.loads(done.stdout.splitlines()[-1])
    if way != "limit":
        rows = ds.dataset(Path(task.out), format="parquet", exclude_invalid_files=True).count_rows()
        if rows != task.images:
            raise RuntimeError(f"{way} wrote {rows:,} rows of {task.images:,}")
    rate = task.images / figures["seconds"]
    return {"way": way, "precision": task.precision, "images_per_second": rate, "whole": whole, **figures}


def table(runs: list[Run], precision: str) -> str:
    """Medians by way, and how vae_batch stands to each."""
    rate, whole = ({way: _median(runs, way, key) for way in WAYS} for key in ("images_per_second", "whole"))
    lines = [f"{precision:<20}{'images/s':>10}{'of the limit':>14}{'vae_batch is':>14}{'whole':>10}"]
    for way in WAYS:
        if rate[way]:
            share = f"{rate[way] / rate['limit']:.2f}" if rate["limit"] else ""
            times = f"{rate['vae_batch'] / rate[way]:.2f} ×" if rate["vae_batch"] else ""
            seconds = f"{whole[way]:.1f} s" if way != "limit" else ""
            lines.append(f"{way:<20}{rate[way]:>10,.0f}{share:>14}{times:>14}{seconds:>10}")
    return "\n".join(lines)


def _median(runs: list[Run], way: str, key: str) -> float:
    return float(statistics.median([run[key] for run in runs if run["way"] == way] or [0.0]))


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, {libraries}"


if __name__ == "__main__":
    main()
