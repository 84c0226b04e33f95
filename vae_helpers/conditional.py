"""The conditional VAE: a VAE that is told which digit it encodes and decodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_helpers.checks import check_count, check_labels, check_width
from vae_helpers.networks import VAE, Decoder, Encoder, pixel_log_likelihood


class ConditionalVAE(VAE):
    r"""A VAE of p(x|y): encoder and decoder both read the label y, as C numbers of which one is 1.

    q(z|x, y) = N(μ(x, y), diag σ²(x, y)),  p(z) = N(0, I),  p(x|z, y) as in `VAE`.

    The labels belong to a batch, so the networks are reached through `given`::

        model = vae.given(labels)
        elbo(model, images)  # a bound on log p(x|y)
        model.decode(z)

    Source: Kingma et al. 2014, model M2 with every label observed; Sohn et al. 2015.
    """

    def __init__(
        self,
        latent_dim: int = 4,
        hidden: Sequence[int] = (64, 32),
        *,
        classes: int = 10,
        pixels: int = 784,
        sigma2: float | None = 0.5,
        activation: str = "relu",
    ) -> None:
        check_count("classes", classes, "MNIST has ten.")
        super().__init__(latent_dim, hidden, pixels=pixels, sigma2=sigma2, activation=activation)
        self.classes = classes
        self.encoder = Encoder((pixels + classes, *hidden, 2 * latent_dim), activation)
        self.decoder = Decoder((latent_dim + classes, *reversed(hidden), pixels), activation)

    def given(self, labels: Tensor) -> GivenLabels:
        """Return the model of the images that have these labels, ``(B,)``."""
        check_labels(labels, self.classes)
        return GivenLabels(self, F.one_hot(labels, self.classes).to(next(self.parameters())))

    def _refuse(self, *_: Tensor) -> NoReturn:
        """Refuse: without labels there is neither q(z|x, y) nor p(x|z, y)."""
        raise ValueError(
            "a conditional VAE neither encodes nor decodes without labels; expected those of the "
            "batch, found none. Write vae.given(labels), and use what it returns."
        )

    encode = decode = log_likelihood = _refuse


class GivenLabels:
    """A conditional VAE with the labels of one batch: what the bounds ask of a model."""

    def __init__(self, vae: ConditionalVAE, one_hot: Tensor) -> None:
        self.vae = vae
        self.one_hot = one_hot  # (B, C)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z|x, y), each ``(B, L)``."""
        self.vae.check_images(x)
        return self.vae.encoder(self._told("images", x))

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean image of p(x|z, y), ``(…, B, D)`` in [0, 1], for z ``(…, B, L)``."""
        check_width("z", z, self.vae.latent_dim)
        return self.vae.decoder(self._told("z", z))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x|z, y) in nats, ``(…, B)``, for images ``(B, D)`` and z ``(…, B, L)``."""
        logits = self.vae.decoder.layers(self._told("z", z))
        return pixel_log_likelihood(x, logits, self.vae.sigma2)

    def _told(self, name: str, rows: Tensor) -> Tensor:
        """Put the label of each row beside it."""
        if rows.ndim < 2 or rows.shape[-2] != len(self.one_hot):
            raise ValueError(
                f"{name} must have one row for each of the {len(self.one_hot)} labels; found "
                f"shape {tuple(rows.shape)}. Pass the labels of these rows to given()."
            )
        return torch.cat([rows, self.one_hot.expand(*rows.shape[:-1], -1)], dim=-1)
