"""Training: the ELBO, the loop, its checkpoints. No Ray in here."""

from vae_batch.training.loss import Elbo, Objective
from vae_batch.training.progress import Progress, Trained, Watch
from vae_batch.training.schedule import DEFAULT_EPOCHS
from vae_batch.training.team import Team
from vae_batch.training.trainer import look, train
from vae_batch.training.validation import Validation

__all__ = ["DEFAULT_EPOCHS", "Elbo", "Objective", "Progress", "Team", "Trained", "Validation", "Watch", "look", "train"]
