"""What the contestants share: the recipe, the images as numbers, and how a run is reported.

Each of the other files is one contestant, run by itself as `python bench/training/NAME.py`.
"""

import gzip
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

EPOCHS = int(os.environ.get("BENCH_EPOCHS", "50"))
BATCH = 200
LATENT = 4
ENCODER = [(784, 64), (64, 32), (32, 2 * LATENT)]
DECODER = [(LATENT, 32), (32, 64), (64, 784)]
MNIST = Path(__file__).resolve().parents[2] / "data" / "mnist"


def images() -> np.ndarray:
    """The training images, ``(60000, 784)``, float32 in [0, 1]."""
    with gzip.open(MNIST / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    return pixels.reshape(-1, 784).astype(np.float32) / 255


def report(epoch: Callable[[int], float | None], *packages: str) -> None:
    """Run the epochs; print seconds of each, the last mean loss, and the packages' versions."""
    seconds = []
    for number in range(EPOCHS):
        start = time.perf_counter()
        loss = epoch(number)
        seconds.append(time.perf_counter() - start)
    write(seconds, loss, *packages)


def write(seconds: list[float], loss: float | None, *packages: str) -> None:
    """Print the result of a run as JSON, the one line that bench/training.py reads."""
    versions = {package: version(package).split("+")[0] for package in packages}
    print(json.dumps({"seconds": seconds, "loss": loss, "versions": versions}))
