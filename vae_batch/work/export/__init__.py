"""Data sets in the formats of others: what is there, rearranged; no model, no Ray."""

from vae_batch.work.export.run import export

__all__ = ["export"]
