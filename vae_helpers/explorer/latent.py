"""The explorer: sliders for the latent variables, and the digit that the decoder makes of them."""

from __future__ import annotations

import traitlets

from vae_helpers.explorer.live import LiveWidget, check_vae, pack_network, widths
from vae_helpers.networks import VAE


class LatentCanvas(LiveWidget):
    """The digit at the point z1, z2, …, zL: its decoder runs in the browser."""

    script = "latent"

    decoder = traitlets.Bytes().tag(sync=True)
    sizes = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, vae: VAE) -> None:
        check_vae(vae)
        super().__init__(decoder=pack_network(vae.decoder), sizes=widths(vae.decoder))
        names = [f"z{index}" for index in range(1, vae.latent_dim + 1)]
        self.add_traits(**{name: traitlets.Float(0.0).tag(sync=True) for name in names})
