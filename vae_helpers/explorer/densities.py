"""Live figures of one latent variable: what q costs against the prior, and what the ELBO lacks."""

from __future__ import annotations

import math
from typing import ClassVar

import ipywidgets
import torch
import traitlets
from torch import Tensor

from vae_helpers.explorer.live import LiveWidget, float_slider
from vae_helpers.linear_gaussian import LinearGaussian


class _QExplorer(ipywidgets.VBox):
    """Sliders for mean and width of a Gaussian q, tied in the browser to the figure below them."""

    def __init__(
        self, mu: ipywidgets.FloatSlider, sigma: ipywidgets.FloatSlider, figure: LiveWidget
    ) -> None:
        super().__init__([mu, sigma, figure])
        self.figure = figure
        ipywidgets.jslink((mu, "value"), (figure, "mu"))
        ipywidgets.jslink((sigma, "value"), (figure, "sigma"))

    def __repr__(self) -> str:
        """Return the class and q alone."""
        return f"{type(self).__name__}(mu={self.figure.mu:g}, sigma={self.figure.sigma:g})"


class KLFigure(LiveWidget):
    """The densities of q = N(μ, σ²) and of the prior, and the integrand of their divergence."""

    script: ClassVar[str] = "kl"

    mu = traitlets.Float().tag(sync=True)
    sigma = traitlets.Float().tag(sync=True)


class KLExplorer(_QExplorer):
    r"""Sliders for q = N(μ, σ²), and its divergence from the prior N(0, 1) as an area.

    KL(q ‖ p) = ∫ q(z) log(q(z) / p(z)) dz = ½ (μ² + σ² − 1 − log σ²), in nats.

    The figure is ``explorer.figure``: its ``mu`` and ``sigma`` can be read and set.

    Args:
        mu: where the mean starts, in [−3, 3].
        sigma: where the width (a standard deviation) starts, in [0.1, 3].

    Raises:
        ValueError: mu or sigma lies beyond its slider.

    Source: Kingma & Welling 2014, appendix B.
    """

    def __init__(self, mu: float = 1.0, sigma: float = 0.5) -> None:
        _check_range("mu", mu, -3.0, 3.0)
        _check_range("sigma", sigma, 0.1, 3.0)
        super().__init__(
            float_slider("μ", value=mu, low=-3.0, high=3.0, step=0.05),
            float_slider("σ", value=sigma, low=0.1, high=3.0, step=0.05),
            KLFigure(mu=mu, sigma=sigma),
        )


class GapFigure(LiveWidget):
    """The densities of q = N(μ, σ²) and of the posterior, and ELBO and gap as one bar."""

    script: ClassVar[str] = "gap"

    mu = traitlets.Float().tag(sync=True)
    sigma = traitlets.Float().tag(sync=True)
    w = traitlets.List(traitlets.Float()).tag(sync=True)
    b = traitlets.List(traitlets.Float()).tag(sync=True)
    sigma2 = traitlets.Float().tag(sync=True)
    x = traitlets.List(traitlets.Float()).tag(sync=True)


class GapExplorer(_QExplorer):
    r"""Sliders for q = N(μ, σ²), and the gap that it leaves between the ELBO and log p(x).

    log p(x) = ELBO + KL(q ‖ p(z|x)), each of the three computed from its own formula, in nats.

    The figure is ``explorer.figure``: its ``mu`` and ``sigma`` can be read and set.

    Args:
        model: a model with one latent variable, so that q and the posterior can be drawn.
        x: one observation, ``(D,)``.
        mu: where the mean of q starts; None starts it away from the posterior.
        sigma: where the width of q (a standard deviation) starts; None, twice the posterior's.

    Raises:
        ValueError: the model has L ≠ 1, x is no finite ``(D,)``, or mu or sigma lies beyond its
            slider.

    Source: Kingma & Welling 2014, equation 1.
    """

    def __init__(
        self,
        model: LinearGaussian,
        x: Tensor,
        *,
        mu: float | None = None,
        sigma: float | None = None,
    ) -> None:
        if model.latent_dim != 1:
            raise ValueError(
                "the figure draws densities over one latent variable: expected W of shape (D, 1); "
                f"found {tuple(model.W.shape)}. Keep one column of W."
            )
        x = torch.as_tensor(x).double()
        if x.shape != (model.pixels,) or not x.isfinite().all():
            raise ValueError(
                f"x must be one observation of shape ({model.pixels},) with finite values; found "
                f"shape {tuple(x.shape)}. Take one row of a batch, x[0]."
            )
        means, covariance = model.posterior(x[None])
        mean, width = means.item(), math.sqrt(covariance.item())
        # The posterior is no wider than the prior, but may be far narrower: the steps follow it.
        digits = 1 - math.floor(math.log10(width))
        unit = 10.0 ** (1 - digits)
        reach = max(3.0, float(math.ceil(abs(mean) + 3 * width)))
        low, high = 0.5 * unit, min(3.0, 20 * unit)
        mu = round(mean - 2 * width, digits) if mu is None else mu
        sigma = round(2 * width, digits) if sigma is None else sigma
        _check_range("mu", mu, -reach, reach)
        _check_range("sigma", sigma, low, high)
        figure = GapFigure(
            mu=mu,
            sigma=sigma,
            w=model.W[:, 0].tolist(),
            b=model.b.tolist(),
            sigma2=model.sigma2,
            x=x.tolist(),
        )
        step = 10.0**-digits
        super().__init__(
            float_slider("μ", value=mu, low=-reach, high=reach, step=step, digits=digits),
            float_slider("σ", value=sigma, low=low, high=high, step=step, digits=digits),
            figure,
        )


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # false for NaN as well
        raise ValueError(
            f"{name} must lie in [{low:g}, {high:g}], where its slider runs; found {value}. "
            "Start the slider within it."
        )
