"""Decoders that crash or hang, for tests: on the PYTHONPATH of the tests' Ray, Python imports this in every process.

An image whose bytes end in `poison:WORD` or `poison:WORD:ARGUMENT` does what the word says when it is decoded.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULE = "vae_batch.images.decode"
spoilt: list[str] = []


def misbehave(word: str, argument: str) -> None:
    if word == "abort":
        os.abort()
    if word == "segfault":
        ctypes.string_at(0)
    if word == "exit":
        os._exit(7)
    if word == "kill":  # as the kernel does it when memory is used up, by this image or by others
        held = b"x" * (int(argument or 0) << 20)
        assert len(held) >= 0
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "memory":
        from vae_batch.images.errors import ImageError

        raise ImageError("decode", "MemoryError", "as decode() has it")
    if word == "hang":
        time.sleep(1e6)
    if word == "grip":  # the interpreter's lock with it
        ctypes.PyDLL(None).sleep(1_000_000)
    if word == "slow":
        time.sleep(float(argument))
    if word == "spoil":
        spoilt.append(argument)
    if word == "victim" and spoilt:
        os.abort()


def wrapped(decode: Callable[..., Any]) -> Callable[..., Any]:
    def poisonous(data: bytes, *args: Any, **kwargs: Any) -> Any:
        _, mark, text = data[-40:].rpartition(b"poison:")
        if mark:
            word, _, argument = text.decode().partition(":")
            misbehave(word, argument)
        return decode(data, *args, **kwargs)

    return poisonous


class Plug:
    """Finds one module, and wraps its `decode` when it is executed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != MODULE or Plug not in sys.meta_path:
            return None
        sys.meta_path.remove(Plug)
        spec = importlib.util.find_spec(name)
        assert spec and spec.loader
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.decode = wrapped(module.decode)  # type: ignore[attr-defined]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Plug)  # type: ignore[arg-type]
