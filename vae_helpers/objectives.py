"""The mathematics of the book on tensors: divergence, log-likelihoods and bounds on log p(x).

Each function returns one value an image, ``(B,)``, in nats. Nothing here averages: a training
loss is ``-elbo(vae, x).mean()``.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn

from vae_helpers.checks import check_count

VALUES_AT_ONCE = 2**22  # pixels that `importance_weighted_bound` decodes at once: 16 MB


class Model(Protocol):
    """What the bounds ask of a model, for images ``(B, D)`` and latent points ``(…, B, L)``."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z|x), each ``(B, L)``."""

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x|z), ``(…, B)``."""


def kl_to_prior(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""KL divergence from a diagonal Gaussian, ``(B, L)``, to the standard normal prior; ≥ 0.

    KL(N(μ, diag e^ℓ) ‖ N(0, I)) = ½ Σ_l (μ_l² + e^ℓ_l − 1 − ℓ_l),  with ℓ = log σ².

    Source: Kingma & Welling 2014, appendix B.
    """
    _check_one_shape(mu, logvar)
    # expm1(ℓ) = e^ℓ − 1 without the rounding that would make small divergences negative.
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum(-1)


def gaussian_log_likelihood(x: Tensor, x_mean: Tensor, *, sigma2: float = 0.5) -> Tensor:
    r"""Log-density of images ``(B, D)`` under a Gaussian with one variance σ² for all pixels.

    log N(x; x̂, σ²I) = −‖x − x̂‖² / (2σ²) − (D/2) log(2πσ²).

    At σ² = ½ this is −SSE − (D/2) log π: the summed squared error and a constant.

    Source: Bishop 2006, equation 2.43.
    """
    _check_one_shape(x, x_mean)
    squared_error = (x - x_mean).square().sum(-1)  # (B,)
    return -squared_error / (2 * sigma2) - 0.5 * x.shape[-1] * math.log(2 * math.pi * sigma2)


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    r"""Log-probability of binary images ``(B, D)`` under independent Bernoulli pixels; ≤ 0.

    log p(x|z) = Σ_d x_d log π_d + (1 − x_d) log(1 − π_d),  with π = sigmoid(logits).

    For grey values the result is a cross-entropy, and the likelihood of nothing.

    Source: Kingma & Welling 2014, appendix C.1.
    """
    _check_one_shape(x, logits)
    return -nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def reparameterize(mu: Tensor, logvar: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Sample q(z|x) as z = μ + σ ε with ε ~ N(0, I) and σ = exp(ℓ / 2); differentiable in both.

    Source: Kingma & Welling 2014, section 2.4.
    """
    epsilon = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return mu + torch.exp(0.5 * logvar) * epsilon


class Terms(NamedTuple):
    """The two terms of the ELBO of each image, each ``(B,)``, in nats."""

    log_likelihood: Tensor
    kl: Tensor

    @property
    def elbo(self) -> Tensor:
        """E_q[log p(x|z)] − KL(q(z|x) ‖ p(z)), ``(B,)``."""
        return self.log_likelihood - self.kl


def elbo_terms(model: Model, x: Tensor, *, generator: Generator | None = None) -> Terms:
    """Estimate E_q[log p(x|z)] with one sample of z, and compute KL(q(z|x) ‖ p(z)) exactly."""
    mu, logvar = model.encode(x)  # (B, L), (B, L)
    z = reparameterize(mu, logvar, generator=generator)  # (B, L)
    return Terms(model.log_likelihood(x, z), kl_to_prior(mu, logvar))


def elbo(model: Model, x: Tensor, *, beta: float = 1, generator: Generator | None = None) -> Tensor:
    r"""Estimate the evidence lower bound of each image, without bias.

    ELBO(x) = E_q(z|x)[log p(x|z)] − β KL(q(z|x) ‖ p(z)) ≤ log p(x)  for β ≥ 1.

    Source: Kingma & Welling 2014, equation 7; β: Higgins et al. 2017.
    """
    log_likelihood, kl = elbo_terms(model, x, generator=generator)
    return log_likelihood - beta * kl


def importance_weighted_bound(
    model: Model, x: Tensor, *, k: int, generator: Generator | None = None
) -> Tensor:
    r"""Estimate the importance-weighted bound of each image with K samples of z.

    L_K(x) = log (1/K) Σ_k w_k ≤ log p(x) in expectation,  with z_k ~ q(z|x) and
    log w_k = log p(x|z_k) + log p(z_k) − log q(z_k|x).

    L_1 is the ELBO, with its KL sampled; more samples raise the expectation towards log p(x). The
    samples come in chunks, so without gradients memory does not grow with K.

    Source: Burda et al. 2016, equation 8.
    """
    check_count("k", k, "Use 1 for the ELBO, 5000 for a tight bound.")
    mu, logvar = model.encode(x)  # (B, L), (B, L)
    chunk = max(1, VALUES_AT_ONCE // x.numel())
    log_sum = mu.new_tensor(-math.inf)  # the logarithm of an empty sum
    for start in range(0, k, chunk):
        shape = (min(chunk, k - start), *mu.shape)  # (C, B, L)
        z = reparameterize(mu.expand(shape), logvar.expand(shape), generator=generator)
        # log p(z) − log q(z|x), whose constants ½ log 2π cancel
        log_ratio = 0.5 * (logvar + (z - mu).square() / logvar.exp() - z.square()).sum(-1)
        log_w = model.log_likelihood(x, z) + log_ratio  # (C, B)
        log_sum = torch.logaddexp(log_sum, log_w.logsumexp(0))  # (B,)
    return log_sum - math.log(k)


def _check_one_shape(left: Tensor, right: Tensor) -> None:
    if left.shape != right.shape:
        raise ValueError(
            f"expected two tensors of one shape; found {tuple(left.shape)} and "
            f"{tuple(right.shape)}. One that only broadcasts would be summed over the wrong axis."
        )
