"""One run of an experiment: train a VAE on MNIST, and score it on the test images."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vae_helpers.checkpoints import save_vae
from vae_helpers.data import load_mnist
from vae_helpers.evaluation import active_units, score
from vae_helpers.networks import VAE
from vae_helpers.training import fit

_TRAIN_VAE = {
    "beta": 1.0,
    "latent_dim": 4,
    "hidden": (64, 32),
    "sigma2": 0.5,
    "epochs": 50,
    "images": 60_000,
    "warmup": 0,
    "seed": 0,
    "device": "cpu",
    "weights": None,
}

# The first weights come from torch's global generator, and runs may share a process.
_GLOBAL_GENERATOR = threading.Lock()


def train_vae(config: Mapping[str, Any]) -> dict[str, float]:
    """Train a VAE on MNIST and score it on the test images: one run of a sweep.

    Rate R = mean KL(q(z|x) ‖ p(z)), distortion D = −mean E_q[log p(x|z)], ELBO = −(R + D),
    whatever the β of the training.

    Args:
        config: any of these, with the book's network and training where one is left out.
            beta: weight β ≥ 0 of the KL.
            latent_dim, hidden, sigma2: what `VAE` takes.
            epochs, warmup, seed: what `fit` takes; the seed also makes the first weights.
            images: how many training images, the first 1 to 60,000.
            device: where all is computed.
            weights: file for the trained weights, or None; its folder exists.

    Returns:
        rate, distortion and elbo, in nats an image, and active_units, how many latent
        variables the encoder uses.

    Raises:
        ValueError: a name is none of these, or a value does not fit.

    Source: Alemi et al. 2018 (rate and distortion); Burda et al. 2016 (active units).
    """
    unknown = sorted(config.keys() - _TRAIN_VAE.keys())
    if unknown:
        raise ValueError(
            f"a run of train_vae is set by {', '.join(_TRAIN_VAE)}; found {', '.join(unknown)}. "
            "Correct the spelling, or leave it out."
        )
    chosen = _TRAIN_VAE | dict(config)
    count, weights, device, seed = (chosen[n] for n in ("images", "weights", "device", "seed"))
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 60_000:
        raise ValueError(
            f"images must be a whole number from 1 to 60,000; found {count!r}. "
            "Leave it out for all."
        )
    if weights is not None and not Path(weights).parent.is_dir():
        raise ValueError(
            f"weights must lie in a folder that exists; found {weights}. "
            f"Make the folder {Path(weights).parent} first."
        )
    images, _ = load_mnist("train", device=device)
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = VAE(chosen["latent_dim"], chosen["hidden"], sigma2=chosen["sigma2"])
    vae.to(device)
    training = {name: chosen[name] for name in ("epochs", "beta", "warmup", "seed")}
    history = fit(vae, images[:count], progress=False, **training)
    if len(history["elbo"]) < chosen["epochs"]:
        raise KeyboardInterrupt  # fit returns what it has after Ctrl-C, but half a run is no run
    if weights is not None:
        save_vae(vae, weights)
    held_out, _ = load_mnist("test", device=device)
    scores = score(vae, held_out, seed=seed)
    rate, distortion = scores.kl.mean().item(), -scores.log_likelihood.mean().item()
    return {
        "rate": rate,
        "distortion": distortion,
        "elbo": -(rate + distortion),
        "active_units": int(active_units(vae, held_out).sum()),
    }
