"""Processes of our own that decode: they may die, so nothing else is done in them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Any


def start(module: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Run a module of this package in a session of its own, with all that this process can import."""
    # what this process can import the other one must, too; it forks, so it starts no threads
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", module, *arguments], env=env, start_new_session=True, **options)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that `start` gave, and all that it forked."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(BrokenPipeError), process:  # closes its pipes, and waits
        pass
