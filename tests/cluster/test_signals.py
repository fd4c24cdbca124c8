from __future__ import annotations

import contextlib
import os
import signal

import pytest

from vae_batch.cluster.signals import check, interruptible
from vae_batch.errors import InterruptedJobError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_not_swallowed_by_code_that_catches_exceptions(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(InterruptedJobError, match=number.name), interruptible():
        for _ in range(100):
            try:
                os.kill(os.getpid(), number)
            except Exception:
                continue
    assert signal.getsignal(number) is before


def test_a_signal_counts_even_where_its_exception_was_turned_into_another() -> None:
    """As `ray.wait` did once: SystemError, "returned a result with an exception set"."""
    with pytest.raises(InterruptedJobError, match="SIGTERM"), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException as error:
            raise SystemError("returned a result with an exception set") from error


def test_a_signal_counts_even_where_its_exception_was_dropped() -> None:
    with pytest.raises(InterruptedJobError, match="SIGINT"), interruptible():
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
        check()
    with interruptible():
        check()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(KeyError), interruptible():
        raise KeyError("x")
