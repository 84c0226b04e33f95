"""The networks of the book: an encoder, a decoder, and the VAE that joins them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn


class VAEOutput(NamedTuple):
    """What one pass through the VAE computes."""

    x_mean: Tensor  # (B, D), mean of p(x|z)
    mu: Tensor  # (B, L), mean of q(z|x)
    logvar: Tensor  # (B, L), log-variance of q(z|x)
    z: Tensor  # (B, L), the sample that was decoded


ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class Encoder(nn.Module):
    """Map an image to the Gaussian q(z|x): D → H₁ → H₂ → 2L, nonlinear between the layers."""

    def __init__(
        self, latent_dim: int, hidden: Sequence[int], pixels: int, activation: str
    ) -> None:
        super().__init__()
        self.layers = _layers([pixels, *hidden, 2 * latent_dim], activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, each ``(B, L)``, for images ``(B, D)``."""
        mu, logvar = self.layers(x).chunk(2, dim=-1)
        return mu, logvar


class Decoder(nn.Module):
    """Map a latent point to the mean image of p(x|z): L → H₂ → H₁ → D, sigmoid at the end."""

    def __init__(
        self, latent_dim: int, hidden: Sequence[int], pixels: int, activation: str
    ) -> None:
        super().__init__()
        self.layers = _layers([latent_dim, *reversed(hidden), pixels], activation)

    def forward(self, z: Tensor) -> Tensor:
        """Return x_mean, ``(B, D)`` in [0, 1], for latent points ``(B, L)``."""
        return torch.sigmoid(self.layers(z))


class VAE(nn.Module):
    r"""A variational autoencoder with a Gaussian q(z|x), and Gaussian or Bernoulli pixels.

    q(z|x) = N(μ(x), diag σ²(x)),  p(z) = N(0, I),
    p(x|z) = N(x̂(z), σ²I),  or Bernoulli(x̂(z)) for binary images where σ² is None.

    The defaults are the network of the tutorial that the book grew out of:
    784-64-32-(4+4) and 4-32-64-784, trained on the summed squared error, hence σ² = ½.

    Args:
        latent_dim: number L ≥ 1 of latent variables.
        hidden: widths H of the encoder's hidden layers; the decoder has them in reverse.
        pixels: number D ≥ 1 of pixels.
        sigma2: variance σ² > 0 of p(x|z), the same for every pixel; None makes the pixels
            Bernoulli, and images must then be 0 or 1.
        activation: ``"relu"`` or ``"tanh"``, after each hidden layer.

    Raises:
        ValueError: a size is not a positive whole number, σ² is not positive and finite, or
            the activation has another name.

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
        sizes = "The book's VAE has latent_dim=4, hidden=(64, 32), pixels=784."
        for name, size in [("latent_dim", latent_dim), ("pixels", pixels)]:
            check_count(name, size, sizes)
        for size in hidden:
            check_count("each width in hidden", size, sizes)
        if sigma2 is not None and not (0 < sigma2 < math.inf):
            raise ValueError(
                f"sigma2 must be positive and finite; found {sigma2}. "
                "Try 0.5, or None for Bernoulli pixels."
            )
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}; found {activation!r}. "
                "The book's VAE has relu."
            )
        self.latent_dim = latent_dim
        self.hidden = tuple(hidden)
        self.pixels = pixels
        self.sigma2 = None if sigma2 is None else float(sigma2)
        self.activation = activation
        self.encoder = Encoder(latent_dim, self.hidden, pixels, activation)
        self.decoder = Decoder(latent_dim, self.hidden, pixels, activation)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z|x).

        Args:
            x: images, ``(B, D)``, floating point in [0, 1]; 0 or 1 for Bernoulli pixels.

        Returns:
            mu and logvar = log σ², each ``(B, L)``.

        Raises:
            ValueError: x has another shape, type or device, or values outside [0, 1]; or is
                grey where the pixels are Bernoulli.
        """
        self.check_images(x)
        return self.encoder(x)

    def reparameterize(
        self, mu: Tensor, logvar: Tensor, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Sample q(z|x) as z = μ + σ ε with ε ~ N(0, I) and σ = exp(ℓ / 2).

        Args:
            mu: means, ``(B, L)``.
            logvar: log-variances ℓ, ``(B, L)``.
            generator: source of ε; None takes torch's global one.

        Returns:
            One z an image, ``(B, L)``, differentiable in mu and logvar.

        Source: Kingma & Welling 2014, section 2.4.
        """
        epsilon = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
        return mu + torch.exp(0.5 * logvar) * epsilon

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean image of p(x|z), ``(B, D)`` in [0, 1], for z ``(B, L)``.

        Raises:
            ValueError: z has another number of latent variables.
        """
        self.check_latents(z)
        return self.decoder(z)

    def logits(self, z: Tensor) -> Tensor:
        """Return log x̂ / (1 − x̂) for the mean image x̂ of p(x|z), ``(B, D)``, any number.

        Raises:
            ValueError: z has another number of latent variables.
        """
        self.check_latents(z)
        return self.decoder.layers(z)

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> VAEOutput:
        """Encode x ``(B, D)``, sample one z an image and decode it."""
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar, generator=generator)
        return VAEOutput(self.decode(z), mu, logvar, z)

    def check_latents(self, z: Tensor) -> None:
        """Raise a ValueError unless z has one value for each latent variable in its last axis."""
        if z.ndim < 1 or z.shape[-1] != self.latent_dim:
            raise ValueError(
                f"z must have shape (B, {self.latent_dim}); found {tuple(z.shape)}. "
                "Give one value for each latent variable."
            )

    def check_images(self, x: Tensor) -> None:
        """Raise a ValueError that names the repair unless x is a batch this VAE can encode."""
        weight = next(self.parameters())
        if not isinstance(x, Tensor) or x.dtype != weight.dtype:
            found = x.dtype if isinstance(x, Tensor) else type(x).__name__
            repair = f"torch.as_tensor(x, dtype={weight.dtype})"
            if found == torch.uint8:
                repair = "x.float() / 255"
            raise ValueError(
                f"images must be a tensor of {weight.dtype} in [0, 1]; found {found}. "
                f"Convert them with {repair}."
            )
        if x.ndim != 2 or x.shape[1] != self.pixels or x.shape[0] == 0:
            raise ValueError(
                f"images must have shape (B, {self.pixels}) with B >= 1; found {tuple(x.shape)}. "
                f"Flatten them with x.reshape(-1, {self.pixels}), and leave no batch empty."
            )
        if x.device != weight.device:
            raise ValueError(
                f"images must be on the device of the weights, {weight.device}; "
                f"found {x.device}. Move them with x.to({str(weight.device)!r})."
            )
        low, high = (bound.item() for bound in torch.aminmax(x.detach()))
        if not (low >= 0 and high <= 1):  # false for NaN as well
            raise ValueError(
                f"images must have finite values in [0, 1]; found values from {low} to {high}. "
                "Rescale them, or remove what is not a number."
            )
        if self.sigma2 is None and not ((x == 0) | (x == 1)).all():
            raise ValueError(
                "images must be binary, 0 or 1, for a model with Bernoulli pixels; found grey "
                "values. Draw binary ones with vae_helpers.data.binarize(x)."
            )


def _layers(sizes: Sequence[int], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(sizes):
        layers += [nn.Linear(width_in, width_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])  # the last layer stays linear


def check_count(name: str, value: int, repair: str) -> None:
    """Raise a ValueError that ends in the repair unless value is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; found {value!r}. {repair}")
