"""How many replicas, and what each takes: from the spec and the cluster, never from this process's own devices."""

from __future__ import annotations

from typing import Any, Literal

from vae_batch.cluster.connect import Cluster
from vae_batch.cluster.replica import Resources
from vae_batch.errors import NoResourcesError


def choose(
    cluster: Cluster,
    replicas: int | Literal["auto"],
    gpus_per_replica: float | None,
    cpus_per_replica: int | None,
) -> tuple[int, Resources]:
    """Choose the number of replicas and the resources of each.

    Raises:
        NoResourcesError: no node of a private cluster could ever hold one replica.
    """
    with_gpu = [n for n in cluster.nodes if n.get("GPU")]
    gpus = gpus_per_replica if gpus_per_replica is not None else float(bool(with_gpu))
    cpus = cpus_per_replica
    if cpus is None:
        shares = [int(n.get("CPU", 1) * gpus // n["GPU"]) for n in with_gpu] if gpus else []
        cpus = max(1, min(shares, default=1))
    resources = Resources(cpus, gpus)
    places = sum(_places(node, resources) for node in cluster.nodes)
    if not places and cluster.private:
        raise NoResourcesError(
            f"one replica asks for {cpus} CPUs and {gpus:g} GPUs, and this machine has "
            f"{cluster.total('CPU'):g} CPUs and {cluster.total('GPU'):g} GPUs: lower --cpus-per-replica or "
            "--gpus-per-replica, or give the --address of a larger cluster"
        )
    return (max(1, places) if replicas == "auto" else replicas), resources


def _places(node: dict[str, Any], resources: Resources) -> int:
    by_cpu = int(node.get("CPU", 0) // resources.cpus)
    return min(by_cpu, int(node.get("GPU", 0) // resources.gpus)) if resources.gpus else by_cpu
