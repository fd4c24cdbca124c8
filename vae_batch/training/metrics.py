"""metrics.jsonl, and the loggers beside it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from vae_batch import storage
from vae_batch.errors import SpecError
from vae_batch.specs import TrainSpec

METRICS = "metrics.jsonl"

_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}


class Logger(Protocol):
    """Takes figures beside metrics.jsonl."""

    def log(self, step: int, split: str, values: dict[str, float]) -> None:
        """Take the figures of a step."""

    def close(self) -> None:
        """Write what is held back."""


class TensorBoard:
    """Event files in OUT/tensorboard: look with `tensorboard --logdir OUT`."""

    def __init__(self, spec: TrainSpec, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, split: str, values: dict[str, float]) -> None:
        """Write scalars named `split/figure`."""
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Write what is held back."""
        self._writer.close()


class WandB:
    """A run of Weights & Biases, in its project `vae_batch`; the same OUT goes on with the same run."""

    def __init__(self, spec: TrainSpec, folder: Path, step: int) -> None:
        import wandb

        out = storage.absolute(spec.out)
        run_id = storage.json_sha256([out, spec.seed])[:16]
        config = spec.model_dump(mode="json")
        self._run: Any = wandb.init(
            project="vae_batch", name=storage.name_of(out), id=run_id, resume="allow", dir=str(folder), config=config
        )

    def log(self, step: int, split: str, values: dict[str, float]) -> None:
        """Write figures named `split/figure`."""
        self._run.log({f"{split}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


_LOGGERS: dict[str, Callable[[TrainSpec, Path, int], Logger]] = {"tensorboard": TensorBoard, "wandb": WandB}


def check_loggers(names: Sequence[str]) -> None:
    """Refuse loggers whose package is not installed.

    Raises:
        SpecError: one is not.
    """
    for name in names:
        if importlib.util.find_spec(_PACKAGES[name]) is None:
            raise SpecError(f"logger={name}: its package is not installed: pip install 'vae_batch[{name}]'")


class Metrics:
    """Writes lines to metrics.jsonl, and their scalars to the loggers.

    Args:
        spec: names the loggers.
        folder: the model's; None: lines are only kept, as by all of a team but the first.
        text: of an earlier run, up to its checkpoint; what came later is forgotten.
        step: of that checkpoint.
        warn: told when the file cannot be written; training goes on, and a later line brings all of them.
    """

    def __init__(
        self, spec: TrainSpec, folder: Path | None, text: bytes, step: int, warn: Callable[[str], None]
    ) -> None:
        self._path, self._warn = folder and folder / METRICS, warn
        self.text = bytearray(text)
        self._written, self._failing = 0, False
        if self._path is not None:
            self._path.write_bytes(b"")
            self._flush()
        self._loggers = [_LOGGERS[name](spec, folder, step) for name in spec.logger] if folder else []

    def add(self, line: dict[str, Any]) -> None:
        """Write a line; it has `split` and `step`."""
        self.text += f"{json.dumps(line)}\n".encode()
        self._flush()
        scalars = {k: v for k, v in line.items() if isinstance(v, int | float) and k != "step"}
        for logger in self._loggers:
            logger.log(line["step"], line["split"], scalars)

    def _flush(self) -> None:
        """Bring the file up to date, from the last place that is known to be written."""
        if self._path is None:
            return
        try:
            with self._path.open("r+b") as file:
                file.seek(self._written)
                file.write(self.text[self._written :])
        except OSError as error:
            if not self._failing:
                self._warn(f"{self._path} cannot be written: {error}. Training goes on; what is missing comes later.")
            self._failing = True
        else:
            self._written, self._failing = len(self.text), False

    def lines(self, split: str) -> list[dict[str, Any]]:
        """Give all lines of a split, without that key."""
        found: list[dict[str, Any]] = [json.loads(text) for text in self.text.splitlines()]
        return [line for line in found if line.pop("split") == split]

    def last(self, split: str) -> dict[str, Any] | None:
        """Give the last line of a split, without that key."""
        return next(reversed(self.lines(split)), None)

    def close(self) -> None:
        """End the loggers."""
        for logger in self._loggers:
            with contextlib.suppress(OSError):
                logger.close()
