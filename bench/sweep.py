"""What workers bring: wall time and efficiency of one sweep at one and at two of them.

`make bench` runs this. The runs are small trainings of the book's VAE on MNIST. The workers start
anew for each measurement, and the time that they take to start counts.
"""

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from joblib.externals.loky import get_reusable_executor

from vae_helpers.data import load_mnist
from vae_helpers.evaluation import score
from vae_helpers.networks import VAE
from vae_helpers.sweep import sweep
from vae_helpers.training import fit

CONFIGS = [{"beta": beta, "seed": seed} for beta in (0.25, 1.0, 4.0, 16.0) for seed in (0, 1)]
WORKERS = (1, 2)


def run(config: dict) -> dict[str, float]:
    """Train one network for a few epochs and score it."""
    images, _ = load_mnist("train")
    torch.manual_seed(config["seed"])
    vae = VAE()
    fit(vae, images[:20_000], epochs=5, beta=config["beta"], seed=config["seed"], progress=False)
    return {"elbo": score(vae, load_mnist("test")[0]).elbo.mean().item()}


def measured(workers: int) -> tuple[float, list[dict]]:
    """Wall time of the whole sweep in seconds, and the scores of its runs."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = sweep(CONFIGS, run=run, folder=folder, n_jobs=workers, progress=False)
    seconds = time.perf_counter() - start
    get_reusable_executor().shutdown()  # which would wait for more to do, for five minutes
    return seconds, [row["scores"] for row in rows]


def main() -> None:
    """Measure and print."""
    tables, alone = [], 0.0
    print(f"\n{len(CONFIGS)} runs: workers, wall time in s, efficiency\n")
    for workers in WORKERS:
        # A process of its own, so that nothing is held or loaded from the time before.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, scores = pool.submit(measured, workers).result()
        tables.append(scores)
        alone = alone or seconds
        print(f"{workers:8} {seconds:8.1f} {alone / (workers * seconds):8.0%}", flush=True)
    same = all(table == tables[0] for table in tables)
    print(f"\nscores bit-identical whatever the number of workers: {same}")


if __name__ == "__main__":
    main()
