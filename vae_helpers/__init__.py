"""Helpers of the book on the variational autoencoder: one idea a file.

Open `objectives.py` first, it holds the mathematics. The names most asked for are here too, and
are loaded when they are first used: `from vae_helpers import VAE, fit, load_mnist`.
"""

from importlib import import_module

_HOMES = {
    "VAE": "networks",
    "elbo": "objectives",
    "fit": "training",
    "load_mnist": "data",
    "load_vae": "checkpoints",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Load a name from its file."""
    if name not in _HOMES:
        raise AttributeError(f"vae_helpers has no {name!r}; it has {', '.join(_HOMES)}.")
    return getattr(import_module(f"vae_helpers.{_HOMES[name]}"), name)
