"""What a generated data set says of itself: README.md, a data set card as the Hugging Face hub reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from vae_batch import storage
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.pictures import FOLDERS, SHARDS
from vae_batch.latents.summary import Summary
from vae_batch.probes import Probes, read_probes
from vae_batch.specs import GenerateSpec
from vae_batch.work.predicted_card import predicted_section

README = "README.md"

_NOT_SAID = {"out", "replicas", "gpus_per_replica", "cpus_per_replica", "address", "units", "max_reject_rate"}
"""Keys of the spec that say where and by whom, and not what."""

_FILES = {"parquet": "data/*.parquet", "webdataset": f"{SHARDS}/*.tar", "folder": f"{FOLDERS}/**"}
"""What holds the pictures, for `datasets`."""

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_LARGEST = "n>10M"

_LATENTS = {
    "prior": "a draw from the prior N(0, I)",
    "fitted": "a draw from a density fitted to encoded images",
    "posterior": "a draw from the posterior of an encoded image, `source_id`",
    "reconstruct": "the posterior mean of an encoded image, `source_id`",
    "given": "a latent that was given, row `source_row`",
    "interpolate": "the latent at `t` on the way ({path}) from the posterior mean of an encoded image, `source_id`, to "
    "that of another, `target_id`",
    "traverse": "a latent whose `dimension` was set to `value`, all else as in {centre}",
    "grid": "a latent of which two dimensions were set to values of equal distance in probability under the prior, all "
    "else as in {centre}",
    "edit": "the posterior mean of an encoded image, `source_id`, to which the vector of `attribute` was added "
    "`strength` times{balanced}",
}
"""What the decoder was given, by sampler."""

_CARD = """---
{front}# license: none was chosen; name one here before you publish, and heed those of the model and its training images
---

# {count:,} synthetic images of {size}×{size} pixels

Every image here was made by a model, a variational autoencoder; none is a photograph. The decoder made it of
{sampler}.

**Licence: to be filled in** by who publishes this, here and in the first lines of this file.

## What is in it

{table}

{pictures}

{columns}{predicted}

```python
import datasets

images = datasets.load_dataset("PATH OR NAME OF THIS DATA SET", split="train")
```

## The model

{model}

## How it was made

An image is a function of {known} and its number alone. With this spec, `out` added,
`vae-batch run generate.yaml` makes the data set again; `verify --recompute` compares.

```yaml
{spec}```

{numerics}
"""


def write_card(layout: Layout, job: JobFile, summary: Summary) -> None:
    """Write the card of a finished data set; one that is there, with what a person wrote into it, stays."""
    if not storage.exists(_card(layout)):
        storage.write_bytes(_card(layout), card_text(job, summary, kept_probes(layout, job)).encode(), layout.tmp)


def remove_card(layout: Layout) -> None:
    """Take the card away: the data set is to grow."""
    storage.remove(_card(layout))


def _card(layout: Layout) -> str:
    return storage.join(layout.out, README)


def kept_probes(layout: Layout, job: JobFile) -> Probes | None:
    """Read the probes that a job predicts attributes by, if it does. Raises OutputError: they are gone or damaged."""
    name = job.source.get("probes")
    return read_probes(storage.join(layout.state, name), job.fields["label_with"]) if name else None


def card_text(job: JobFile, summary: Summary, probes: Probes | None = None) -> str:
    """Give the card, with neither times nor hosts: equal data sets have equal cards.

    Args:
        job: of the data set.
        summary: its totals, of all units.
        probes: by which attributes are predicted.
    """
    spec = GenerateSpec(**job.spec)
    return _CARD.format(
        front=_front(spec, summary),
        count=summary.rows,
        size=job.fields["image_size"],
        sampler=_sampler(spec),
        known="the model, the latents that it starts from, the seed"
        if spec.latents or spec.fit
        else "the model, the seed",
        table=_table(
            {
                "images": f"{summary.rows:,}",
                "not made, since the decoder gave no finite image": f"{summary.rejects:,}",
                "pixels": f"{job.fields['image_size']}×{job.fields['image_size']}",
                "pictures": spec.codec + (f", quality {spec.quality or 95}" if spec.codec != "png" else ""),
                "numbers in a latent": "×".join(map(str, job.model["latent_shape"])),
                "seed": str(spec.seed),
            }
        ),
        pictures=pictures_text(spec),
        columns="Each row has the image's `index`, the `seed`, its `latent`, and where that came from.",
        predicted=predicted_section(probes) if probes else "",
        model=model_table(job),
        spec=_spec(spec),
        numerics=_numerics(summary),
    )


def _front(spec: GenerateSpec, summary: Summary) -> str:
    files = [{"split": "train", "path": files_of(spec)}]
    value = {
        "configs": [{"config_name": "default", "data_files": files}],
        "tags": ["synthetic", "vae", "variational-autoencoder", "vae_batch"],
        "task_categories": ["unconditional-image-generation"],
        "size_categories": [size_category(summary.rows)],
    }
    return str(yaml.safe_dump(value, sort_keys=False))


def size_category(rows: int) -> str:
    """Give the hub's name of a size."""
    return next((name for limit, name in _SIZES if rows < limit), _LARGEST)


