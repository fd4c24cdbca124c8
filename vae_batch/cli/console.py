"""Printing: lines, a live bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from vae_batch.cluster.report import Progress

PLAIN_SECONDS = 5.0


class ConsoleReport:
    """Shows a job's messages and progress on stderr; results go to stdout elsewhere.

    Use as a context manager, so that the bar is taken down whatever happens.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._last = time.monotonic()

    def __enter__(self) -> ConsoleReport:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._take_down()

    def say(self, line: str) -> None:
        """Print a line."""
        self._take_down()
        click.echo(line, err=True)

    def progress(self, state: Progress) -> None:
        """Show the state."""
        if self._live:
            self._draw(state)
        elif time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            click.echo(state.line(), err=True)

    def _draw(self, state: Progress) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=state.total)
        assert self._task is not None
        self._bar.update(self._task, completed=state.done, total=state.total, description=state.line())

    def _take_down(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def size(count: float) -> str:
    """Write bytes as a person would."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
