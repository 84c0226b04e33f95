"""The cloud behind a map: where the encoder puts a few thousand labelled images."""

from __future__ import annotations

from typing import NamedTuple

import torch
import traitlets
from torch import Tensor

from vae_helpers.explorer.live import LiveWidget
from vae_helpers.networks import VAE

MOST_POINTS = 1500
"""So many points show where each digit lies, and stay small: one byte a point and latent."""


class CloudWidget(LiveWidget):
    """A widget with a map: ``map.js`` draws the cloud of these traits."""

    cloud = traitlets.Bytes().tag(sync=True)
    """One signed byte a point and latent, point by point; times `cloud_scale` it is μ."""

    cloud_scale = traitlets.Float(1.0).tag(sync=True)
    cloud_labels = traitlets.Unicode().tag(sync=True)
    """The points' digits, one character each."""


class Cloud(NamedTuple):
    """Encoded images in the form that a page holds, as `CloudWidget` keeps it."""

    cloud: bytes
    cloud_scale: float
    cloud_labels: str


def encode_means(vae: VAE, images: Tensor, labels: Tensor) -> Tensor:
    """Return μ, the mean of q(z|x), of each image.

    Args:
        vae: the model.
        images: ``(N, D)`` in [0, 1], of the model's type and on its device.
        labels: ``(N,)``, whole numbers from 0 to 9; checked, as they go with the images.

    Returns:
        ``(N, L)``, in 32 bits on the CPU.

    Raises:
        ValueError: images are none that the model can encode, or the labels do not fit them.
    """
    vae.check_images(images)
    whole = isinstance(labels, Tensor) and not labels.is_floating_point()
    if not whole or labels.shape != images.shape[:1] or labels.min() < 0 or labels.max() > 9:
        found = f"{labels.dtype}, shape {tuple(labels.shape)}" if whole else type(labels).__name__
        raise ValueError(
            f"labels must be whole numbers from 0 to 9, shape ({len(images)},), one an image; "
            f"found {found}. Pass images and labels as load_mnist returns them."
        )
    with torch.no_grad():
        return torch.cat([vae.encode(batch)[0].float().cpu() for batch in images.split(1000)])


def pack_cloud(mu: Tensor, labels: Tensor) -> Cloud:
    """Return the first points in one byte a number, rounded by at most max |μ| / 254.

    Args:
        mu: means, ``(N, L)``, as `encode_means` returns them.
        labels: their digits, ``(N,)``.
    """
    mu, labels = mu[:MOST_POINTS], labels[:MOST_POINTS]
    scale = max(mu.abs().max().item() / 127, 1e-6)
    numbers = (mu / scale).round().to(torch.int8)
    return Cloud(numbers.numpy().tobytes(), scale, "".join(map(str, labels.tolist())))
