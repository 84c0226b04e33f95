"""What workers bring: wall time, efficiency and memory of one sweep at one and at two of them.

`make bench` runs this. The runs are small trainings of the book's VAE on MNIST. The workers start
anew for each measurement, and the time that they take to start counts.
"""

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from joblib.externals.loky import get_reusable_executor

from vae_helpers.experiment import train_vae
from vae_helpers.sweep import Run, sweep

CONFIGS = [
    {"beta": beta, "seed": seed, "epochs": 5, "images": 20_000}
    for beta in (0.25, 1.0, 4.0, 16.0)
    for seed in (0, 1)
]
WORKERS = (1, 2)


def measured(workers: int, folder: Path) -> tuple[float, list[Run]]:
    """Wall time of the whole sweep in seconds, and its runs."""
    start = time.perf_counter()
    runs = sweep(CONFIGS, run=train_vae, folder=folder, n_jobs=workers, progress=False)
    seconds = time.perf_counter() - start
    get_reusable_executor().shutdown()  # which would wait for more to do, for five minutes
    return seconds, runs


def main() -> None:
    """Measure and print."""
    tables, alone = [], 0.0
    print(f"\n{len(CONFIGS)} runs: workers, wall time in s, efficiency, memory of a worker in MB\n")
    for workers in WORKERS:
        # A process of its own, so that nothing is held or loaded from the time before.
        with (
            tempfile.TemporaryDirectory() as folder,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            seconds, runs = pool.submit(measured, workers, Path(folder)).result()
        tables.append(runs)
        alone = alone or seconds
        memory = max(run.memory for run in runs)
        print(
            f"{workers:8} {seconds:8.1f} {alone / (workers * seconds):8.0%} {memory:8.0f}",
            flush=True,
        )
    same = all(table == tables[0] for table in tables)
    print(f"\nscores bit-identical whatever the number of workers: {same}")


if __name__ == "__main__":
    main()