def files_of(spec: GenerateSpec) -> str:
    """Say which files hold the pictures, for `datasets`."""
    return _FILES[spec.format]


def _sampler(spec: GenerateSpec) -> str:
    around = f"the encoded image `{spec.around}`" if spec.around else "the mean of the encoded images"
    words = {
        "path": spec.path,
        "centre": around if spec.latents else "the prior's mean, 0",
        "balanced": f", balanced for {', '.join(f'`{name}`' for name in spec.balance)}" if spec.balance else "",
    }
    return f"{_LATENTS[spec.sampler].format(**words)} (sampler `{spec.sampler}`)"


def pictures_text(spec: GenerateSpec) -> str:
    """Say where the pictures are."""
    if spec.format == "parquet":
        return "`data/*.parquet` hold the pictures, in the column `image`."
    beside = f"`{SHARDS}/*.tar`, in the WebDataset convention" if spec.format == "webdataset" else f"`{FOLDERS}/`"
    return (
        f"The pictures are in {beside}; `data/*.parquet` are their index: the column `file` says where each is, "
        "and `sha256` what its content is."
    )


def model_table(job: JobFile) -> str:
    """Give a table of the model's card."""
    training = job.model["extra"].get("training") or {}
    source = (training.get("spec") or {}).get("source")
    rows = {
        "family": job.model["family"],
        "model": f"`{shown_name(job.spec['model'])}`",
        "digest (sha256)": f"`{job.model['digest']}`",
        "parameters": f"{job.model['parameters']:,}",
        "training images": f"`{shown_name(source)}`" if source else "not said by the model",
    }
    if "source_sha256" in training:
        rows["fingerprint of the training images"] = f"`{training['source_sha256']}`"
    return _table(rows)


def shown_name(reference: str) -> str:
    """A model or a source as it may be shown to others: of a path here only its last name, of a URI no host."""
    return storage.name_of(reference) if reference.startswith("/") else reference.partition("?")[0]


def _spec(spec: GenerateSpec) -> str:
    values = yaml.safe_load(spec.to_yaml())
    shown = {key: value for key, value in values.items() if key not in _NOT_SAID}
    named = [key for key in ("model", "latents", "fit", "pairs", "label_with") if isinstance(shown.get(key), str)]
    return str(yaml.safe_dump({**shown, **{key: shown_name(shown[key]) for key in named}}, sort_keys=False))


def _numerics(summary: Summary) -> str:
    lines = [", ".join(f"{key} {value}" for key, value in json.loads(text).items()) for text in summary.numerics]
    return "Made with " + "; and with ".join(lines) + "."


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
