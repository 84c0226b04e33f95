"""The linear-Gaussian model, whose marginal likelihood, posterior and ELBO are all exact.

It is the latent variable model with the simplest decoder there is, x̂(z) = Wz + b. Whatever
the book claims about the ELBO can be held here against numbers that need no sampling. It has
the methods that `vae_helpers.objectives` asks of a model, so the same functions run on it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class LinearGaussian:
    r"""Probabilistic PCA as a latent variable model, in float64.

    z ~ N(0, I),  x | z ~ N(Wz + b, σ²I),  hence  x ~ N(b, WWᵀ + σ²I).

    Args:
        W: weights, ``(D, L)``.
        b: offset, ``(D,)``.
        sigma2: variance σ² > 0 of each pixel.

    Raises:
        ValueError: the shapes do not fit, a number is not finite, or σ² is not positive.

    Source: Tipping & Bishop 1999; as a VAE: Lucas et al. 2019.
    """

    def __init__(self, W: Tensor, b: Tensor, sigma2: float) -> None:
        W, b = torch.as_tensor(W).double(), torch.as_tensor(b).double()
        if W.ndim != 2 or b.shape != W.shape[:1] or W.numel() == 0:
            raise ValueError(
                f"W must have shape (D, L) and b shape (D,); found {tuple(W.shape)} and "
                f"{tuple(b.shape)}. Give W a row and b a number for each pixel."
            )
        if not (W.isfinite().all() and b.isfinite().all()):
            raise ValueError(
                "W and b must be finite; found NaN or infinity. Look where they arose."
            )
        if not (0 < sigma2 < math.inf):
            raise ValueError(
                f"sigma2 is a variance and must be positive and finite; found {sigma2}. "
                "A model without noise has no density; try a small value."
            )
        self.W = W
        self.b = b
        self.sigma2 = float(sigma2)
        self.pixels, self.latent_dim = W.shape
        # The precision of the posterior, the same for every x: M / σ² with M = WᵀW + σ²I.
        self._precision = torch.eye(self.latent_dim).double() + W.T @ W / self.sigma2  # (L, L)

    def log_marginal(self, x: Tensor) -> Tensor:
        r"""Exact log p(x) = log N(x; b, WWᵀ + σ²I).

        Args:
            x: ``(B, D)``.

        Returns:
            One value an image, ``(B,)``, in nats.

        Raises:
            ValueError: x has another width, or is not in float64.

        Source: Tipping & Bishop 1999, equation 4, by the matrix inversion lemma.
        """
        residual = self._check(x) - self.b  # (B, D)
        projected = residual @ self.W / self.sigma2  # (B, L)
        mahalanobis = residual.square().sum(-1) / self.sigma2 - (
            projected * torch.linalg.solve(self._precision, projected.T).T
        ).sum(-1)
        log_det = self.pixels * math.log(self.sigma2) + torch.logdet(self._precision)
        return -0.5 * (mahalanobis + log_det + self.pixels * math.log(2 * math.pi))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Exact p(z|x) = N(M⁻¹Wᵀ(x − b), σ²M⁻¹) with M = WᵀW + σ²I.

        Args:
            x: ``(B, D)``.

        Returns:
            mean ``(B, L)``, and the covariance ``(L, L)``, which is the same for every x.

        Raises:
            ValueError: x has another width, or is not in float64.

        Source: Tipping & Bishop 1999, equation 6.
        """
        covariance = torch.linalg.inv(self._precision)
        mean = (self._check(x) - self.b) @ self.W @ covariance / self.sigma2
        return mean, covariance

    def mean_field(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""The diagonal q(z|x) with the highest ELBO: the posterior's mean, and variances 1/Λ_ll.

        Λ = M / σ² is the posterior's precision. The variances are at most those of the
        posterior, and equal where the columns of W are orthogonal.

        Args:
            x: ``(B, D)``.

        Returns:
            mean ``(B, L)`` and variances ``(L,)``.

        Raises:
            ValueError: x has another width, or is not in float64.

        Source: Bishop 2006, section 10.1.2.
        """
        mean, _ = self.posterior(x)
        return mean, 1 / self._precision.diagonal()

    def elbo(self, x: Tensor, mu: Tensor, cov: Tensor) -> Tensor:
        r"""Exact ELBO of any Gaussian q(z|x) = N(μ, S).

        −(‖x − Wμ − b‖² + tr(WᵀWS)) / (2σ²) − (D/2) log(2πσ²) − KL(N(μ, S) ‖ N(0, I)).

        Args:
            x: ``(B, D)``.
            mu: means, ``(B, L)``.
            cov: covariance S, ``(L, L)`` or ``(B, L, L)``; or the variances of a diagonal
                one, ``(L,)``.

        Returns:
            One value an image, ``(B,)``, in nats, at most `log_marginal`.

        Raises:
            ValueError: a shape does not fit, a number is not in float64, or S is not finite,
                symmetric and positive definite.

        Source: Lucas et al. 2019, section 3.
        """
        mu, cov = self._check_posterior(x, mu, cov)
        error = (x - self.b - mu @ self.W.T).square().sum(-1)  # (B,)
        spread = (self.W.T @ self.W * cov).sum((-2, -1))  # tr(WᵀWS)
        log_likelihood = -(error + spread) / (2 * self.sigma2) - 0.5 * self.pixels * math.log(
            2 * math.pi * self.sigma2
        )
        identity = torch.eye(self.latent_dim).double()
        return log_likelihood - _gaussian_kl(mu, cov, torch.zeros_like(mu), identity)

    def gap(self, x: Tensor, mu: Tensor, cov: Tensor) -> Tensor:
        r"""Exact KL(q(z|x) ‖ p(z|x)) of q = N(μ, S): what the ELBO lacks to log p(x).

        Args:
            x: ``(B, D)``.
            mu: means, ``(B, L)``.
            cov: covariance, as `elbo` takes it.

        Returns:
            One value an image, ``(B,)``, in nats, in [0, ∞).

        Raises:
            ValueError: a shape does not fit, a number is not in float64, or S is not finite,
                symmetric and positive definite.
        """
        mean, covariance = self.posterior(x)
        mu, cov = self._check_posterior(x, mu, cov)
        return _gaussian_kl(mu, cov, mean, covariance)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the best diagonal q(z|x): `mean_field` as an encoder.

        No encoder of a VAE with this decoder and a diagonal q(z|x) has a higher ELBO.

        Args:
            x: ``(B, D)``.

        Returns:
            mu and logvar = log σ², each ``(B, L)``.

        Raises:
            ValueError: x has another width, or is not in float64.

        Source: Lucas et al. 2019, section 3.
        """
        mean, variances = self.mean_field(x)
        return mean, variances.log().expand_as(mean)

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
        epsilon = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
        return mu + torch.exp(0.5 * logvar) * epsilon

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean Wz + b of p(x|z), ``(B, D)``, for z ``(B, L)`` in float64.

        Raises:
            ValueError: z has another number of latent variables, or is not in float64.
        """
        if z.shape[-1:] != (self.latent_dim,) or z.dtype != torch.float64:
            raise ValueError(
                f"z must have shape (B, {self.latent_dim}) and type float64; found "
                f"{tuple(z.shape)}, {z.dtype}. Convert it with z.double(), one value for each "
                "latent variable."
            )
        return z @ self.W.T + self.b

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n pairs from the joint, ancestor first: z ~ N(0, I), then x = Wz + b + σ ε.

        Args:
            n: number of pairs.
            generator: source of z and ε; None takes torch's global one.

        Returns:
            x ``(n, D)`` and z ``(n, L)``.

        Source: Tipping & Bishop 1999, equation 2.
        """
        z = torch.randn(n, self.latent_dim, generator=generator, dtype=torch.float64)
        noise = torch.randn(n, self.pixels, generator=generator, dtype=torch.float64)
        return self.decode(z) + math.sqrt(self.sigma2) * noise, z

    @classmethod
    def fit(cls, x: Tensor, latent_dim: int) -> LinearGaussian:
        r"""Return the maximum-likelihood model of the data, in closed form.

        b is the mean, σ² the mean of the D − L smallest eigenvalues λ of the data's
        covariance (divided by N), and W = U (Λ − σ²I)^½ holds the L largest.

        Args:
            x: data, ``(N, D)``.
            latent_dim: number L of latent variables, 1 ≤ L < D.

        Raises:
            ValueError: L is no whole number in 1 to D − 1, x is no finite matrix, N ≤ L + 1,
                or the data leave no variance to σ².

        Source: Tipping & Bishop 1999, equations 7 and 8.
        """
        x = torch.as_tensor(x).double()
        if x.ndim != 2 or not x.isfinite().all():
            raise ValueError(
                f"x must have shape (N, D) and finite values; found shape {tuple(x.shape)} with "
                f"{x.numel() - x.isfinite().sum()} values that are NaN or infinite. Give one "
                "image a row, and remove what is not a number."
            )
        n, pixels = x.shape
        is_whole = isinstance(latent_dim, int) and not isinstance(latent_dim, bool)
        if not is_whole or not 1 <= latent_dim < pixels:
            raise ValueError(
                f"latent_dim must be a whole number from 1 to D − 1 = {pixels - 1}; found "
                f"{latent_dim!r}. Use fewer: with L = D nothing is left over to be noise."
            )
        if n <= latent_dim + 1:
            raise ValueError(
                f"the fit needs more than L + 1 = {latent_dim + 1} samples; found {n}. "
                "Fewer lie in the plane of W and leave no noise: add some, or lower latent_dim."
            )
        b = x.mean(0)
        values, vectors = torch.linalg.eigh((x - b).T @ (x - b) / n)  # ascending
        sigma2 = values[: pixels - latent_dim].mean().item()
        if sigma2 <= 1e-12 * values[-1].item():
            raise ValueError(
                f"the data leave no variance to the noise: expected σ² > 0; found {sigma2:.1e}. "
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

    def _check_posterior(self, x: Tensor, mu: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean, and the covariance as ``(…, L, L)``, from its diagonal if need be."""
        B, L = len(self._check(x)), self.latent_dim
        if mu.shape != (B, L) or mu.dtype != torch.float64:
            raise ValueError(
                f"mu must have shape (B, L) = ({B}, {L}) and type float64; found "
                f"{tuple(mu.shape)}, {mu.dtype}. Convert it with mu.double(), one mean for each "
                "row of x."
            )
        if cov.shape not in [(L, L), (B, L, L), (L,)] or cov.dtype != torch.float64:
            raise ValueError(
                f"a covariance must have shape ({L}, {L}), ({B}, {L}, {L}), or ({L},) for the "
                f"variances of a diagonal one, and type float64; found {tuple(cov.shape)}, "
                f"{cov.dtype}. Convert it with cov.double(), and give one for all or for each x."
            )
        if not cov.isfinite().all():
            raise ValueError(
                "a covariance must be finite; found NaN or infinity. Look where they arose."
            )
        if cov.ndim == 1:
            cov = torch.diag(cov)
        if not torch.allclose(cov, cov.mT, rtol=1e-8, atol=1e-12):
            raise ValueError(
                "a covariance must be symmetric; found one that differs from its transpose by "
                f"{(cov - cov.mT).abs().max():.1e}. Use (S + S.T) / 2 if that is rounding."
            )
        # A singular matrix has a smallest eigenvalue of ± its rounding error, seldom zero itself.
        values = torch.linalg.eigvalsh(cov)  # (…, L), ascending
        if (values[..., 0] <= 1e-15 * L * values[..., -1]).any():
            raise ValueError(
                "a covariance must be positive definite; found eigenvalues from "
                f"{values.min():.1e} to {values.max():.1e}. Give every direction a variance."
            )
        return mu, cov


def _gaussian_kl(mu: Tensor, cov: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """KL(N(μ, S) ‖ N(m, C)) = ½ (tr(C⁻¹S) + (m − μ)ᵀC⁻¹(m − μ) − L + log det C − log det S)."""
    precision = torch.linalg.inv(covariance)
    shift = mean - mu  # (B, L)
    return 0.5 * (
        (precision * cov).sum((-2, -1))
        + ((shift @ precision) * shift).sum(-1)
        - mu.shape[-1]
        + torch.logdet(covariance)
        - torch.logdet(cov)
    )
