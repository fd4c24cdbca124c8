"""Printing what a job says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_batch.cli.bar import Bar

if TYPE_CHECKING:
    from vae_batch.cluster.report import Progress


class ConsoleReport(Bar):
    """Shows a job's messages and progress on stderr; results go to stdout elsewhere."""

    def progress(self, state: Progress) -> None:
        """Show the state."""
        self.show(state.line(), state.done, state.total)


def size(count: float) -> str:
    """Write bytes as a person would."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
