"""Live figures of one latent variable: what q costs against the prior, and what the ELBO lacks."""

from __future__ import annotations

import math

import ipywidgets
import torch
import traitlets
from torch import Tensor

from vae_helpers.explorer.live import LiveWidget, float_slider
from vae_helpers.linear_gaussian import LinearGaussian


class QFigure(LiveWidget):
    """A figure of q = N(μ, σ²)."""

    mu = traitlets.Float().tag(sync=True)
    sigma = traitlets.Float().tag(sync=True)


class KLFigure(QFigure):
    """The densities of q and of the prior, and the integrand of their divergence."""

    script = "kl"


class GapFigure(QFigure):
    """The densities of q and of the posterior, and ELBO and gap as one bar."""

    script = "gap"

    w = traitlets.List(traitlets.Float()).tag(sync=True)
    b = traitlets.List(traitlets.Float()).tag(sync=True)
    sigma2 = traitlets.Float().tag(sync=True)
    x = traitlets.List(traitlets.Float()).tag(sync=True)


class QExplorer(ipywidgets.VBox):
    """Sliders for mean and width of q, tied in the browser to the figure below them."""

    def __init__(
        self,
        figure: QFigure,
        *,
        means: tuple[float, float],
        widths: tuple[float, float],
        step: float = 0.05,
        digits: int = 2,
    ) -> None:
        sliders = []
        for name, letter, (low, high) in [("mu", "μ", means), ("sigma", "σ", widths)]:
            value = getattr(figure, name)
            if not low <= value <= high:  # false for NaN as well
                raise ValueError(
                    f"{name} must lie in [{low:g}, {high:g}], where its slider runs; "
                    f"found {value}. Start the slider within it."
                )
            sliders.append(float_slider(letter, value, low, high, step=step, digits=digits))
            ipywidgets.jslink((sliders[-1], "value"), (figure, name))
        super().__init__([*sliders, figure])
        self.figure = figure

    def __repr__(self) -> str:
        """Return the class and q alone."""
        return f"{type(self).__name__}(mu={self.figure.mu:g}, sigma={self.figure.sigma:g})"


class KLExplorer(QExplorer):
    r"""Sliders for q = N(μ, σ²), and its divergence from the prior N(0, 1) as an area.

    KL(q ‖ p) = ∫ q(z) log(q(z) / p(z)) dz = ½ (μ² + σ² − 1 − log σ²), in nats.

    They start at mu in [−3, 3] and at sigma, a standard deviation, in [0.1, 3]. The figure is
    ``explorer.figure``: its ``mu`` and ``sigma`` can be read and set.

    Source: Kingma & Welling 2014, appendix B.
    """

    def __init__(self, mu: float = 1.0, sigma: float = 0.5) -> None:
        super().__init__(KLFigure(mu=mu, sigma=sigma), means=(-3.0, 3.0), widths=(0.1, 3.0))


class GapExplorer(QExplorer):
    r"""Sliders for q = N(μ, σ²), and the gap that it leaves between the ELBO and log p(x).

    log p(x) = ELBO + KL(q ‖ p(z|x)), each of the three computed from its own formula, in nats.

    The model has one latent variable, x is one observation ``(D,)``. Where mu and sigma are None,
    q starts away from the posterior and twice as wide.

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
        figure = GapFigure(
            mu=round(mean - 2 * width, digits) if mu is None else mu,
            sigma=round(2 * width, digits) if sigma is None else sigma,
            w=model.W[:, 0].tolist(),
            b=model.b.tolist(),
            sigma2=model.sigma2,
            x=x.tolist(),
        )
        super().__init__(
            figure,
            means=(-reach, reach),
            widths=(0.5 * unit, min(3.0, 20 * unit)),
            step=10.0**-digits,
            digits=digits,
        )
