"""Train the 28 networks of chapter 16; a killed sweep goes on with the same command.

The folder data/rate_distortion/ then holds

    beta_1.safetensors         the weights of the run with β = 1, and so on
    beta_1_warmup.safetensors  the same with a KL weight that rises over the first half
    *.json                     what each run found, how long it took and how much memory

The network is 784-64-32-(16+16), trained for 30 epochs with Adam, batches of 200, and seed 0. The
runs with and without warm-up are repeated with two more seeds, whose weights are not kept. A run
is made again where its JSON file is deleted. Another processor ends a few tenths of a nat away,
and then the numbers printed in the chapter must be made again with `make notebooks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vae_helpers.experiment import train_vae
from vae_helpers.sweep import sweep

FOLDER = Path(__file__).resolve().parent / "rate_distortion"
BETAS = [0.01, 0.0215, 0.0464, 0.1, 0.215, 0.464, 1, 2.15, 4.64, 10, 21.5, 46.4, 100]
ANNEALED = [1, 2.15, 4.64]
COMMON = {"latent_dim": 16, "epochs": 30}


def run(config: dict[str, Any]) -> dict[str, float]:
    """Train one network and score it; with seed 0, keep its weights in a file of their own."""
    if config["seed"] == 0:
        name = f"beta_{config['beta']:g}" + ("_warmup" if config["warmup"] else "")
        config = config | {"weights": str(FOLDER / f"{name}.safetensors")}
    return train_vae(config)


def main() -> None:
    """Make the runs that are not there yet."""
    FOLDER.mkdir(exist_ok=True)
    settings = [(beta, 0, 0) for beta in BETAS]
    settings += [(beta, 15, 0) for beta in ANNEALED]
    settings += [(beta, warmup, seed) for beta in ANNEALED for warmup in (0, 15) for seed in (1, 2)]
    configs = [{"beta": b, "warmup": w, "seed": s, **COMMON} for b, w, s in settings]
    for result in sweep(configs, run=run, folder=FOLDER):
        scores = ", ".join(f"{name} {value:.2f}" for name, value in result.scores.items())
        print(f"{result.config}: {scores}")


if __name__ == "__main__":
    main()
