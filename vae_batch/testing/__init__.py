"""For those who bring a model of their own: a template, and the test that it keeps the contract.

This is all that `--model "my_vae:MyVAE?latent_dim=16"` needs; `vae_batch.models.entry_points` says how a package plugs
in a whole family:

    # my_vae.py
    import torch
    from torch import nn


    class MyVAE(nn.Module):
        image_size, in_channels = 64, 3  # leave image_size out where any will do

        def __init__(self, latent_dim: int = 32, weights: str | None = None):
            super().__init__()
            layers = nn.Conv2d(3, 16, 8, 8), nn.SiLU(), nn.Flatten(), nn.Linear(16 * 8 * 8, 2 * latent_dim)
            self.inward = nn.Sequential(*layers)
            self.outward = nn.Sequential(nn.Linear(latent_dim, 3 * 64 * 64), nn.Unflatten(1, (3, 64, 64)), nn.Tanh())
            if weights:
                self.load_state_dict(torch.load(weights, weights_only=True))

        def encode(self, x):  # (B, 3, 64, 64) in [0, 1]; this network's own range is [-1, 1]
            mean, logvar = self.inward(2 * x - 1).chunk(2, dim=1)
            return mean, logvar  # the natural logarithm of the variance; one tensor where there is none

        def decode(self, z):
            return (self.outward(z) + 1) / 2  # (B, 3, 64, 64) in [0, 1]

and this, in its tests, says that it is right:

    from vae_batch.testing import check_vae

    print(check_vae("my_vae:MyVAE?latent_dim=16"))

What no test can tell from outside: whether the logarithm of the variance is that, and not the variance or sigma (a
note is made where it is above 0 throughout); whether the network was trained on the range of pixels that it is given.
Look at a few reconstructions, too.
"""

from vae_batch.testing.check import Report, check_vae

__all__ = ["Report", "check_vae"]
