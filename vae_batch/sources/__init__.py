"""Where images come from: folders and shards, here or under a URI; cut into units, and read unit by unit."""

from vae_batch.sources.labels.labelling import Labelling
from vae_batch.sources.plan import default_unit_size, plan_units
from vae_batch.sources.read import read_unit
from vae_batch.sources.reading import Reading
from vae_batch.sources.sample import sample_labels
from vae_batch.sources.shard import Shard, SourceOptions
from vae_batch.sources.source import Source, open_source
from vae_batch.sources.survey import Extent, broken_shards, count_images

__all__ = [
    "Extent",
    "Labelling",
    "Reading",
    "Shard",
    "Source",
    "SourceOptions",
    "broken_shards",
    "count_images",
    "default_unit_size",
    "open_source",
    "plan_units",
    "read_unit",
    "sample_labels",
]
