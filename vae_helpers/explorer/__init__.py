"""Widgets that decode latent points while a person drags: they need a running kernel."""

from __future__ import annotations

import io

import ipywidgets
import matplotlib.image
import numpy as np
import torch
from torch import Tensor

from vae_helpers.networks import VAE


def latent_sliders(vae: VAE, *, z: Tensor | None = None, limit: float = 3.0) -> ipywidgets.VBox:
    """Return one slider a latent variable, and the digit that the decoder makes of them.

    Args:
        vae: a trained model of 28 × 28 pixels.
        z: where the sliders start, ``(L,)``, within ±limit; None starts at 0, the prior's mean.
        limit: end of the sliders, in units of the prior's standard deviation.

    Returns:
        A box of the picture and the L sliders; moving a slider decodes the new point.

    Raises:
        ValueError: z has another shape, or lies beyond the limit.
    """
    start = torch.zeros(vae.latent_dim) if z is None else z
    if start.shape != (vae.latent_dim,) or not (start.abs() <= limit).all():
        raise ValueError(
            f"z must have shape ({vae.latent_dim},) and values within ±{limit}; "
            f"found shape {tuple(start.shape)}, values {start.tolist()}. "
            "Clamp z, or raise limit."
        )
    sliders = [
        ipywidgets.FloatSlider(
            description=f"z{index}", value=round(value, 2), min=-limit, max=limit, step=0.05
        )
        for index, value in enumerate(start.tolist(), start=1)
    ]
    picture = ipywidgets.Image(format="png", width=224, height=224)

    def draw(_change: object = None) -> None:
        point = torch.tensor([[slider.value for slider in sliders]])
        with torch.no_grad():
            picture.value = digit_png(vae.decode(point.to(next(vae.parameters())))[0].cpu())

    for slider in sliders:
        slider.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([picture, *sliders])


def digit_png(image: Tensor) -> bytes:
    """Return an image of 784 pixels, ink black, as a PNG of 224 × 224 sharp-edged pixels."""
    pixels = np.kron(np.asarray(image).reshape(28, 28), np.ones((8, 8)))
    stream = io.BytesIO()
    matplotlib.image.imsave(stream, pixels, cmap="gray_r", vmin=0, vmax=1, format="png")
    return stream.getvalue()
