"""The conditional VAE: a VAE that is told which digit it encodes and decodes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_helpers.networks import VAE, Decoder, Encoder, check_count


class ConditionalVAE(VAE):
    r"""A VAE of p(x|y): encoder and decoder both read the label y, as C numbers of which one is 1.

    q(z|x, y) = N(μ(x, y), diag σ²(x, y)),  p(z) = N(0, I),  p(x|z, y) as in `VAE`.

    The labels belong to a batch, so the networks are reached through `given`::

        model = vae.given(labels)
        elbo(model, images)  # a bound on log p(x|y)
        model.decode(z)

    Args:
        latent_dim: number L ≥ 1 of latent variables.
        hidden: widths H of the encoder's hidden layers; the decoder has them in reverse.
        classes: number C ≥ 1 of labels, which are 0 to C − 1.
        pixels: number D ≥ 1 of pixels.
        sigma2: variance σ² of p(x|z, y), or None for Bernoulli pixels.
        activation: ``"relu"`` or ``"tanh"``, after each hidden layer.

    Raises:
        ValueError: as `VAE`, or classes is not a positive whole number.

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
        self.encoder = Encoder(latent_dim, self.hidden, pixels + classes, activation)
        self.decoder = Decoder(latent_dim + classes, self.hidden, pixels, activation)

    def given(self, labels: Tensor) -> GivenLabels:
        """Return the model of the images that have these labels, ``(B,)``.

        Raises:
            ValueError: labels are no whole numbers in 0 to C − 1, one an image.
        """
        return GivenLabels(self, self._one_hot(labels))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Refuse: without labels there is no q(z|x, y)."""
        raise _labels_missing("encode")

    def decode(self, z: Tensor) -> Tensor:
        """Refuse: without labels there is no p(x|z, y)."""
        raise _labels_missing("decode")

    def logits(self, z: Tensor) -> Tensor:
        """Refuse: without labels there is no p(x|z, y)."""
        raise _labels_missing("logits")

    def _one_hot(self, labels: Tensor) -> Tensor:
        """Return ``(B, C)``, 1 in the column of the label."""
        weight = next(self.parameters())
        if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 1:
            found = (
                f"{labels.dtype} of shape {tuple(labels.shape)}"
                if isinstance(labels, Tensor)
                else type(labels).__name__
            )
            raise ValueError(
                f"labels must be a tensor of torch.int64 of shape (B,); found {found}. "
                "Take them as load_mnist returns them, or use torch.tensor([3, 1, 4])."
            )
        if len(labels) == 0:
            raise ValueError("labels must hold at least one label; found none. Give one an image.")
        low, high = (bound.item() for bound in torch.aminmax(labels))
        if low < 0 or high >= self.classes:
            raise ValueError(
                f"labels must lie in 0 to {self.classes - 1}; found {low} to {high}. "
                "Remove or renumber what is no class of this model."
            )
        return F.one_hot(labels, self.classes).to(weight)


class GivenLabels:
    """A conditional VAE with the labels of one batch: what the bounds ask of a model."""

    def __init__(self, vae: ConditionalVAE, one_hot: Tensor) -> None:
        self.vae = vae
        self.one_hot = one_hot  # (B, C)
        self.sigma2 = vae.sigma2
        self.reparameterize = vae.reparameterize

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z|x, y), each ``(B, L)``.

        Raises:
            ValueError: x is no batch that the VAE can encode, or has not one label an image.
        """
        self.vae.check_images(x)
        self._check_length(x, "images")
        return self.vae.encoder(torch.cat([x, self.one_hot], dim=-1))

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean image of p(x|z, y), ``(…, B, D)`` in [0, 1], for z ``(…, B, L)``.

        Raises:
            ValueError: z has another number of latent variables, or not one row a label.
        """
        return self.logits(z).sigmoid()

    def logits(self, z: Tensor) -> Tensor:
        """Return the log-odds of the mean image, ``(…, B, D)``, for z ``(…, B, L)``.

        Raises:
            ValueError: z has another number of latent variables, or not one row a label.
        """
        self.vae.check_latents(z)
        self._check_length(z, "z")
        one_hot = self.one_hot.expand(*z.shape[:-1], -1)
        return self.vae.decoder.layers(torch.cat([z, one_hot], dim=-1))

    def _check_length(self, rows: Tensor, name: str) -> None:
        if rows.ndim < 2 or rows.shape[-2] != len(self.one_hot):
            raise ValueError(
                f"{name} must have one row for each of the {len(self.one_hot)} labels; found "
                f"shape {tuple(rows.shape)}. Pass the labels of these rows to given()."
            )


def _labels_missing(method: str) -> ValueError:
    return ValueError(
        f"a conditional VAE has no {method} without labels; expected those of the batch. "
        f"Write vae.given(labels).{method}(...)."
    )
