"""Out of memory, in the words of torch and of what it calls: told from the other errors of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vae_batch.errors import DeviceMemoryError

_WORDS = (
    "CUDA out of memory",
    "CUDA error: out of memory",  # of the context itself, before torch's allocator is asked
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",  # DefaultCPUAllocator
    "not enough memory",  # the same on other systems
)


@contextmanager
def memory_watched(device: str, batch_size: int | None = None, doing: str = "encoding") -> Iterator[None]:
    """Call what is out of memory inside so.

    Args:
        device: "cpu" or "cuda", for the message.
        batch_size: images at once; None: the model is being loaded.
        doing: what is done to them.

    Raises:
        DeviceMemoryError: memory was the reason; other errors pass.
    """
    try:
        yield
    except Exception as error:
        cause = out_of_memory(error)
        if cause is None:
            raise
        what = "loading the model" if batch_size is None else f"{doing} {batch_size} images at once"
        text = " ".join(str(cause).split())
        raise DeviceMemoryError(f"out of memory on {device} while {what}: {text[:300]}", batch_size) from error


def out_of_memory(error: BaseException) -> BaseException | None:
    """The error that says that memory was the reason: the one given or one that it came from; None if there is none."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, MemoryError) or type(found).__name__ == "OutOfMemoryError":
            return found
        if isinstance(found, RuntimeError) and any(words in str(found) for words in _WORDS):
            return found
        found = found.__cause__
    return None
