"""Training: the ELBO, the images in memory, the loop. No Ray in here."""

from vae_batch.training.elbo import Elbo, gaussian_elbo
from vae_batch.training.loop import train
from vae_batch.training.progress import Progress, Trained

__all__ = ["Elbo", "Progress", "Trained", "gaussian_elbo", "train"]
