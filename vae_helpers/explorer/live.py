"""What the live widgets share: their base class, their sliders, and how a VAE is packed."""

from __future__ import annotations

import math
from typing import ClassVar

import anywidget
import ipywidgets
import torch
import traitlets
from torch import Tensor, nn

from vae_helpers.explorer.bundle import style_sheet, widget_module
from vae_helpers.gradients import knows
from vae_helpers.networks import VAE

MAX_LATENTS = 16
"""The largest latent_dim: more sliders than this nobody moves."""


class LiveWidget(anywidget.AnyWidget):
    """A widget that a browser draws, with a kernel in Jupyter and without one in the book.

    A subclass declares the traits that its JavaScript file reads.
    """

    script: ClassVar[str]
    """Name of the JavaScript file, such as ``latent`` for ``latent.js``."""

    # Defaults that are made when asked for: an import reads no file.
    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    @traitlets.default("_esm")
    def _read_module(self) -> str:
        return widget_module(self.script)

    @traitlets.default("_css")
    def _read_style(self) -> str:
        return style_sheet()

    def __repr__(self) -> str:
        """Return a short text: the traits hold thousands of weights."""
        return f"{type(self).__name__}()"


def float_slider(
    name: str, value: float, low: float, high: float, *, step: float = 0.01, digits: int = 2
) -> ipywidgets.FloatSlider:
    """Return a slider with a name and a value that a screen reader says too."""
    return ipywidgets.FloatSlider(
        description=name,
        value=value,
        min=low,
        max=high,
        step=step,
        readout_format=f".{digits}f",
        layout=ipywidgets.Layout(width="auto", max_width="38rem"),
    )


def check_vae(vae: VAE) -> None:
    """Raise a ValueError that names the repair unless a browser can run this VAE."""
    if not knows(vae) or vae.activation != "relu":
        found = type(vae).__name__
        if type(vae) is VAE:
            found = f"one with {vae.activation}, or that was changed since"
        raise ValueError(
            "a live widget needs a VAE of vae_helpers.networks with relu as VAE(...) builds it, "
            f"with no hook; found {found}. Build one with VAE(latent_dim, hidden), or load one "
            "with load_vae(path)."
        )
    if vae.latent_dim > MAX_LATENTS:
        raise ValueError(
            f"a live widget shows at most {MAX_LATENTS} latents; found latent_dim = "
            f"{vae.latent_dim}. Train a VAE with latent_dim={MAX_LATENTS} or less."
        )
    if math.isqrt(vae.pixels) ** 2 != vae.pixels:
        raise ValueError(
            f"a live widget draws square images; found {vae.pixels} pixels, which make no square. "
            "Use a VAE with pixels=784, or another square number."
        )


def widths(network: nn.Module) -> list[int]:
    """Return the widths of an encoder's or a decoder's layers, such as [4, 32, 64, 784]."""
    layers = _linear_layers(network)
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def pack_network(network: nn.Module) -> bytes:
    """Return the weights and biases of an encoder or a decoder as `readLayers` reads them."""
    pairs = [(layer.weight, layer.bias) for layer in _linear_layers(network)]
    return pack_floats(torch.cat([values.detach().flatten() for pair in pairs for values in pair]))


def pack_floats(values: Tensor) -> bytes:
    """Return numbers ``(N,)`` as N high bytes and N low bytes of 16-bit floats.

    In this order gzip finds what repeats. Each number is rounded to 11 significant bits, that is
    by at most |value| / 2048, or 3e-8 near zero.
    """
    halves = values.cpu().to(torch.float16)
    if not halves.isfinite().all():
        raise ValueError(
            f"numbers must be finite and at most 65504 in size; found "
            f"{values[~halves.isfinite()][0].item():g}. "
            "Train the model again with a smaller learning rate, or load other weights."
        )
    low_and_high = halves.numpy().astype("<f2").view("u1").reshape(-1, 2)
    return low_and_high[:, ::-1].T.tobytes()


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
