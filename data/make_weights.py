"""Train the weights that the chapters from 9 on load, in a few minutes.

    data/vae.safetensors     784-64-32-(4+4), the recipe of chapter 9
    data/vae_2d.safetensors  the same with two latent variables
    data/cvae.safetensors    the same with four, and with the labels given
    data/seeds.csv           what the recipe of chapter 9 finds with the seeds 0 to 4

Each has 50 epochs of Adam, batches of 200, and seed 0 but for the last. Another processor ends a
few tenths of a nat away, and then the numbers printed in those chapters must be made again with
`make notebooks`.
"""

from pathlib import Path

import torch

from vae_helpers.checkpoints import save_vae
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.data import load_mnist
from vae_helpers.evaluation import score
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
    test_images, _ = load_mnist("test")
    lines = ["seed,training_elbo,held_out_elbo,held_out_kl"]
    for seed in range(5):
        torch.manual_seed(seed)
        vae = VAE(4, (64, 32))
        history = fit(vae, images, epochs=50, batch_size=200, lr=1e-3, seed=seed)
        found = score(vae, test_images)
        means = history["elbo"][-1], found.elbo.mean().item(), found.kl.mean().item()
        lines.append(",".join([f"{seed}", *(f"{mean:.4f}" for mean in means)]))
    (FOLDER / "seeds.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {FOLDER / 'seeds.csv'}")


if __name__ == "__main__":
    main()
