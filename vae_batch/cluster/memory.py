"""Replicas whose memory runs out: what is tried again, and from when on batches are smaller."""

from __future__ import annotations

from collections.abc import Callable

from ray.exceptions import OutOfMemoryError, RayError

from vae_batch.errors import DeviceMemoryError

_LOW = "running low on memory"
"""Words of Ray's memory monitor."""


class Memory:
    """How many images the replicas of a job take at once.

    What was too much for one replica a fresh one tries once more: another process may have held the memory for a
    moment. Then the batch is halved, for all replicas and for the rest of the job.

    Args:
        most: images at once, at most; None: as many as the job says.
        least: images at once that the model takes at least.
        keep: takes each new `most`.
        say: takes lines for the user.
    """

    def __init__(
        self,
        most: int | None = None,
        least: int = 1,
        keep: Callable[[int], None] = lambda most: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.most, self.least, self._keep, self._say = most, least, keep, say
        self._tried: set[int] = set()

    def ran_out(self, unit: int, batch_size: int, again: bool, why: str) -> bool:
        """Decide what comes after a replica that ran out of memory.

        Args:
            unit: what it had in hand.
            batch_size: images that it took at once.
            again: whether it tried again what had been too much for another one.
            why: what happened, for the user.

        Returns:
            Whether a fresh replica is to try the same again.

        Raises:
            DeviceMemoryError: they were no more than `least`.
        """
        if self.most is not None and batch_size > self.most:  # it began before the batch was halved
            return False
        if not again and unit not in self._tried:
            self._tried.add(unit)
            self._say(f"Unit {unit}: {why}. A fresh replica tries the same once more.")
            return True
        if batch_size <= self.least:
            what = "one image at once is" if batch_size == 1 else f"{batch_size} images at once, the model's least, are"
            raise DeviceMemoryError(
                f"{what} too much for a replica's memory: {why}. What was published stays; give a device with more "
                "memory, one replica for each device (--gpus-per-replica 1), --precision bf16, a smaller --image-size "
                "or a smaller model, and run again to go on",
                batch_size,
            )
        self.most = max(self.least, batch_size // 2)
        self._tried.clear()
        self._keep(self.most)
        self._say(f"Unit {unit}: {why}, again. From now on replicas take {self.most} at once, until the job's end.")
        return False


def low_memory(error: RayError) -> bool:
    """Whether a replica died of Ray's memory monitor, which kills processes when a node's main memory is used up."""
    return isinstance(error, OutOfMemoryError) or _LOW in str(error)
