"""A pad to draw a digit on: the encoder and the decoder run in the browser."""

from __future__ import annotations

import torch
import traitlets
from torch import Tensor

from vae_helpers.explorer.cloud import CloudWidget, encode_means, pack_cloud
from vae_helpers.explorer.live import check_vae, pack_network, widths
from vae_helpers.networks import VAE

PIXELS = 28 * 28


class DigitPad(CloudWidget):
    """Draw a digit, and see q(z|x), the reconstruction and the ELBO that the VAE has for it.

    The drawing is scaled and centred as MNIST's digits were (`centre.js`) and rounded to 256
    greys. The ELBO is that of `vae_helpers.objectives.elbo`: the KL is exact, the likelihood is
    estimated from one sample z = μ + σ ε.

    Args:
        vae: a trained model of 28 × 28 grey pixels with at most 16 latents.
        images: ``(N, 784)``, a few thousand test images: the first of each digit can be put on
            the pad, and all are the cloud of the map.
        labels: their digits, ``(N,)``, whole numbers from 0 to 9.

    Attributes:
        image: what the encoder gets: 784 greys from 0 to 255, 255 is ink, or none for a blank
            pad. In Jupyter it is the kernel's to read (when the pen is lifted) and to set.
        epsilon: the noise ε of the sample, L numbers.
    """

    script = "pad"

    encoder = traitlets.Bytes().tag(sync=True)
    decoder = traitlets.Bytes().tag(sync=True)
    encoder_sizes = traitlets.List(traitlets.Int()).tag(sync=True)
    decoder_sizes = traitlets.List(traitlets.Int()).tag(sync=True)
    sigma2 = traitlets.Float().tag(sync=True)
    digits = traitlets.Bytes().tag(sync=True)
    """Test images, 784 bytes each."""

    digit_labels = traitlets.Unicode().tag(sync=True)
    """Their digits, one character each."""

    image = traitlets.List(traitlets.Int(min=0, max=255)).tag(sync=True)
    epsilon = traitlets.List(traitlets.Float()).tag(sync=True)

    def __init__(self, vae: VAE, images: Tensor, labels: Tensor) -> None:
        check_vae(vae)
        if vae.pixels != PIXELS or vae.sigma2 is None:
            kind = "Bernoulli" if vae.sigma2 is None else "Gaussian"
            raise ValueError(
                f"the pad draws grey images of 28 × 28 = {PIXELS} pixels, scored as a Gaussian; "
                f"found a VAE of {vae.pixels} {kind} pixels. "
                "Load one that was trained on MNIST with a sigma2."
            )
        mu = encode_means(vae, images, labels)
        classes = labels.unique().tolist()
        firsts = torch.stack([images[labels == digit][0] for digit in classes])  # (C, D)
        greys = (255 * firsts).round().to("cpu", torch.uint8)
        noise = torch.randn(vae.latent_dim, generator=torch.Generator().manual_seed(0))
        super().__init__(
            encoder=pack_network(vae.encoder),
            decoder=pack_network(vae.decoder),
            encoder_sizes=widths(vae.encoder),
            decoder_sizes=widths(vae.decoder),
            sigma2=vae.sigma2,
            digits=greys.numpy().tobytes(),
            digit_labels="".join(map(str, classes)),
            image=greys[0].tolist(),
            epsilon=[round(value, 2) for value in noise.tolist()],
            **pack_cloud(mu, labels),
        )

    @property
    def x(self) -> Tensor:
        """What the encoder gets, ``(1, 784)`` in [0, 1], or ``(0, 784)`` while the pad is blank."""
        return torch.tensor(self.image, dtype=torch.float32).reshape(-1, PIXELS) / 255
