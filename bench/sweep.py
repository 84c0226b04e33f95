"""What workers bring: wall time, efficiency and memory of one sweep at one and at two of them.

`make bench` runs this. The runs are small trainings of the book's VAE on MNIST. The workers start
anew for each measurement, and the time that they take to start counts.
"""

import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import torch
from joblib.externals.loky import get_reusable_executor

from vae_helpers.data import load_mnist
from vae_helpers.evaluation import score
from vae_helpers.networks import VAE
from vae_helpers.sweep import sweep
from vae_helpers.training import fit

CONFIGS = [{"beta": beta, "seed": seed} for beta in (0.25, 1.0, 4.0, 16.0) for seed in (0, 1)]


def run(config: dict[str, Any]) -> dict[str, float]:
    """Train one network for a few epochs and score it."""
    torch.manual_seed(config["seed"])
    vae = VAE()
    images, _ = load_mnist("train")
    fit(vae, images[:20_000], epochs=5, beta=config["beta"], seed=config["seed"], progress=False)
    return {"elbo": score(vae, load_mnist("test")[0]).elbo.mean().item()}


def measured(workers: int) -> tuple[float, float, list[dict[str, float]]]:
    """Wall time of the whole sweep in seconds, memory of its largest worker in MB, and scores."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        runs = sweep(CONFIGS, run=run, folder=folder, n_jobs=workers, progress=False)
    seconds = time.perf_counter() - start
    get_reusable_executor().shutdown()  # it would wait for more to do, and memory is known then
    memory = getrusage(RUSAGE_CHILDREN).ru_maxrss / 1e6 * (1 if sys.platform == "darwin" else 1024)
    return seconds, memory, [each["scores"] for each in runs]


def main() -> None:
    """Measure and print."""
    print(f"\n{len(CONFIGS)} runs: workers, wall time in s, efficiency, memory of a worker in MB\n")
    tables, alone = [], 0.0
    for workers in (1, 2):
        # A process of its own, so that nothing is held or loaded from the time before.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, memory, scores = pool.submit(measured, workers).result()
        tables.append(scores)
        alone = alone or seconds
        efficiency = alone / (workers * seconds)
        print(f"{workers:8} {seconds:8.1f} {efficiency:8.0%} {memory:8.0f}", flush=True)
    print(f"\nscores bit-identical whatever the number of workers: {tables[0] == tables[1]}")


if __name__ == "__main__":
    main()
