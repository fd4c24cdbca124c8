"""Training: the ELBO, the images in memory, the loop. No Ray in here."""

from vae_batch.training.elbo import Elbo, gaussian_elbo
from vae_batch.training.loop import DEFAULT_EPOCHS, train
from vae_batch.training.progress import Progress, Trained

__all__ = ["DEFAULT_EPOCHS", "Elbo", "Progress", "Trained", "gaussian_elbo", "train"]
