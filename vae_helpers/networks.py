"""The networks of the book: an encoder, a decoder, and the VAE that joins them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_helpers.checks import check_count, check_images, check_positive, check_width
from vae_helpers.objectives import bernoulli_log_likelihood, gaussian_log_likelihood, reparameterize

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class _Network(nn.Module):
    def __init__(self, sizes: Sequence[int], activation: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(sizes):
            layers += [nn.Linear(width_in, width_out), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])  # the last layer stays linear


class Encoder(_Network):
    """Map an image to the Gaussian q(z|x): D → H₁ → H₂ → 2L, nonlinear between the layers."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, each ``(B, L)``, for images ``(B, D)``."""
        return self.layers(x).chunk(2, dim=-1)


class Decoder(_Network):
    """Map a latent point to the mean image of p(x|z): L → H₂ → H₁ → D, sigmoid at the end."""

    def forward(self, z: Tensor) -> Tensor:
        """Return x_mean, ``(B, D)`` in [0, 1], for latent points ``(B, L)``."""
        return torch.sigmoid(self.layers(z))


class VAEOutput(NamedTuple):
    """What one pass through the VAE computes."""

    x_mean: Tensor  # (B, D), mean of p(x|z)
    mu: Tensor  # (B, L), mean of q(z|x)
    logvar: Tensor  # (B, L), log-variance of q(z|x)
    z: Tensor  # (B, L), the sample that was decoded


class VAE(nn.Module):
    r"""A variational autoencoder with a Gaussian q(z|x), and Gaussian or Bernoulli pixels.

    q(z|x) = N(μ(x), diag σ²(x)),  p(z) = N(0, I),
    p(x|z) = N(x̂(z), σ²I),  or Bernoulli(x̂(z)) for binary images where σ² is None.

    The defaults are the network of the tutorial that the book grew out of, trained on the summed
    squared error, hence σ² = ½. The decoder has the widths in reverse.

    Source: Kingma & Welling 2014, section 3 and appendix C.2.
    """

    def __init__(
        self,
        latent_dim: int = 4,
        hidden: Sequence[int] = (64, 32),
        *,
        pixels: int = 784,
        sigma2: float | None = 0.5,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        for size in (latent_dim, *hidden, pixels):
            check_count("a size", size, "The book has latent_dim=4, hidden=(64, 32), pixels=784.")
        if sigma2 is not None:
            check_positive("sigma2", sigma2, "Try 0.5, or None for Bernoulli pixels.")
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be {' or '.join(ACTIVATIONS)}; found {activation!r}. Try relu."
            )
        self.latent_dim = latent_dim
        self.hidden = tuple(hidden)
        self.pixels = pixels
        self.sigma2 = None if sigma2 is None else float(sigma2)
        self.activation = activation
        self.encoder = Encoder((pixels, *hidden, 2 * latent_dim), activation)
        self.decoder = Decoder((latent_dim, *reversed(hidden), pixels), activation)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar = log σ² of q(z|x), each ``(B, L)``, for images ``(B, D)``."""
        self.check_images(x)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean image x̂ of p(x|z), ``(B, D)`` in [0, 1], for z ``(B, L)``."""
        check_width("z", z, self.latent_dim)
        return self.decoder(z)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x|z) in nats, ``(…, B)``, for images ``(B, D)`` and z ``(…, B, L)``."""
        return pixel_log_likelihood(x, self.decoder.layers(z), self.sigma2)

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> VAEOutput:
        """Encode x ``(B, D)``, sample one z an image and decode it."""
        mu, logvar = self.encode(x)
        z = reparameterize(mu, logvar, generator=generator)
        return VAEOutput(self.decode(z), mu, logvar, z)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw n points from the prior and return their mean images, ``(n, D)`` in [0, 1]."""
        prior = next(self.parameters()).new_zeros(n, self.latent_dim)  # its μ, and its log σ² too
        return self.decode(reparameterize(prior, prior, generator=generator))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the mean of q(z|x): the pictures ``(B, D)`` that the VAE makes of images."""
        return self.decode(self.encode(x)[0])

    def check_images(self, x: Tensor) -> None:
        """Raise a ValueError that names the repair unless x is a batch this VAE can encode."""
        check_images(x, self.pixels, next(self.parameters()), binary=self.sigma2 is None)


def pixel_log_likelihood(x: Tensor, logits: Tensor, sigma2: float | None) -> Tensor:
    """Return log p(x|z), ``(…, B)``, of images ``(B, D)`` given log-odds of ink ``(…, B, D)``."""
    x = x.expand_as(logits)
    if sigma2 is None:
        return bernoulli_log_likelihood(x, logits)
    return gaussian_log_likelihood(x, torch.sigmoid(logits), sigma2=sigma2)
