"""The cloud behind a map: where the encoder puts a few thousand labelled images."""

from __future__ import annotations

import torch
import traitlets
from torch import Tensor

from vae_helpers.checks import check_labels
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


def encode_means(vae: VAE, images: Tensor, labels: Tensor) -> Tensor:
    """Return μ of q(z|x), ``(N, L)`` in 32 bits, of images with a digit each, ``(N,)``."""
    check_labels(labels, 10, len(images))
    with torch.no_grad():
        return vae.encode(images)[0].float().cpu()


def pack_cloud(mu: Tensor, labels: Tensor) -> dict[str, bytes | float | str]:
    """Return the first points as the traits of a `CloudWidget`, off by at most max |μ| / 254."""
    mu, labels = mu[:MOST_POINTS], labels[:MOST_POINTS]
    scale = max(mu.abs().max().item() / 127, 1e-6)
    return {
        "cloud": (mu / scale).round().to(torch.int8).numpy().tobytes(),
        "cloud_scale": scale,
        "cloud_labels": "".join(map(str, labels.tolist())),
    }
