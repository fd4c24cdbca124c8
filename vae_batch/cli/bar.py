"""The one progress display: a live bar on a terminal, a plain line every few seconds elsewhere; on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 5.0


class Bar:
    """Shows one line of progress at a time.

    Use as a context manager, so that the bar is taken down whatever happens.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.take_down()

    def show(self, line: str, done: int | None = None, total: int | None = None) -> None:
        """Show the state; without a total, a bar that only moves."""
        if self._live:
            self._draw(line, done, total)
        elif time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            click.echo(line, err=True)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.take_down()
        click.echo(line, err=True)

    def take_down(self) -> None:
        """Remove the bar; the next `show` draws a new one."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, line: str, done: int | None, total: int | None) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=total)
        assert self._task is not None
        self._bar.update(self._task, description=line, completed=done, total=total)
