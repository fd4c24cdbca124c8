"""What a model's folder says of itself: README.md, a model card as the Hugging Face hub reads it, and its facts."""

from __future__ import annotations

import json
import platform
import re
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vae_batch.images.cache import ImageCache
from vae_batch.models.base import ModelCard
from vae_batch.models.folder import CONFIG, WEIGHTS
from vae_batch.specs import TrainSpec
from vae_batch.training.metrics import METRICS

README = "README.md"
PACKAGES = ("vae_batch", "torch", "numpy", "pillow", "safetensors")
COLUMNS = {
    "ELBO": ("elbo", "{:,.1f}"),
    "rate": ("rate", "{:,.2f}"),
    "distortion": ("distortion", "{:,.1f}"),
    "sigma": ("sigma", "{:.4f}"),
    "PSNR, dB": ("psnr", "{:.2f}"),
    "SSIM": ("ssim", "{:.4f}"),
    "active dimensions": ("active_units", "{}"),
}
"""Of the table of figures: the keys of metrics.jsonl, and how they are written."""

_CARD = """---
library_name: vae_batch
pipeline_tag: image-feature-extraction
tags:
- vae
- variational-autoencoder
- image-feature-extraction
- unconditional-image-generation
# license: none was chosen in training; name one here before you pass the model on
---

# {family} VAE, {size}×{size} pixels to {latent} numbers

A variational autoencoder: for an image it gives a posterior, a Gaussian with a mean and a variance for each of
{latent} numbers, and it decodes such numbers to images of {size}×{size} pixels. {parameters:,} parameters.
`{weights}` holds the weights, `{config}` all that is said here and more; nothing in this folder runs code.

## Use

```bash
vae-batch encode IMAGES --model {model} --out latents
```

writes mean, variance and a sample of each image's posterior to Parquet. Images are prepared as in training:
{transform}.

```python
import torch, vae_batch

model = vae_batch.load_model({model_literal})
with torch.inference_mode():
    images = model.decode(torch.randn(4, {shape}))  # (4, {channels}, {size}, {size}), values in [0, 1]
```

## Data

{data}

## Figures

Nats per image; `{metrics}` has them over the whole training.

{figures}

## How it was made

{made}

```yaml
{spec}```
"""


def provenance(images: ImageCache, device: torch.device) -> dict[str, Any]:
    """Give what the numbers of a training do not say: the data's fingerprint, versions, hardware and time."""
    return {
        "source_sha256": images.fields["source"],
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
        "hardware": _hardware(device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_card(folder: Path, spec: TrainSpec, model: ModelCard, facts: Mapping[str, Any]) -> None:
    """Write README.md into a model's folder.

    Args:
        folder: holds metrics.jsonl.
        spec: of the training.
        model: its family, shape and size.
        facts: `images`, `held_out` and `rejected`, and what `provenance` gave.
    """
    lines = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    text = _CARD.format(
        family=model.family,
        size=model.image_size,
        latent="×".join(map(str, model.latent_shape)),
        shape=", ".join(map(str, model.latent_shape)),
        channels=model.in_channels,
        parameters=model.parameters,
        weights=WEIGHTS,
        config=CONFIG,
        metrics=METRICS,
        model=shlex.quote(spec.out),
        model_literal=json.dumps(spec.out),
        transform=f"crop {spec.crop or 'center'}, fit {spec.fit or 'cover'}, resized with antialiasing",
        data=_data(spec, facts),
        figures=_figures(lines),
        made=_made(lines, facts),
        spec=spec.to_yaml(),
    )
    (folder / README).write_text(text, encoding="utf-8")


def _hardware(device: torch.device) -> str:
    """Name the GPU, or the CPU as well as this system knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE) if info.exists() else []
    return f"{torch.get_num_threads()} cores, {names[0] if names else platform.machine()}"


def _data(spec: TrainSpec, facts: Mapping[str, Any]) -> str:
    rows = {
        "source": f"`{spec.source}`",
        "fingerprint (sha256 of paths and sizes)": f"`{facts['source_sha256']}`",
        "images": f"{facts['images']:,}",
        "of them held out for validation": f"{facts['held_out']:,}",
        "rejected, since they could not be read": f"{facts['rejected']:,}",
    }
    return _table([["", ""], *map(list, rows.items())])


def _figures(lines: Iterable[Mapping[str, Any]]) -> str:
    """Tabulate the last line of each split."""
    last = {line["split"]: line for line in lines}
    found = [name for name, (key, _) in COLUMNS.items() if any(line.get(key) is not None for line in last.values())]
    rows = [["images", "step", *found]]
    for split, line in last.items():
        values = [(line.get(COLUMNS[name][0]), COLUMNS[name][1]) for name in found]
        rows.append([split, f"{line['step']:,}", *("" if v is None else form.format(v) for v, form in values)])
    return _table(rows)


def _made(lines: Iterable[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    last = [line for line in lines if line["split"] == "train"][-1]
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return (
        f"{last['step']:,} steps in {last['seconds']:,.0f} s, finished {facts['finished']}, on {facts['hardware']}; "
        f"{versions}. The same spec, with another `out`, gives the same weights on the same machine: save it as "
        "`train.yaml` and call `vae-batch run train.yaml`."
    )


def _table(rows: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
