"""Where the time of a job went, in one sentence that a person can act on."""

from __future__ import annotations

from collections import Counter

_SLOW_STORAGE = "Publishing bounds this job, the storage that holds OUT is slow: larger units (--unit-size) may help."


def bound_by(seconds: Counter[str], precision: str) -> str:
    """Name the stage that bounds a job, from seconds by stage summed over its replicas.

    Args:
        seconds: of reading, decoding, device, writing, waiting and publishing; of a job that generates, of sampling,
            device, codec, writing and publishing.
        precision: of the job.
    """
    return _generating(seconds, precision) if "codec" in seconds else _encoding(seconds, precision)


def _generating(seconds: Counter[str], precision: str) -> str:
    stages = {name: seconds[name] for name in ("sample", "device", "codec", "write")}
    total, slowest = sum(stages.values()) or 1.0, max(stages, key=lambda name: stages[name])
    if seconds["publish"] > total:
        return _SLOW_STORAGE
    share = f"{stages[slowest] / total:.0%} of the time"
    if slowest == "device":
        faster = "" if precision != "fp32" else " (or --precision bf16)"
        return f"The decoder bounds this job ({share}): more replicas or a faster device help{faster}."
    if slowest == "codec":
        return f"Writing pictures bounds this job ({share}): --codec jpeg or more --cpus-per-replica help."
    what = "Sampling" if slowest == "sample" else "Writing"
    return f"{what} bounds this job ({share}): more replicas help."


def _encoding(seconds: Counter[str], precision: str) -> str:
    total = sum(seconds[stage] for stage in ("device", "write", "wait")) or 1.0
    share = {stage: seconds[stage] / total for stage in ("device", "write", "wait")}
    if seconds["publish"] > total:
        return _SLOW_STORAGE
    if share["wait"] > max(share["device"], share["write"]):
        slow = max(("read", "decode"), key=lambda stage: seconds[stage])
        advice = {
            "read": "the storage that holds the source is the limit; more replicas help only if it can serve them",
            "decode": "more cores per replica (--cpus-per-replica) or smaller images would help",
        }[slow]
        return f"{slow.capitalize()} bounds this job, the model waits {share['wait']:.0%} of its time: {advice}."
    if share["write"] > share["device"]:
        return f"Writing bounds this job ({share['write']:.0%} of the time): fewer --samples or --store float16 help."
    faster = "" if precision != "fp32" else " (or --precision bf16)"
    return (
        f"The model bounds this job ({share['device']:.0%} of the time): more replicas or a faster device help{faster}."
    )
