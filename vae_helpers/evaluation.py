"""Evaluation: scores of held-out images, active units, refined and aggregate posteriors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_helpers.checks import check_count, check_positive
from vae_helpers.networks import VAE
from vae_helpers.objectives import Model, Terms, elbo, elbo_terms

VALUES_AT_ONCE = 2**20  # densities that `log_aggregate_posterior` holds at once: 8 MB


def mean_and_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of a sample ``(N, …)`` and its standard error s / √N, each ``(…)``."""
    return values.mean(0), values.std(0) / len(values) ** 0.5


@torch.no_grad()
def score(vae: VAE, images: Tensor, *, labels: Tensor | None = None, seed: int = 0) -> Terms:
    """Estimate the ELBO of every image ``(N, D)``, with the same noise in every call.

    The mean of ``kl`` is the rate R, the mean of ``−log_likelihood`` the distortion D, and
    the mean of ``elbo`` is −(R + D). A `ConditionalVAE` takes the labels of the images.

    Source: Kingma & Welling 2014, equation 7; rate and distortion: Alemi et al. 2018.
    """
    generator = torch.Generator(images.device).manual_seed(seed)
    chunks = []
    for rows in torch.arange(len(images), device=images.device).split(10_000):
        model = vae if labels is None else vae.given(labels[rows])
        chunks.append(elbo_terms(model, images[rows], generator=generator))
    return Terms(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))


@torch.no_grad()
def active_units(vae: Model, images: Tensor, *, threshold: float = 0.01) -> Tensor:
    """Say which latent variables the encoder uses, ``(L,)``: Var_x[μ_l(x)] > threshold.

    A latent variable that has collapsed onto the prior has the same mean for every image.

    Source: Burda et al. 2016, section 5.2.
    """
    check_count("the number of images", len(images), "Pass a whole test set.", least=2)
    return vae.encode(images)[0].var(0) > threshold


class Refined:
    """A model whose encoder is a table: one q(z|x) for each image that was refined."""

    def __init__(self, vae: Model, x: Tensor, mu: Tensor, logvar: Tensor) -> None:
        self.vae, self.x, self.mu, self.logvar = vae, x, mu, logvar
        self.decode, self.log_likelihood = vae.decode, vae.log_likelihood

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the refined mean and log-variance, each ``(B, L)``."""
        if not torch.equal(x, self.x):
            raise ValueError(
                f"a refined posterior belongs to its {len(self.x)} images; found others, of "
                f"shape {tuple(x.shape)}. Refine it for these with refine(vae, x)."
            )
        return self.mu, self.logvar


def refine(
    vae: Model,
    x: Tensor,
    *,
    steps: int = 500,
    samples: int = 16,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> Refined:
    r"""Maximise the ELBO of each image over its own μ and σ, with the decoder held fixed.

    max_{μ, ℓ} E_q[log p(x|z)] − KL(N(μ, diag e^ℓ) ‖ p(z)),  from where the encoder starts it.

    What is gained is the amortization gap, or less of it where the climb ends on a lower of
    several maxima; to climb from elsewhere, pass a `Refined` with another μ and ℓ as the vae.
    Adam takes the steps, each with some samples of z, and its rate falls to zero along half a
    cosine, so that the noise averages out. Gradients may be switched off around the call.

    Source: Cremer et al. 2018, section 3; Kim et al. 2018.
    """
    for name, value in [("steps", steps), ("samples", samples)]:
        check_count(name, value, "The defaults are steps=500, samples=16.")
    check_positive("lr", lr, "Try 0.02.")
    with torch.no_grad():
        mu, logvar = (values.clone() for values in vae.encode(x))  # (B, L)
    optimizer = torch.optim.Adam([mu.requires_grad_(), logvar.requires_grad_()], lr=lr)
    shape = (samples, *mu.shape)  # (S, B, L)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        with torch.enable_grad():
            table = Refined(vae, x, mu.expand(shape), logvar.expand(shape))
            loss = -elbo(table, x, generator=generator).sum() / samples
        mu.grad, logvar.grad = torch.autograd.grad(loss, [mu, logvar])
        optimizer.step()
    return Refined(vae, x, mu.detach(), logvar.detach())


def log_aggregate_posterior(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    r"""Log-density of the mixture of the q(z|x) of N images at M points, ``(M,)``, in nats.

    log q(z) = log (1/N) Σ_n N(z; μ_n, diag e^ℓ_n),  for z ``(M, L)``, μ and ℓ ``(N, L)``.

    It is computed in 64 bits and rounded to the type of z.

    Source: Makhzani et al. 2016; Hoffman & Johnson 2016.
    """
    if mu.shape != logvar.shape or mu.ndim != 2 or z.ndim != 2 or z.shape[1] != mu.shape[1]:
        raise ValueError(
            "expected z (M, L), mu (N, L) and logvar (N, L); found "
            f"{tuple(z.shape)}, {tuple(mu.shape)} and {tuple(logvar.shape)}. "
            "Pass mu and logvar as the encoder returns them."
        )
    precision = torch.exp(-logvar.double())  # (N, L)
    weighted = mu.double() * precision
    log_scale = -0.5 * (logvar.double() + math.log(2 * math.pi) + mu.double() * weighted).sum(-1)
    # −½ Σ_l (z − μ)² / σ² as a product of matrices. 64 bits, since its terms nearly cancel, and
    # since the small densities of 32 bits are denormal numbers, which take ten times as long.
    factors = torch.cat([-0.5 * precision, weighted], dim=-1).T  # (2L, N)
    parts = []
    for points in z.double().split(max(1, VALUES_AT_ONCE // len(mu))):
        exponents = torch.addmm(log_scale, torch.cat([points.square(), points], -1), factors)
        parts.append(exponents.logsumexp(-1))  # of (C, N)
    return (torch.cat(parts) - math.log(len(mu))).to(z.dtype)
