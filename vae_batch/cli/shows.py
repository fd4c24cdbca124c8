"""What the commands that show something have in common: a folder of their own, from which they do not go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def fresh_folder(out: str, what: str) -> Iterator[Path]:
    """Make a folder for a show, and say that it begins anew where it is interrupted.

    Args:
        out: new or empty.
        what: is shown: "demo".

    Raises:
        OutputError: there is something in the folder.
    """
    from vae_batch.errors import InterruptedJobError, OutputError

    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{out} is not empty: give another --out, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except InterruptedJobError:
        raise InterruptedJobError(f"the {what} was interrupted, and begins anew: delete {out} first") from None
