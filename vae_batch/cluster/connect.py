"""Find a Ray cluster or start a private one, quietly."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from vae_batch.cluster import signals
from vae_batch.errors import ClusterError, InterruptedJobError

# Images never travel through the object store: plans and receipts need little.
OBJECT_STORE_BYTES = 256 << 20

KNOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is to work on."""

    where: str
    private: bool
    """Started by us, and gone with us: no node will join it."""
    nodes: tuple[dict[str, float], ...]
    """Resources of each live node: CPU, GPU …"""

    def total(self, resource: str) -> float:
        """Sum of a resource over the nodes."""
        return sum(n.get(resource, 0.0) for n in self.nodes)

    def line(self) -> str:
        """Say which cluster it is, and how large."""
        counts = [_count(len(self.nodes), "node"), _count(int(self.total("GPU")), "GPU")]
        return f"Ray: {self.where}, {', '.join([*counts, _count(int(self.total('CPU')), 'CPU')])}."


@contextmanager
def connect(address: str | None = None, verbose: bool = False) -> Iterator[Cluster]:
    """Connect in Ray's own order: the address given, RAY_ADDRESS, else a private cluster on this machine.

    A connection that the caller already has is used and left open.

    Raises:
        ClusterError: nothing answers at the address, or the private cluster does not start.
    """
    if ray.is_initialized():
        yield look("the session's own", private=False)
        return
    named = address or os.environ.get("RAY_ADDRESS")
    private = named in (None, "", "local")
    where = "a private cluster on this machine" if private else f"the cluster at {named}"
    try:
        if not private:
            _knock(str(named))
        _init(None if private else named, verbose)
    except SystemExit:  # Ray's handler of SIGTERM, until we listen again
        raise InterruptedJobError("SIGTERM") from None
    except (ConnectionError, RuntimeError, OSError, ValueError, TimeoutError) as error:
        raise ClusterError(f"cannot {'start' if private else 'reach'} {where}: {error}") from None
    try:
        signals.listen()
        yield look(where, private)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Fail at once where nothing listens at `host:port`: Ray itself would try for minutes."""
    if address.startswith(("http://", "https://")):
        raise ConnectionError("that is a dashboard's address; give the cluster's own, host:6379, or ray://host:10001")
    if "://" in address:
        return
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def _init(address: str | None, verbose: bool) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    level = logging.INFO if verbose else logging.ERROR
    options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": level}
    if address is None:
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    ray.init(address=address or "local", **options)


def look(where: str, private: bool) -> Cluster:
    """Describe the cluster as it is now."""
    nodes = tuple(n["Resources"] for n in ray.nodes() if n["Alive"])
    return Cluster(where, private, nodes)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
