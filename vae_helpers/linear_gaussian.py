"""The linear-Gaussian model, whose marginal likelihood, posterior and ELBO are all exact.

Its decoder is the simplest there is, x̂(z) = Wz + b, so that what the book claims about the ELBO
can be held here against numbers that need no sampling. All have 64 bits: images x are ``(B, D)``,
values are one an image, ``(B,)``, in nats.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_helpers.checks import check_count, check_positive
from vae_helpers.objectives import gaussian_log_likelihood


class LinearGaussian:
    r"""Probabilistic PCA as a latent variable model, with weights W ``(D, L)`` and offset b.

    z ~ N(0, I),  x | z ~ N(Wz + b, σ²I),  hence  x ~ N(b, WWᵀ + σ²I).

    Source: Tipping & Bishop 1999; as a VAE: Lucas et al. 2019.
    """

    def __init__(self, W: Tensor, b: Tensor, sigma2: float) -> None:
        W, b = torch.as_tensor(W).double(), torch.as_tensor(b).double()
        if W.ndim != 2 or b.shape != W.shape[:1] or not W.numel():
            raise ValueError(
                f"W must have shape (D, L) and b shape (D,); found {tuple(W.shape)} and "
                f"{tuple(b.shape)}. Give W a row and b a number for each pixel."
            )
        check_positive("sigma2", sigma2, "It is a variance; try a small one.")
        self.W, self.b, self.sigma2 = W, b, float(sigma2)
        self.pixels, self.latent_dim = W.shape
        # The precision Λ of the posterior, the same for every x: M / σ² with M = WᵀW + σ²I.
        self.precision = torch.eye(self.latent_dim).double() + W.T @ W / self.sigma2  # (L, L)

    def log_marginal(self, x: Tensor) -> Tensor:
        r"""Exact log p(x) = log N(x; b, WWᵀ + σ²I).

        Source: Tipping & Bishop 1999, equation 4, by the matrix inversion lemma.
        """
        residual = self._check(x) - self.b  # (B, D)
        projected = residual @ self.W / self.sigma2  # (B, L)
        explained = (projected * torch.linalg.solve(self.precision, projected.T).T).sum(-1)
        mahalanobis = residual.square().sum(-1) / self.sigma2 - explained
        log_det = self.pixels * math.log(self.sigma2) + torch.logdet(self.precision)
        return -0.5 * (mahalanobis + log_det + self.pixels * math.log(2 * math.pi))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Exact p(z|x) = N(M⁻¹Wᵀ(x − b), σ²M⁻¹): means ``(B, L)`` and one covariance ``(L, L)``.

        Source: Tipping & Bishop 1999, equation 6.
        """
        covariance = torch.linalg.inv(self.precision)
        return (self._check(x) - self.b) @ self.W @ covariance / self.sigma2, covariance

    def mean_field(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""The diagonal q(z|x) with the highest ELBO: the posterior's mean, and variances 1/Λ_ll.

        The variances ``(L,)`` are at most the posterior's, and equal where the columns of W are
        orthogonal.

        Source: Bishop 2006, section 10.1.2.
        """
        return self.posterior(x)[0], 1 / self.precision.diagonal()

    def elbo(self, x: Tensor, mu: Tensor, cov: Tensor) -> Tensor:
        r"""Exact ELBO of any Gaussian q(z|x) = N(μ, S); a diagonal S may be given as ``(L,)``.

        −(‖x − Wμ − b‖² + tr(WᵀWS)) / (2σ²) − (D/2) log(2πσ²) − KL(N(μ, S) ‖ N(0, I)).

        Source: Lucas et al. 2019, section 3.
        """
        cov = torch.diag(cov) if cov.ndim == 1 else cov
        spread = (self.W.T @ self.W * cov).sum((-2, -1))  # tr(WᵀWS)
        log_likelihood = self.log_likelihood(self._check(x), mu) - spread / (2 * self.sigma2)
        prior = torch.zeros_like(mu), torch.eye(self.latent_dim).double()
        return log_likelihood - gaussian_kl(mu, cov, *prior)

    def gap(self, x: Tensor, mu: Tensor, cov: Tensor) -> Tensor:
        """Exact KL(N(μ, S) ‖ p(z|x)): what the ELBO lacks to log p(x)."""
        cov = torch.diag(cov) if cov.ndim == 1 else cov
        return gaussian_kl(mu, cov, *self.posterior(x))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the best diagonal q(z|x), each ``(B, L)``."""
        mean, variances = self.mean_field(x)
        return mean, variances.log().expand_as(mean)

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean Wz + b of p(x|z), ``(…, D)``, for z ``(…, L)``."""
        return z @ self.W.T + self.b

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x|z), ``(…, B)``, for z ``(…, B, L)``."""
        x_mean = self.decode(z)
        return gaussian_log_likelihood(x.expand_as(x_mean), x_mean, sigma2=self.sigma2)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n pairs x, z from the joint, ancestor first: z ~ N(0, I), then x = Wz + b + σ ε."""
        z = torch.randn(n, self.latent_dim, generator=generator, dtype=torch.float64)
        noise = torch.randn(n, self.pixels, generator=generator, dtype=torch.float64)
        return self.decode(z) + math.sqrt(self.sigma2) * noise, z

    @classmethod
    def fit(cls, x: Tensor, latent_dim: int) -> LinearGaussian:
        r"""Return the maximum-likelihood model of data ``(N, D)``, with 1 ≤ L < D, N > L + 1.

        b is the mean, σ² the mean of the D − L smallest eigenvalues λ of the data's
        covariance (divided by N), and W = U (Λ − σ²I)^½ holds the L largest.

        Source: Tipping & Bishop 1999, equations 7 and 8.
        """
        check_count("latent_dim", latent_dim, "Use a few, fewer than the pixels.")
        x = torch.as_tensor(x).double()
        if x.ndim != 2 or not x.isfinite().all():
            raise ValueError(
                f"x must be finite numbers of shape (N, D); found shape {tuple(x.shape)} with "
                f"{(~x.isfinite()).sum()} others. Give one image a row, without NaN or infinity."
            )
        n, pixels = x.shape
        b = x.mean(0)
        values, vectors = torch.linalg.eigh((x - b).T @ (x - b) / n)  # ascending
        sigma2 = values[: max(0, pixels - latent_dim)].mean().item()
        if not sigma2 > 1e-12 * values[-1].item():  # 0 where N ≤ L + 1, NaN where L ≥ D
            raise ValueError(
                f"{n} samples of {pixels} numbers leave no variance to the noise: expected σ² > 0, "
                f"L < D and N > L + 1; found σ² = {sigma2:.1e} for L = {latent_dim}. "
                "Use fewer latent variables, or more samples."
            )
        scale = (values[-latent_dim:] - sigma2).clamp(min=0).sqrt()
        return cls(vectors[:, -latent_dim:] * scale, b, sigma2)

    def _check(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.pixels or x.dtype != torch.float64:
            raise ValueError(
                f"x must have shape (B, {self.pixels}) and type float64; found {tuple(x.shape)}, "
                f"{x.dtype}. Convert it with x.double(), one image a row."
            )
        return x


def gaussian_kl(mu: Tensor, cov: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """KL(N(μ, S) ‖ N(m, C)) = ½ (tr(C⁻¹S) + (m − μ)ᵀC⁻¹(m − μ) − L + log det C − log det S)."""
    precision = torch.linalg.inv(covariance)
    shift = mean - mu  # (B, L)
    trace = (precision * cov).sum((-2, -1))
    distance = ((shift @ precision) * shift).sum(-1)  # (B,)
    return 0.5 * (trace + distance - mu.shape[-1] + torch.logdet(covariance) - torch.logdet(cov))
