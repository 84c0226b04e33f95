"""The mathematics of the book on tensors: divergence, log-likelihoods and bounds on log p(x).

Every function returns one value an image, shape ``(B,)``, in nats. Nothing here averages:
a caller that wants a training loss writes ``-elbo(vae, x).elbo.mean()``.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

# How many pixels `importance_weighted_bound` decodes at once: 16 MB of 32-bit numbers.
_VALUES_AT_ONCE = 2**22


class LatentVariableModel(Protocol):
    """What the bounds ask of a model: an encoder, a sampler and a decoder.

    Where ``sigma2`` is None the pixels are Bernoulli, and the model also has
    ``logits(z)``, ``(B, D)``, the log-odds of ink.
    """

    sigma2: float | None

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z|x), each ``(B, L)``."""

    def reparameterize(
        self, mu: Tensor, logvar: Tensor, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return one sample of q(z|x) an image, ``(B, L)``."""

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean of p(x|z), ``(B, D)``."""


class Elbo(NamedTuple):
    """The ELBO of each image and its two parts, each ``(B,)``, in nats."""

    log_likelihood: Tensor
    kl: Tensor
    elbo: Tensor


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""KL divergence from a diagonal Gaussian to the standard normal prior.

    KL(N(μ, diag e^ℓ) ‖ N(0, I)) = ½ Σ_l (μ_l² + e^ℓ_l − 1 − ℓ_l),  with ℓ = log σ².

    Args:
        mu: means μ, ``(B, L)``, any finite value.
        logvar: log-variances ℓ = log σ², ``(B, L)``, any finite value.

    Returns:
        One value an image, ``(B,)``, in nats, in [0, ∞); zero only where μ = 0 and ℓ = 0.

    Raises:
        ValueError: the shapes differ.

    Source: Kingma & Welling 2014, appendix B.
    """
    if mu.shape != logvar.shape:
        raise ValueError(
            "mu and logvar must have the same shape; "
            f"found {tuple(mu.shape)} and {tuple(logvar.shape)}. "
            "Pass both as the encoder returns them."
        )
    # expm1(ℓ) = e^ℓ − 1 without the rounding that would make small divergences negative.
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum(-1)


def gaussian_log_likelihood(x: Tensor, x_mean: Tensor, *, sigma2: float = 0.5) -> Tensor:
    r"""Log-density of images under a Gaussian with one variance for all pixels.

    log N(x; x̂, σ²I) = −‖x − x̂‖² / (2σ²) − (D/2) log(2πσ²).

    At the default σ² = ½ this is −SSE − (D/2) log π: the summed squared error and a constant.

    Args:
        x: images, ``(B, D)``.
        x_mean: means x̂ = decode(z), ``(B, D)``.
        sigma2: variance σ² > 0 of each pixel (a variance, not a standard deviation).

    Returns:
        One value an image, ``(B,)``, in nats, in (−∞, −(D/2) log(2πσ²)].

    Raises:
        ValueError: σ² is not a positive finite number, or the shapes differ.

    Source: Bishop 2006, equation 2.43.
    """
    if not (0 < sigma2 < math.inf):
        raise ValueError(
            f"sigma2 is a variance and must be positive and finite; found {sigma2}. "
            "Use 0.5 for the summed squared error."
        )
    _check_same_shape(x, x_mean, "x_mean")
    squared_error = (x - x_mean).square().sum(-1)  # (B,)
    return -squared_error / (2 * sigma2) - 0.5 * x.shape[-1] * math.log(2 * math.pi * sigma2)


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    r"""Log-probability of binary images under independent Bernoulli pixels.

    log p(x|z) = Σ_d x_d log π_d + (1 − x_d) log(1 − π_d),  with π = sigmoid(logits).

    Grey values in (0, 1) are accepted, but the result is then a cross-entropy and no
    likelihood: the probabilities of the two outcomes are all that a Bernoulli has.

    Args:
        x: images, ``(B, D)``, in [0, 1]; a likelihood only where each pixel is 0 or 1.
        logits: log-odds log(π / (1 − π)), ``(B, D)``.

    Returns:
        One value an image, ``(B,)``, in nats, in (−∞, 0].

    Raises:
        ValueError: the shapes differ.

    Source: Kingma & Welling 2014, appendix C.1.
    """
    _check_same_shape(x, logits, "logits")
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def elbo(
    vae: LatentVariableModel,
    x: Tensor,
    *,
    beta: float = 1.0,
    generator: torch.Generator | None = None,
) -> Elbo:
    r"""Estimate the evidence lower bound of each image with one sample of z.

    ELBO(x) = E_q(z|x)[log p(x|z)] − β KL(q(z|x) ‖ p(z)) ≤ log p(x)  for β ≥ 1.

    The KL is exact. The expectation is estimated, without bias, by one reparameterized z.

    Args:
        vae: the model; ``vae.sigma2`` says whether its pixels are Gaussian or Bernoulli.
        x: images, ``(B, D)``.
        beta: weight β ≥ 0 of the KL; 1 gives the ELBO, more a looser bound, less no bound.
        generator: source of the noise; None takes torch's global one.

    Returns:
        log_likelihood, kl (not weighted by β) and elbo, each ``(B,)``, in nats.

    Raises:
        ValueError: β is negative or not finite, or the model refuses x.

    Source: Kingma & Welling 2014, equation 7; β: Higgins et al. 2017.
    """
    if not (0 <= beta < math.inf):
        raise ValueError(
            f"beta must be finite and not negative; found {beta}. Use 1 for the ELBO itself."
        )
    mu, logvar = vae.encode(x)  # (B, L), (B, L)
    z = vae.reparameterize(mu, logvar, generator=generator)  # (B, L)
    log_likelihood = _log_likelihood(vae, x, z)  # (B,)
    kl = kl_divergence(mu, logvar)  # (B,)
    return Elbo(log_likelihood, kl, log_likelihood - beta * kl)


def importance_weighted_bound(
    vae: LatentVariableModel,
    x: Tensor,
    *,
    k: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Estimate the importance-weighted bound of each image with K samples of z.

    L_K(x) = log (1/K) Σ_k w_k ≤ log p(x) in expectation,  with z_k ~ q(z|x) and
    log w_k = log p(x|z_k) + log p(z_k) − log q(z_k|x).

    L_1 is the ELBO, with its KL sampled and not exact; more samples raise the expectation
    towards log p(x). The samples come in chunks, so without gradients memory does not grow
    with K.

    Args:
        vae: the model; ``vae.sigma2`` says whether its pixels are Gaussian or Bernoulli.
        x: images, ``(B, D)``.
        k: number K ≥ 1 of samples an image.
        generator: source of the noise; None takes torch's global one.

    Returns:
        One value an image, ``(B,)``, in nats, in (−∞, ∞).

    Raises:
        ValueError: K is not a whole number of at least 1, or the model refuses x.

    Source: Burda et al. 2016, equation 8.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(
            f"k must be a whole number of at least 1; found {k!r}. "
            "Use 1 for the ELBO, 5000 for a tight bound."
        )
    mu, logvar = vae.encode(x)  # (B, L), (B, L)
    chunk = max(1, _VALUES_AT_ONCE // x.numel())
    log_sum = mu.new_tensor(-math.inf)  # the logarithm of an empty sum
    for start in range(0, k, chunk):
        shape = (min(chunk, k - start), *mu.shape)  # (C, B, L)
        z = vae.reparameterize(mu.expand(shape), logvar.expand(shape), generator=generator)
        log_p_x = _log_likelihood(vae, x, z)  # (C, B)
        # log p(z) − log q(z|x), whose constants ½ log 2π cancel
        log_ratio = 0.5 * (logvar + (z - mu).square() / logvar.exp() - z.square()).sum(-1)
        log_sum = torch.logaddexp(log_sum, (log_p_x + log_ratio).logsumexp(0))  # (B,)
    return log_sum - math.log(k)


def _log_likelihood(vae: LatentVariableModel, x: Tensor, z: Tensor) -> Tensor:
    """Return log p(x|z), ``(…, B)``, for images ``(B, D)`` and latent points ``(…, B, L)``."""
    if vae.sigma2 is None:
        logits = vae.logits(z)
        return bernoulli_log_likelihood(x.expand_as(logits), logits)
    x_mean = vae.decode(z)
    return gaussian_log_likelihood(x.expand_as(x_mean), x_mean, sigma2=vae.sigma2)


def _check_same_shape(x: Tensor, other: Tensor, name: str) -> None:
    if x.shape != other.shape:
        raise ValueError(
            f"x and {name} must have the same shape (B, D); "
            f"found {tuple(x.shape)} and {tuple(other.shape)}. "
            "A shape that only broadcasts would sum over the wrong axis."
        )
