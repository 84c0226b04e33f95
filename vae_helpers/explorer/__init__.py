"""Live widgets: what a person drags is computed in the browser, in Jupyter and on the page alike.

- `LatentExplorer`: move a latent point, and see the digit that the decoder draws there.
"""

from vae_helpers.explorer.latent import LatentExplorer

__all__ = ["LatentExplorer"]
