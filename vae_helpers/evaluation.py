"""Evaluation: scores of held-out images, active units, refined and aggregate posteriors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_helpers.networks import VAE, check_count
from vae_helpers.objectives import Elbo, LatentVariableModel, elbo

# How many densities `log_aggregate_posterior` holds at once: 8 MB of 64-bit numbers.
_VALUES_AT_ONCE = 2**20


@torch.no_grad()
def score(vae: VAE, images: Tensor, *, labels: Tensor | None = None, seed: int = 0) -> Elbo:
    """Estimate the ELBO of every image of a set, with the same noise in every call.

    The mean of ``kl`` is the rate R, the mean of ``−log_likelihood`` the distortion D, and
    the mean of ``elbo`` is −(R + D).

    Args:
        vae: the model.
        images: ``(N, D)``, on the device of vae.
        labels: ``(N,)``, for a `ConditionalVAE`.
        seed: seed of the noise.

    Returns:
        log_likelihood, kl and elbo, each ``(N,)``, in nats.

    Raises:
        ValueError: the model refuses the images or the labels.

    Source: Kingma & Welling 2014, equation 7; rate and distortion: Alemi et al. 2018.
    """
    generator = torch.Generator(images.device).manual_seed(seed)
    chunks = []
    for rows in torch.arange(len(images), device=images.device).split(10_000):
        model = vae if labels is None else vae.given(labels[rows])
        chunks.append(elbo(model, images[rows], generator=generator))
    return Elbo(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))


@torch.no_grad()
def active_units(vae: LatentVariableModel, images: Tensor, *, threshold: float = 0.01) -> Tensor:
    """Say which latent variables the encoder uses: Var_x[μ_l(x)] > threshold.

    A latent variable that has collapsed onto the prior has the same mean for every image.

    Args:
        vae: the model.
        images: ``(N, D)`` with N ≥ 2.
        threshold: the variance above which a unit counts as active.

    Returns:
        ``(L,)``, true where the unit is active.

    Raises:
        ValueError: there is only one image, or the model refuses the images.

    Source: Burda et al. 2016, section 5.2.
    """
    if len(images) < 2:
        raise ValueError(
            f"a variance over images needs at least 2; found {len(images)}. Pass a whole test set."
        )
    mu, _ = vae.encode(images)  # (N, L)
    return mu.var(0) > threshold


class Refined:
    """A model whose encoder is a table: one q(z|x) for each image that was refined.

    It has what the bounds of `vae_helpers.objectives` ask of a model, for those images.
    """

    def __init__(self, vae: LatentVariableModel, x: Tensor, mu: Tensor, logvar: Tensor) -> None:
        self.vae = vae
        self.x = x
        self.mu = mu  # (B, L)
        self.logvar = logvar  # (B, L)
        self.sigma2 = vae.sigma2
        self.reparameterize = vae.reparameterize
        self.decode = vae.decode

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the refined mean and log-variance, each ``(B, L)``.

        Raises:
            ValueError: x are not the images that were refined.
        """
        if not torch.equal(x, self.x):
            raise ValueError(
                f"a refined posterior belongs to its {len(self.x)} images; found others, of "
                f"shape {tuple(x.shape)}. Refine it for these with refine(vae, x)."
            )
        return self.mu, self.logvar

    def logits(self, z: Tensor) -> Tensor:
        """Return the log-odds of a model with Bernoulli pixels."""
        return self.vae.logits(z)


def refine(
    vae: LatentVariableModel,
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
    Adam takes the steps, and its rate falls to zero along half a cosine, so that the noise of
    the samples averages out. Gradients may be switched off around the call.

    Args:
        vae: the model; its weights do not change.
        x: images, ``(B, D)``.
        steps: number of steps.
        samples: samples of z an image in each step.
        lr: Adam's learning rate at the start.
        generator: source of the noise; None takes torch's global one.

    Returns:
        The model with the refined q(z|x) in the place of its encoder.

    Raises:
        ValueError: steps or samples is no whole number of at least 1, lr is not positive and
            finite, or the model refuses x.

    Source: Cremer et al. 2018, section 3; Kim et al. 2018.
    """
    for name, value in [("steps", steps), ("samples", samples)]:
        check_count(name, value, "The defaults are steps=500, samples=16.")
    if not (0 < lr < math.inf):
        raise ValueError(f"lr must be positive and finite; found {lr!r}. Try 0.02.")
    with torch.no_grad():
        mu, logvar = (values.clone() for values in vae.encode(x))  # (B, L)
    mu.requires_grad_()
    logvar.requires_grad_()
    optimizer = torch.optim.Adam([mu, logvar], lr=lr)
    shape = (samples, *mu.shape)  # (S, B, L)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        with torch.enable_grad():
            table = Refined(vae, x, mu.expand(shape), logvar.expand(shape))
            loss = -elbo(table, x, generator=generator).elbo.sum() / samples
        mu.grad, logvar.grad = torch.autograd.grad(loss, [mu, logvar])
        optimizer.step()
    return Refined(vae, x, mu.detach(), logvar.detach())


def log_aggregate_posterior(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    r"""Log-density of the aggregate posterior, the mixture of q(z|x) over a set of images.

    log q(z) = log (1/N) Σ_n N(z; μ_n, diag e^ℓ_n).

    Args:
        z: points, ``(M, L)``.
        mu: means of the N images, ``(N, L)``.
        logvar: log-variances ℓ of the N images, ``(N, L)``.

    Returns:
        One value a point, ``(M,)``, in nats, computed in 64 bits and rounded to the type of z.

    Raises:
        ValueError: the shapes do not fit, or there is no image.

    Source: Makhzani et al. 2016; Hoffman & Johnson 2016.
    """
    if mu.shape != logvar.shape or mu.ndim != 2 or z.ndim != 2 or z.shape[1] != mu.shape[1]:
        raise ValueError(
            "expected z (M, L), mu (N, L) and logvar (N, L); found "
            f"{tuple(z.shape)}, {tuple(mu.shape)} and {tuple(logvar.shape)}. "
            "Pass mu and logvar as the encoder returns them."
        )
    if mu.numel() == 0:
        raise ValueError(
            f"a mixture needs at least one image; found mu of shape {tuple(mu.shape)}. "
            "Encode some images first."
        )
    precision = torch.exp(-logvar.double())  # (N, L)
    weighted = mu.double() * precision
    log_scale = -0.5 * (logvar.double() + math.log(2 * math.pi) + mu.double() * weighted).sum(-1)
    # −½ Σ_l (z − μ)² / σ² as a product of matrices. 64 bits, since its terms nearly cancel, and
    # since the small densities of 32 bits are denormal numbers, which take ten times as long.
    factors = torch.cat([-0.5 * precision, weighted], dim=-1).T  # (2L, N)
    parts = []
    for points in z.double().split(max(1, _VALUES_AT_ONCE // len(mu))):
        exponents = torch.addmm(log_scale, torch.cat([points.square(), points], -1), factors)
        parts.append(exponents.logsumexp(-1))  # of (C, N)
    return (torch.cat(parts) - math.log(len(mu))).to(z.dtype)
