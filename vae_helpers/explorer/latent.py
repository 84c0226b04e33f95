"""The explorer: sliders for the latent variables, and the digit that the decoder makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import ipywidgets
import torch
import traitlets
from torch import Tensor
from traitlets import Bunch

from vae_helpers.explorer.cloud import CloudWidget, encode_means, pack_cloud
from vae_helpers.explorer.live import check_vae, float_slider, pack_floats, pack_network, widths
from vae_helpers.networks import VAE

PRIOR = NormalDist()
HIGHEST_QUANTILE = 0.99
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class LatentCanvas(CloudWidget):
    """The digit at one latent point, the map, and the buttons: ``latent.js`` draws them.

    The point is in traits of their own, one a latent variable, to which sliders can be linked:
    z1 … zL where the units are "sd", u1 … uL with u = Φ(z) where they are "quantile".
    """

    script = "latent"

    decoder = traitlets.Bytes().tag(sync=True)
    sizes = traitlets.List(traitlets.Int()).tag(sync=True)
    units = traitlets.Unicode("sd").tag(sync=True)
    limit = traitlets.Float(3.0).tag(sync=True)
    means = traitlets.Bytes().tag(sync=True)
    """The mean of μ over each class, ``(C, L)``, as `pack_floats` returns it."""

    mean_labels = traitlets.Unicode().tag(sync=True)
    """The classes, one character each."""


class LatentExplorer(ipywidgets.VBox):
    """One slider a latent variable, and the digit that the decoder draws of them.

    Everything runs in the browser, in Jupyter and on a page without a kernel. In Jupyter the
    kernel reads and sets the point too: ``explorer.z = [0.5, 0, -1, 0]``, and
    ``explorer.observe(function, names="z")`` calls a function when it moves.

    Args:
        vae: a trained model with at most 16 latents.
        images: ``(N, D)``, a few thousand labelled images. With them come a map of where the
            encoder puts them, a button for the mean of each class, and a walk between two.
        labels: their digits, ``(N,)``, whole numbers from 0 to 9.
        z: where the point starts, ``(L,)``, within ±limit, rounded to 0.01 as the sliders show it;
            None starts at 0, the prior's mean.
        units: "sd", in which sliders say z in standard deviations of the prior, or "quantile", in
            which they say u = Φ(z), from 0.01 to 0.99.
        limit: end of the sliders in units "sd". In units "quantile" it is Φ⁻¹(0.99) = 2.33.

    Attributes:
        z: the point, a list of L numbers within ±limit.

    Raises:
        ValueError: a browser cannot run this model, images come without labels or labels without
            images, z has another shape or lies beyond the limit, or the units are others.
    """

    z = traitlets.List(traitlets.Float())
    _following = False  # whether z and the sliders are being brought together

    def __init__(
        self,
        vae: VAE,
        *,
        images: Tensor | None = None,
        labels: Tensor | None = None,
        z: Tensor | Sequence[float] | None = None,
        units: Literal["sd", "quantile"] = "sd",
        limit: float = 3.0,
    ) -> None:
        check_vae(vae)
        if units not in ("sd", "quantile"):
            raise ValueError(
                f'units must be "sd" or "quantile"; found {units!r}. Leave them out for "sd".'
            )
        if not 0 < limit < math.inf:
            raise ValueError(f"limit must be positive and finite; found {limit}. Try 3.0.")
        if (images is None) != (labels is None):
            missing = "images" if images is None else "labels"
            raise ValueError(
                f"images and labels go together; found no {missing}. "
                'Pass both, as load_mnist("test") returns them, or neither.'
            )
        self.latent_dim, self.units = vae.latent_dim, units
        self.limit = limit if units == "sd" else PRIOR.inv_cdf(HIGHEST_QUANTILE)
        start = torch.zeros(vae.latent_dim) if z is None else torch.as_tensor(z)
        if start.shape != (vae.latent_dim,):
            raise self._misplaced(f"shape {tuple(start.shape)}")
        self.canvas = _canvas(vae, images, labels, units, self.limit)
        self.sliders = [self._slider(index) for index in range(1, vae.latent_dim + 1)]
        super().__init__([self.canvas, *self.sliders])
        self._names = ["zu"[units == "quantile"] + str(i + 1) for i in range(vae.latent_dim)]
        traits = {name: traitlets.Float().tag(sync=True) for name in self._names}
        self.canvas.add_traits(**traits)
        for name, slider in zip(self._names, self.sliders, strict=True):
            ipywidgets.jslink((slider, "value"), (self.canvas, name))
            slider.observe(self._follow_sliders, names="value")
        self.z = [round(value, 2) for value in start.tolist()]

    def __repr__(self) -> str:
        """Return the point alone: the children hold thousands of weights."""
        return f"{type(self).__name__}(z={[round(value, 2) for value in self.z]})"

    @traitlets.validate("z")
    def _check(self, proposal: Bunch) -> list[float]:
        z = proposal["value"]
        if len(z) != self.latent_dim:
            raise self._misplaced(f"{len(z)} of them")
        if not all(abs(value) <= self.limit for value in z):  # false for NaN as well
            raise self._misplaced(str(z))
        return z

    def _misplaced(self, found: str) -> ValueError:
        return ValueError(
            f"z must be {self.latent_dim} numbers within ±{self.limit:.4g}; found {found}. "
            "Give one a latent variable, and clamp it."
        )

    def _slider(self, index: int) -> ipywidgets.FloatSlider:
        name = "z" + str(index).translate(SUBSCRIPTS)
        if self.units == "sd":
            return float_slider(name, value=0.0, low=-self.limit, high=self.limit)
        low, high = 1 - HIGHEST_QUANTILE, HIGHEST_QUANTILE
        return float_slider(f"Φ({name})", value=0.5, low=low, high=high, step=0.001, digits=3)

    @traitlets.observe("z")
    def _show(self, _change: Bunch) -> None:
        """Move the sliders and the digit to z, unless it comes from the sliders."""
        if self._following:
            return
        values = self.z if self.units == "sd" else [PRIOR.cdf(value) for value in self.z]
        self._following = True  # z is where the sliders go, not where they are on the way
        try:
            for name, slider, value in zip(self._names, self.sliders, values, strict=True):
                slider.value = value
                setattr(self.canvas, name, value)
        finally:
            self._following = False

    def _follow_sliders(self, _change: Bunch) -> None:
        """Let z be where the sliders are. The digit is there already, by their links."""
        if self._following:
            return
        # In a browser a slider counts its steps, and sends 0.9999999999999996 for 1.
        values = [round(slider.value, 9) for slider in self.sliders]
        self._following = True
        try:
            if self.units == "quantile":
                values = [PRIOR.inv_cdf(value) for value in values]
            # The last digit of Φ⁻¹ may lie beyond the limit.
            self.z = [min(max(value, -self.limit), self.limit) for value in values]
        finally:
            self._following = False


def _canvas(
    vae: VAE, images: Tensor | None, labels: Tensor | None, units: str, limit: float
) -> LatentCanvas:
    canvas = LatentCanvas(
        decoder=pack_network(vae.decoder), sizes=widths(vae.decoder), units=units, limit=limit
    )
    if images is not None and labels is not None:
        mu = encode_means(vae, images, labels)
        classes = labels.unique()
        canvas.means = pack_floats(torch.cat([mu[labels == c].mean(0) for c in classes]))
        canvas.mean_labels = "".join(map(str, classes.tolist()))
        canvas.cloud, canvas.cloud_scale, canvas.cloud_labels = pack_cloud(mu, labels)
    return canvas
