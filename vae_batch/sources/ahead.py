"""Doing slow things some at a time, and giving their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], together: int) -> Iterator[R]:
    """Map, with so many calls under way or waiting to be taken; 0: one after the other, in the caller's thread."""
    if not together:
        yield from map(function, items)
        return
    todo = iter(items)
    under_way: deque[Future[R]] = deque()
    with ThreadPoolExecutor(together, thread_name_prefix="read") as pool:
        under_way.extend(pool.submit(function, item) for item in islice(todo, together))
        try:
            while under_way:
                result = under_way.popleft().result()
                under_way.extend(pool.submit(function, item) for item in islice(todo, 1))
                yield result
        finally:
            for future in under_way:
                future.cancel()
