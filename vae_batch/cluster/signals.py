"""Ctrl-C and SIGTERM as one exception of ours."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vae_batch.errors import InterruptedJobError


class _SignalReceived(BaseException):
    """Travels from wherever the signal hit; no `except Exception` on the way, a library's or ours, may swallow it."""


_received: list[str] = []
"""The name of the signal, once one came: compiled code that it hits may turn its exception into another."""


def _raise(number: int, _: FrameType | None) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, _exit)
    _received.append(signal.Signals(number).name)
    check()


def check() -> None:
    """Raise what was raised when the signal came, should a library have dropped it."""
    if _received:
        raise _SignalReceived(_received[0])


def _exit(number: int, _: FrameType | None) -> None:
    os._exit(InterruptedJobError.exit_code)


def _drop_quietly(dropped: sys.UnraisableHookArgs) -> None:
    """Where Python has to drop our exception, as in a destructor, it would print it; `check` raises it again."""
    if not isinstance(dropped.exc_value, _SignalReceived):
        sys.__unraisablehook__(dropped)


def listen() -> None:
    """Stop at the first signal and end at once at the second; main thread only.

    Called again after `ray.init`, which sets a handler of its own: that one raises SystemExit.
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
    hook, sys.unraisablehook = sys.unraisablehook, _drop_quietly
    _received.clear()
    listen()
    try:
        yield
    except BaseException:
        if _received:
            raise InterruptedJobError(_received[0]) from None
        raise
    finally:
        _received.clear()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def noticed() -> Iterator[Callable[[], str | None]]:
    """Give a function that names the signal which came, None before; a second signal ends the process at once.

    For work that stops by itself at the next good place; what was there before is put back.
    """
    came: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def note(number: int, _: FrameType | None) -> None:
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, _exit)
        came.append(signal.Signals(number).name)

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came[0] if came else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
