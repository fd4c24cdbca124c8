"""Ctrl-C and SIGTERM as one exception of ours."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vae_batch.errors import InterruptedJobError


class _SignalReceived(BaseException):
    """Travels from wherever the signal hit; no `except Exception` on the way, a library's or ours, may swallow it."""


def _raise(number: int, _: FrameType | None) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, _exit)
    raise _SignalReceived(signal.Signals(number).name)


def _exit(number: int, _: FrameType | None) -> None:
    os._exit(InterruptedJobError.exit_code)


def listen() -> None:
    """Stop at the first signal and end at once at the second; main thread only.

    Called again after `ray.init`, which sets a handler of its own.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _raise)
        signal.signal(signal.SIGTERM, _raise)


@contextmanager
def interruptible() -> Iterator[None]:
    """Listen for signals inside, and put back what was there before.

    Raises:
        InterruptedJobError: SIGINT or SIGTERM came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    listen()
    try:
        yield
    except _SignalReceived as received:
        raise InterruptedJobError(str(received)) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
