"""The explorer: sliders for the latent variables, and the digit that the decoder makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
import torch
import traitlets
from torch import Tensor
from traitlets import Bunch

from vae_helpers.checks import check_positive
from vae_helpers.explorer.cloud import CloudWidget, encode_means, pack_cloud
from vae_helpers.explorer.live import check_vae, float_slider, pack_floats, pack_network, widths
from vae_helpers.networks import VAE

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class LatentCanvas(CloudWidget):
    """The digit at one latent point, the map, and the buttons: ``latent.js`` draws them.

    The point is in traits of their own, z1 … zL, to which sliders can be linked.
    """

    script = "latent"

    decoder = traitlets.Bytes().tag(sync=True)
    sizes = traitlets.List(traitlets.Int()).tag(sync=True)
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
        z: where the point starts, ``(L,)``, rounded to 0.01 as the sliders show it; None is 0.
        limit: z lies within ±limit, where the sliders end.
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
        limit: float = 3.0,
    ) -> None:
        check_vae(vae)
        check_positive("limit", limit, "Try 3.0.")
        if (images is None) != (labels is None):
            missing = "images" if images is None else "labels"
            raise ValueError(
                f"images and labels go together; found no {missing}. "
                'Pass both, as load_mnist("test") returns them, or neither.'
            )
        self.latent_dim, self.limit = vae.latent_dim, limit
        start = torch.zeros(vae.latent_dim) if z is None else torch.as_tensor(z)
        if start.shape != (vae.latent_dim,):
            raise self._misplaced(f"shape {tuple(start.shape)}")
        self.canvas = LatentCanvas(
            decoder=pack_network(vae.decoder), sizes=widths(vae.decoder), limit=limit
        )
        if images is not None and labels is not None:
            mu, classes = encode_means(vae, images, labels), labels.unique()
            means = torch.cat([mu[labels == c].mean(0) for c in classes])
            digits = "".join(map(str, classes.tolist()))
            traits = {"means": pack_floats(means), "mean_labels": digits} | pack_cloud(mu, labels)
            for name, value in traits.items():
                setattr(self.canvas, name, value)
        self._names = [f"z{i}" for i in range(1, vae.latent_dim + 1)]
        self.canvas.add_traits(**{n: traitlets.Float().tag(sync=True) for n in self._names})
        self.sliders = []
        for name in self._names:
            slider = float_slider(name.translate(SUBSCRIPTS), 0.0, -limit, limit)
            ipywidgets.jslink((slider, "value"), (self.canvas, name))
            slider.observe(self._follow_sliders, names="value")
            self.sliders.append(slider)
        super().__init__([self.canvas, *self.sliders])
        self.z = [round(value, 2) for value in start.tolist()]

    def __repr__(self) -> str:
        """Return the point alone: the children hold thousands of weights."""
        return f"{type(self).__name__}(z={[round(value, 2) for value in self.z]})"

    @traitlets.validate("z")
    def _check(self, proposal: Bunch) -> list[float]:
        z = proposal["value"]
        # The comparison is false for NaN as well.
        if len(z) != self.latent_dim or not all(abs(value) <= self.limit for value in z):
            raise self._misplaced(str(z))
        return z

    def _misplaced(self, found: str) -> ValueError:
        return ValueError(
            f"z must be {self.latent_dim} numbers within ±{self.limit:.4g}; found {found}. "
            "Give one a latent variable, and clamp it."
        )

    @traitlets.observe("z")
    def _show(self, _change: Bunch) -> None:
        """Move the sliders and the digit to z, unless it comes from the sliders."""
        if self._following:
            return
        self._following = True  # z is where the sliders go, not where they are on the way
        try:
            for name, slider, value in zip(self._names, self.sliders, self.z, strict=True):
                slider.value = value
                setattr(self.canvas, name, value)
        finally:
            self._following = False

    def _follow_sliders(self, _change: Bunch) -> None:
        """Let z be where the sliders are. The digit is there already, by their links."""
        if self._following:
            return
        self._following = True
        try:
            # In a browser a slider counts its steps, and sends 0.9999999999999996 for 1.
            self.z = [round(slider.value, 9) for slider in self.sliders]
        finally:
            self._following = False
