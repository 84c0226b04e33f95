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
from vae_helpers.networks import VAE

MAX_LATENTS = 16
"""The largest latent_dim: more sliders than this nobody moves."""


class LiveWidget(anywidget.AnyWidget):
    """A widget that a browser draws, with a kernel in Jupyter and without one in the book.

    A subclass says which JavaScript file draws it, and declares the traits that the file reads.
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
    name: str, *, value: float, low: float, high: float, step: float = 0.01, digits: int = 2
) -> ipywidgets.FloatSlider:
    """Return a slider with a name and a value that a screen reader says too.

    Args:
        name: what stands beside it.
        value: where it starts, in [low, high].
        low: left end.
        high: right end.
        step: how far one press of an arrow key goes.
        digits: digits after the point of the value shown.
    """
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
    """Raise a ValueError that names the repair unless a browser can run this VAE.

    It can where the encoder and the decoder are as in `vae_helpers.networks` (linear layers with a
    ReLU between each two, a sigmoid at the decoder's end), the weights are finite, there are at
    most 16 latents, and the images are square.
    """
    if not isinstance(vae, VAE):
        raise ValueError(
            f"the explorer needs a VAE of vae_helpers.networks; found {type(vae).__name__}. "
            "Build one with VAE(...), or load one with load_vae(path)."
        )
    if vae.latent_dim > MAX_LATENTS:
        raise ValueError(
            f"the explorer has sliders for at most {MAX_LATENTS} latents; found latent_dim = "
            f"{vae.latent_dim}. Train a VAE with latent_dim={MAX_LATENTS} or less."
        )
    if math.isqrt(vae.pixels) ** 2 != vae.pixels:
        raise ValueError(
            f"the explorer draws square images; found {vae.pixels} pixels, which make no square. "
            "Use a VAE with pixels=784, or another square number."
        )
    _check_network("encoder", vae.encoder)
    _check_network("decoder", vae.decoder)
    ends = widths(vae.encoder)[0], widths(vae.decoder)[0]
    if ends != (vae.pixels, vae.latent_dim):
        raise ValueError(
            f"the explorer needs networks that read the image ({vae.pixels} pixels) and the "
            f"latents ({vae.latent_dim}) alone; found {ends[0]} and {ends[1]} inputs. A VAE that "
            "is also given labels has no explorer; use VAE(latent_dim, hidden)."
        )
    # The layers may be the right ones and yet be joined in another way: both are tried.
    weight = next(vae.parameters())
    z = torch.linspace(-2, 2, 3 * vae.latent_dim).reshape(3, -1).to(weight)  # (3, L)
    x = torch.linspace(0, 1, 3 * vae.pixels).reshape(3, -1).to(weight)  # (3, D)
    with torch.no_grad():
        pairs = {
            "encoder": (_relu_layers(vae.encoder, x), torch.cat(vae.encoder(x), dim=-1)),
            "decoder": (_relu_layers(vae.decoder, z).sigmoid(), vae.decoder(z)),
        }
    for name, (expected, found) in pairs.items():
        if not torch.allclose(expected, found, rtol=1e-3, atol=1e-3):
            raise ValueError(
                f"the {name} must compute what that of vae_helpers.networks computes from its "
                f"layers; found values that differ by {(expected - found).abs().max().item():g}. "
                "Build the VAE with VAE(latent_dim, hidden)."
            )


def widths(network: nn.Module) -> list[int]:
    """Return the widths of an encoder's or a decoder's layers, such as [4, 32, 64, 784]."""
    layers = _linear_layers(network)
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def pack_network(network: nn.Module) -> bytes:
    """Return the weights and biases of an encoder or a decoder as `readLayers` reads them."""
    return pack_floats(
        torch.cat(
            [
                values.detach().cpu().flatten()
                for layer in _linear_layers(network)
                for values in (layer.weight, layer.bias)
            ]
        )
    )


def pack_floats(values: Tensor) -> bytes:
    """Return numbers as 16-bit floats, in an order that compresses well.

    First come sign and exponent of all numbers, 6 bits each, and then their fractions, 10 bits
    each. Six bits are one letter of base64, the form in which a page holds them; as exponents
    repeat and letters now stand for them, gzip makes a decoder a tenth smaller.

    Args:
        values: ``(N,)``, finite, at most 65504 in size. Rounded to 11 significant bits, that is
            by at most |value| / 2048, or 3e-8 near zero.

    Returns:
        3 ⌈N / 4⌉ + ⌈10 N / 8⌉ bytes.

    Raises:
        ValueError: a number is not finite, or too large for 16 bits.
    """
    halves = values.to(torch.float16)
    if not halves.isfinite().all():
        worst = values[~halves.isfinite()][0].item()
        raise ValueError(
            f"numbers must be finite and at most 65504 in size; found {worst:g}. "
            "Train the model again with a smaller learning rate, or load other weights."
        )
    bits = halves.view(torch.int16).to(torch.int32) & 0xFFFF
    # Four heads of 6 bits fill three bytes, and three bytes are four letters of base64.
    return _pack_bits(bits >> 10, width=6, multiple=24) + _pack_bits(bits & 1023, width=10)


def _pack_bits(numbers: Tensor, *, width: int, multiple: int = 8) -> bytes:
    """The numbers' lowest bits, the highest first, with zeros up to a multiple of bits."""
    places = torch.arange(width - 1, -1, -1)
    bits = (numbers[:, None] >> places & 1).flatten()
    bits = nn.functional.pad(bits, (0, -len(bits) % multiple)).reshape(-1, 8)
    return bytes((bits * 2 ** torch.arange(7, -1, -1)).sum(1).tolist())


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def _relu_layers(network: nn.Module, x: Tensor) -> Tensor:
    first, *others = _linear_layers(network)
    y = first(x)
    for layer in others:
        y = layer(torch.relu(y))
    return y


def _check_network(name: str, network: nn.Module) -> None:
    layers = [layer for layer in network.modules() if not list(layer.children())]
    kinds = [type(layer).__name__ for layer in layers]
    chain = ["Linear", "ReLU"] * (kinds.count("Linear") - 1) + ["Linear"]
    if kinds not in (chain, [*chain, "Sigmoid"]):
        raise ValueError(
            f"the {name} must be linear layers with a ReLU between each two, as in "
            f"vae_helpers.networks; found {', '.join(kinds) or 'no layer'}. Build the VAE with "
            "VAE(latent_dim, hidden)."
        )
    for index, layer in enumerate(_linear_layers(network), start=1):
        for what, values in [("weight", layer.weight), ("bias", layer.bias)]:
            if values is None:
                raise ValueError(
                    f"linear layer {index} of the {name} must have a bias; found none. "
                    "Build the VAE with VAE(latent_dim, hidden)."
                )
            bad = values[~(values.abs() <= torch.finfo(torch.float16).max)]
            if len(bad):
                raise ValueError(
                    f"the {what} of linear layer {index} of the {name} must be finite and at most "
                    f"65504 in size; found {bad[0].item():g}. "
                    "Train the model again with a smaller learning rate, or load other weights."
                )
