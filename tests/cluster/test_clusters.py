"""Clusters of several nodes, and nodes with GPUs that are not there; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import FACES

PRELUDE = """
import sys
import ray, vae_batch
from ray.cluster_utils import Cluster
source, model, out = sys.argv[1:]

class Lines:
    def say(self, line): print(line, flush=True)
    def progress(self, state): pass

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
"""


def run(code: str, *arguments: object) -> str:
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        capture_output=True, text=True, timeout=180, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_address_is_used_and_left_running(faces: Path, model: Path, tmp_path: Path) -> None:
    said = run(
        """
cluster.add_node(num_cpus=2)
spec = vae_batch.EncodeSpec(source=source, model=model, out=out, unit_size=25, address=cluster.address)
assert vae_batch.encode(spec, Lines()).complete
import os
os.environ["RAY_ADDRESS"] = cluster.address
spec = vae_batch.EncodeSpec(source=source, model=model, out=out + "2", unit_size=25)
print(vae_batch.encode(spec, Lines()).rows, "rows again")
ray.init(cluster.address, logging_level="ERROR")
print(len(ray.nodes()), "nodes left running")
""",
        faces,
        model,
        tmp_path / "out",
    )
    assert said.count("2 nodes, 0 GPUs, 3 CPUs") == 2 and "Ray: the cluster at " in said
    assert f"{FACES} rows again" in said
    assert "3 replicas with 1 CPU each" in said
    assert "2 nodes left running" in said


def test_a_promised_gpu_that_is_not_there(faces: Path, model: Path, tmp_path: Path) -> None:
    said = run(
        """
cluster.add_node(num_cpus=1, num_gpus=1)
spec = vae_batch.EncodeSpec(source=source, model=model, out=out, address=cluster.address)
try:
    vae_batch.encode(spec, Lines())
except vae_batch.errors.NoResourcesError as error:
    print(error)
""",
        faces,
        model,
        tmp_path / "out",
    )
    assert "1 replica with 1 CPU and 1 GPU each" in said
    assert "was given GPU [0] by Ray, but torch" in said and "sees no CUDA device there" in said
    assert "--gpus-per-replica 0" in said


def test_nothing_at_an_address(faces: Path, model: Path, tmp_path: Path) -> None:
    said = run(
        """
spec = vae_batch.EncodeSpec(source=source, model=model, out=out, address="127.0.0.1:1")
try:
    vae_batch.encode(spec, Lines())
except vae_batch.errors.ClusterError as error:
    print("ClusterError:", error)
""",
        faces,
        model,
        tmp_path / "out",
    )
    assert "ClusterError: cannot reach the cluster at 127.0.0.1:1" in said
