"""Train the weights that chapters 9 to 13 load: data/vae.safetensors, in about a minute.

The recipe is that of chapter 9: 784-64-32-(4+4), 50 epochs of Adam, batches of 200, seed 0.
Another processor ends a few tenths of a nat away, and then the numbers printed in those
chapters must be made again with `make notebooks`.
"""

from pathlib import Path

import torch

from vae_helpers.checkpoints import save_vae
from vae_helpers.data import load_mnist
from vae_helpers.networks import VAE
from vae_helpers.training import fit


def main() -> None:
    """Train and save."""
    images, _ = load_mnist("train")
    torch.manual_seed(0)
    vae = VAE(latent_dim=4, hidden=(64, 32))
    fit(vae, images, epochs=50, batch_size=200, lr=1e-3, seed=0)
    path = Path(__file__).resolve().parent / "vae.safetensors"
    save_vae(vae, path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
