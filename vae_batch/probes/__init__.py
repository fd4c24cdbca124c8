"""Linear probes: known attributes predicted from latents, streamed, scored on rows held out, kept in a small file."""

from vae_batch.probes.fit import fit_probes
from vae_batch.probes.kept import Predictor, Probes, Score, read_probes
from vae_batch.probes.linear import LinearSums
from vae_batch.probes.scores import auc, r_squared

__all__ = ["LinearSums", "Predictor", "Probes", "Score", "auc", "fit_probes", "r_squared", "read_probes"]
