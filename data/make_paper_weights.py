r"""Train the network of Burda et al. 2016, table 1, as a VAE (K = 1) or as an IWAE (K = 50).

    python data/make_paper_weights.py --k 1 --epochs 3280     # the paper's whole schedule
    python data/make_paper_weights.py --k 1 --epochs 600 120 --lr 1e-3 3e-4
    python data/make_paper_weights.py --k 50 --epochs 100 120 120 --lr 1e-3 3e-4 3e-4 \
        --precision medium

The recipe is the paper's: 784-200-200-50, tanh, Bernoulli pixels, a new binarization of every
image in every epoch, Adam with batches of 20. Its schedule has eight stages of 3^i epochs with
the learning rate 0.001 · 10^(−i/7). Any other number of epochs has the eight rates for equal
numbers of epochs, since at the lowest rate, where the paper spends two thirds of its time, a
short run would not get far. Each further number is a further round, with a first rate of its own:
it goes on from the weights, with a new Adam and other noise. Those above end at lower rates than
the paper's, to make up in part for the epochs they lack.

Then log p(x) of the 10,000 test images is bounded with K = 5000. Four files are written beside
this one: paper_k1.safetensors holds the weights, paper_k1.json the options, paper_k1_log.csv one
line an epoch, paper_k1_test.safetensors the bound of each test image. A killed run goes on with
the same command; where there are weights, only the test is made again.

With ``--precision medium`` matrix products round their factors to bfloat16, three times as fast
at K = 50 on a processor that has AMX. Weights and sums keep 32 bits, and so does the test.
"""

import argparse
import csv
import io
import json
import math
import time
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from tqdm.auto import tqdm

from vae_helpers.checkpoints import load_vae, save_vae
from vae_helpers.data import binarize, load_mnist
from vae_helpers.files import write_atomically
from vae_helpers.networks import VAE
from vae_helpers.objectives import importance_weighted_bound
from vae_helpers.training import fit

FOLDER = Path(__file__).resolve().parent
STAGES = 8
PAPER_EPOCHS = 3280  # 3^0 + 3^1 + … + 3^7


def learning_rate(first: float, epoch: int, epochs: int) -> float:
    """Return the rate of an epoch, counted from 0; it falls to a tenth of the first."""
    if epochs == PAPER_EPOCHS:
        stage = math.floor(math.log(2 * epoch + 1, 3) + 1e-9)
    else:
        stage = STAGES * epoch // epochs
    return first * 10 ** (-stage / 7)


def paper_network(images: Tensor) -> VAE:
    """Return the network with Glorot's weights and the mean image as the decoder's offset."""
    vae = VAE(latent_dim=50, hidden=(200, 200), sigma2=None, activation="tanh")
    for layer in vae.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    with torch.no_grad():
        vae.decoder.layers[-1].bias.copy_(torch.logit(images.mean(0).clamp(0.001, 0.999)))
    return vae


@torch.no_grad()
def test_bound(vae: VAE, images: Tensor, group: int) -> Tensor:
    """Return the bound with K = 5000 of the group-th 100 test images, ``(100,)``.

    Each group has a generator of its own, so that any of them can be made again alone.
    """
    generator = torch.Generator(images.device).manual_seed(group)
    x = binarize(images[100 * group :][:100], generator=generator)
    return importance_weighted_bound(vae, x, k=5000, generator=generator)


@torch.no_grad()
def held_out(vae: VAE, images: Tensor, *, k: int = 50) -> float:
    """Return the mean bound of the first 1000 test images, with the same noise each time."""
    generator = torch.Generator(images.device).manual_seed(0)
    x = binarize(images[:1000], generator=generator)
    return importance_weighted_bound(vae, x, k=k, generator=generator).mean().item()


def positive(text: str) -> int:
    """Return a whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1; found {text!r}")
    return int(text)


def train(options: argparse.Namespace, images: Tensor, test_images: Tensor, name: str) -> None:
    """Train in rounds, or go on from their checkpoints, and write weights, options and log."""
    torch.manual_seed(options.seed)
    vae = paper_network(images).to(options.device)
    rounds = list(zip(options.epochs, options.lr, strict=True))
    files = [FOLDER / f"{name}.round{number}.safetensors" for number in range(len(rounds))]
    history: dict[str, list[float]] = {"elbo": [], "held_out_50": [], "seconds": []}
    for number, (epochs, lr) in enumerate(rounds):
        start = time.perf_counter()

        def measure(vae: VAE) -> dict[str, float]:
            nonlocal start
            seconds, start = time.perf_counter() - start, time.perf_counter()
            return {"held_out_50": held_out(vae, test_images), "seconds": seconds}

        found = fit(
            vae,
            images,
            epochs=epochs,
            batch_size=options.batch_size,
            lr=partial(learning_rate, lr, epochs=epochs),
            k=options.k,
            seed=options.seed + number,
            draw=binarize,
            optimizer=partial(torch.optim.Adam, eps=1e-4, fused=True),
            measure=measure,
            checkpoint=files[number],
            resume=True,
        )
        if len(found["elbo"]) < epochs:
            raise KeyboardInterrupt
        for column, values in history.items():
            values += found[column]

    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["epoch", "bound", "held_out_50", "seconds"])
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        rows.writerow([epoch, *(f"{value:.3f}" for value in values)])
    kept = {key: value for key, value in vars(options).items() if key != "device"}
    write_atomically(FOLDER / f"{name}_log.csv", table.getvalue().encode())
    write_atomically(FOLDER / f"{name}.json", (json.dumps(kept, indent=2) + "\n").encode())
    save_vae(vae, FOLDER / f"{name}.safetensors")
    for file in files:
        file.unlink()


def main() -> None:
    """Train unless there are weights, then bound log p(x) of the test images."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--k", type=positive, default=1, help="samples of the bound, 1 is the VAE")
    parser.add_argument("--epochs", type=positive, nargs="+", default=[PAPER_EPOCHS])
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3], help="one for each round")
    parser.add_argument("--batch-size", type=positive, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=["highest", "high", "medium"], default="highest")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if len(options.epochs) != len(options.lr):
        found = f"{len(options.epochs)} numbers of epochs and {len(options.lr)} learning rates"
        parser.error(f"expected one learning rate for each round; found {found}")
    name = f"paper_k{options.k}"
    weights = FOLDER / f"{name}.safetensors"
    images, _ = load_mnist("train", device=options.device)
    test_images, _ = load_mnist("test", device=options.device)
    if weights.exists():
        print(f"{weights} exists: delete it to train again. Now the test.")
    else:
        torch.set_float32_matmul_precision(options.precision)
        train(options, images, test_images, name)

    torch.set_float32_matmul_precision("highest")
    vae = load_vae(weights, device=options.device)
    groups = tqdm(range(len(test_images) // 100), desc="Test", unit="group")
    bound = torch.cat([test_bound(vae, test_images, group) for group in groups]).cpu()
    write_atomically(FOLDER / f"{name}_test.safetensors", save({"bound": bound}))
    standard_error = bound.std().item() / math.sqrt(len(bound))
    print(f"{name}: NLL {-bound.mean().item():.2f} ± {standard_error:.2f} nats")


if __name__ == "__main__":
    main()
