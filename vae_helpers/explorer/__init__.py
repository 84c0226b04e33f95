"""Live widgets: what a person drags is computed in the browser, in Jupyter and on the page alike.

- `LatentExplorer`: move a latent point, and see the digit that the decoder draws there.
- `DigitPad`: draw a digit, and see what the encoder makes of it.
- `KLExplorer`: move q, and see what it costs against the prior.
- `GapExplorer`: move q, and see what the ELBO lacks to log p(x).
"""

from vae_helpers.explorer.densities import GapExplorer, KLExplorer
from vae_helpers.explorer.latent import LatentExplorer
from vae_helpers.explorer.pad import DigitPad

__all__ = ["DigitPad", "GapExplorer", "KLExplorer", "LatentExplorer"]
