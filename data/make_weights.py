"""Train the weights that the chapters from 9 on load, in a few minutes.

    data/vae.safetensors     784-64-32-(4+4), the recipe of chapter 9
    data/vae_2d.safetensors  the same with two latent variables
    data/cvae.safetensors    the same with four, and with the labels given

Each has 50 epochs of Adam, batches of 200, seed 0. Another processor ends a few tenths of a nat
away, and then the numbers printed in those chapters must be made again with `make notebooks`.
"""

from pathlib import Path

import torch

from vae_helpers.checkpoints import save_vae
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.data import load_mnist
from vae_helpers.networks import VAE
from vae_helpers.training import fit

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Train and save."""
    images, labels = load_mnist("train")
    models = {"vae": (VAE, 4, None), "vae_2d": (VAE, 2, None), "cvae": (ConditionalVAE, 4, labels)}
    for name, (model, latent_dim, given) in models.items():
        torch.manual_seed(0)
        vae = model(latent_dim, (64, 32))
        fit(vae, images, labels=given, epochs=50, batch_size=200, lr=1e-3, seed=0)
        save_vae(vae, FOLDER / f"{name}.safetensors")
        print(f"wrote {FOLDER / name}.safetensors")


if __name__ == "__main__":
    main()
