from __future__ import annotations

import os
import signal

import pytest

from vae_batch.cluster.signals import interruptible
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
