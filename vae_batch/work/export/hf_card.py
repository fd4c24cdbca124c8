"""The card of an export for the hub: that of a generated data set, with its own file names, or one for latents."""

from __future__ import annotations

import json

import pyarrow as pa
import yaml

from vae_batch import storage
from vae_batch.latents.summary import summarise
from vae_batch.specs import GenerateSpec
from vae_batch.work.export.data_set import DataSet
from vae_batch.work.generate_card import (
    README,
    card_text,
    files_of,
    kept_probes,
    model_table,
    pictures_text,
    shown_name,
    size_category,
)

FILES = "data/train-*.parquet"

_CARD = """---
{front}# license: none was chosen; name one here before you publish, and heed those of the model and of the images
---

# Latents of {count:,} images

For each image the posterior q(z|x) = N(mean, diag(variance)) that a variational autoencoder gives it{samples}.
The images themselves are not here; latents of {shape} can tell much of them, faces included.

**Licence: to be filled in** by who publishes this, here and in the first lines of this file.

| column | type | |
|---|---|---|
{columns}

```python
import datasets

latents = datasets.load_dataset("PATH OR NAME OF THIS DATA SET", split="train").with_format("numpy")
print(latents[0]["mean"].shape)
```

## The model

{model}

## How it was made

{scaled}Source: `{source}`; precision {precision}, seed {seed}. Before the model each image was cut and resized so:

```json
{transform}
```
"""

_SCALED = "Means, variances and samples are scaled for a diffusion model: (z - shift)·factor. "

_COLUMNS = {
    "id": "path in the source; in an archive `shard-path/member-path`",
    "shard": "which file of the source",
    "row": "position in the shard",
    "width": "pixels, before the transform",
    "height": "pixels, before the transform",
    "mean": "of the posterior",
    "variance": "of the posterior, sigma squared",
    "sample": "mean + sqrt(variance)·noise(seed, id, draw)",
    "kl": "KL(q‖N(0, I)), nats",
    "mse": "of the reconstruction from the mean, pixels in [0, 1]",
    "psnr": "of the same, dB",
    "sha256": "of the image's bytes",
}


def card(data: DataSet, schema: pa.Schema) -> str:
    """Give the card, with neither times nor hosts nor paths of a machine."""
    return _generated(data) if data.generated else _encoded(data, schema)


def _generated(data: DataSet) -> str:
    """The card of the data set, what a person wrote into it included, but for where the pictures are."""
    spec = GenerateSpec(**data.job.spec)
    here = storage.join(data.layout.out, README)
    if storage.exists(here):
        text = storage.read_bytes(here).decode()
    else:
        summary = summarise(data.layout, data.job, list(data.parts))
        text = card_text(data.job, summary, kept_probes(data.layout, data.job))
    text = text.replace(f"path: {files_of(spec)}\n", f"path: {FILES}\n")
    return text.replace(pictures_text(spec), f"`{FILES}` hold the pictures, in the column `image`.")


def _encoded(data: DataSet, schema: pa.Schema) -> str:
    fields = data.job.fields
    transform = {key.removeprefix("transform."): v for key, v in fields.items() if key.startswith("transform.")}
    front = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": FILES}]}],
        "tags": ["latents", "embeddings", "vae", "variational-autoencoder", "vae_batch"],
        "size_categories": [size_category(data.total)],
    }
    draws = fields["samples"]
    return _CARD.format(
        front=yaml.safe_dump(front, sort_keys=False),
        count=data.total,
        samples=f", and {draws} draw{'s' * (draws > 1)} from it" if draws else "",
        shape="×".join(map(str, data.job.model["latent_shape"])) + " numbers",
        columns="\n".join(f"| `{_cell(f.name)}` | {_type(f.type)} | {_said(f.name)} |" for f in schema),
        model=model_table(data.job),
        scaled="The latents are scaled as a diffusion model takes them, (z - shift)·factor. "
        * bool(fields.get("scaled")),
        source=shown_name(data.job.source["root"]),
        precision=fields["precision"],
        seed=fields["seed"],
        transform=json.dumps(transform, indent=1),
    )


def _said(name: str) -> str:
    return _COLUMNS.get(name, "label")


def _cell(name: str) -> str:
    return name.replace("|", "\\|").replace("\n", " ")


def _type(kind: pa.DataType) -> str:
    sizes = []
    while pa.types.is_fixed_size_list(kind):
        sizes.append(str(kind.list_size))
        kind = kind.value_type
    return f"{kind}[{'×'.join(sizes)}]" if sizes else str(kind)
