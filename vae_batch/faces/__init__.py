"""Drawn faces whose six attributes are known: to train on, to encode, to test what a latent holds."""

from vae_batch.faces.attributes import Attributes, attributes
from vae_batch.faces.dataset import DrawnFaces, write_faces
from vae_batch.faces.draw import SIZE, draw_face

__all__ = ["SIZE", "Attributes", "DrawnFaces", "attributes", "draw_face", "write_faces"]
