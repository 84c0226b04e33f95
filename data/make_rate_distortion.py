"""Train the 28 networks of chapter 16; a killed sweep goes on with the same command.

The folder data/rate_distortion/ then holds

    beta_1.safetensors         the weights of the run with β = 1, and so on
    beta_1_warmup.safetensors  the same with a KL weight that rises over the first half
    *.json                     what each run found, and how long it took

The network is 784-64-32-(16+16), trained for 30 epochs with Adam, batches of 200, and seed 0. The
runs with and without warm-up are repeated with two more seeds, whose weights are not kept. A run
is made again where its JSON file is deleted. Another processor ends a few tenths of a nat away,
and then the numbers printed in the chapter must be made again with `make notebooks`.
"""

from pathlib import Path

import torch

from vae_helpers.checkpoints import save_vae
from vae_helpers.data import load_mnist
from vae_helpers.evaluation import active_units, score
from vae_helpers.networks import VAE
from vae_helpers.sweep import sweep
from vae_helpers.training import fit

FOLDER = Path(__file__).resolve().parent / "rate_distortion"
BETAS = [0.01, 0.0215, 0.0464, 0.1, 0.215, 0.464, 1, 2.15, 4.64, 10, 21.5, 46.4, 100]
ANNEALED = [1, 2.15, 4.64]
SETTINGS = [(beta, 0, 0) for beta in BETAS] + [(beta, 15, 0) for beta in ANNEALED]
SETTINGS += [(beta, warmup, seed) for beta in ANNEALED for warmup in (0, 15) for seed in (1, 2)]
COMMON = {"latent_dim": 16, "epochs": 30}
CONFIGS = [{"beta": b, "warmup": w, "seed": s, **COMMON} for b, w, s in SETTINGS]


def run(config: dict) -> dict[str, float]:
    """Train one network and score it, in nats an image; with seed 0, keep its weights."""
    (images, _), (held_out, _) = load_mnist("train"), load_mnist("test")
    training = {name: config[name] for name in ("epochs", "beta", "warmup", "seed")}
    torch.manual_seed(config["seed"])  # the first weights
    vae = VAE(config["latent_dim"])
    history = fit(vae, images, **training, progress=False)
    if len(history["elbo"]) < config["epochs"]:
        raise KeyboardInterrupt  # fit returns what it has after Ctrl-C, but half a run is no run
    if config["seed"] == 0:
        name = f"beta_{config['beta']:g}" + ("_warmup" if config["warmup"] else "")
        save_vae(vae, FOLDER / f"{name}.safetensors")
    scores = score(vae, held_out, seed=config["seed"])
    rate, distortion = scores.kl.mean().item(), -scores.log_likelihood.mean().item()
    active = int(active_units(vae, held_out).sum())
    return {
        "rate": rate,
        "distortion": distortion,
        "elbo": -(rate + distortion),
        "active_units": active,
    }


def main() -> None:
    """Make the runs that are not there yet."""
    for result in sweep(CONFIGS, run=run, folder=FOLDER):
        scores = ", ".join(f"{name} {value:.2f}" for name, value in result["scores"].items())
        print(f"{result['config']}: {scores}")


if __name__ == "__main__":
    main()
