"""What the helpers cost: their imports, how `fit` grows, and the importance-weighted bound.

`make bench` runs this.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from vae_helpers.data import load_mnist
from vae_helpers.networks import VAE
from vae_helpers.objectives import importance_weighted_bound

MODULES = ("objectives", "networks", "data", "training", "evaluation", "sweep")
MODULES += ("plotting", "explorer")
IMAGES, SAMPLES = 100, 5000
FIT = """
import resource, sys, time
from vae_helpers.data import load_mnist
from vae_helpers.networks import VAE
from vae_helpers.training import fit
count, epochs = map(int, sys.argv[1:])
images = load_mnist("train")[0]
fit(VAE(), images[:200], epochs=1, progress=False)  # what PyTorch loads at a first step
start = time.perf_counter()
fit(VAE(), images[:count], epochs=epochs, progress=False)
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kilobytes /= 1024 if sys.platform == "darwin" else 1
print(time.perf_counter() - start, kilobytes / 1024)
"""


def import_seconds(module: str) -> float:
    """Median time of the import in a new interpreter, all that it pulls in included."""
    program = f"import time; t = time.perf_counter(); import {module}; "
    program += "print(time.perf_counter() - t)"
    runs = [subprocess.check_output([sys.executable, "-c", program]) for _ in range(3)]
    return statistics.median(map(float, runs))


def fastest(action: Callable[[], object]) -> float:
    """Seconds of the fastest of five."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    print("\nseconds of an import, in a new interpreter; the first line is torch alone\n")
    for module in ("torch", *(f"vae_helpers.{module}" for module in MODULES)):
        print(f"{import_seconds(module):8.2f}  {module}", flush=True)

    print("\n  images  epochs   fit, s   µs an image and epoch   peak MB\n")
    for count, epochs in ((15_000, 2), (15_000, 8), (60_000, 2), (60_000, 8)):
        run = subprocess.check_output([sys.executable, "-c", FIT, str(count), str(epochs)])
        seconds, memory = map(float, run.split())
        each = seconds / (count * epochs) * 1e6
        print(f"{count:8} {epochs:7} {seconds:8.2f} {each:23.2f} {memory:9.0f}", flush=True)

    torch.manual_seed(0)
    vae, x = VAE(), load_mnist("test")[0][:IMAGES]
    weights = [layer.weight for layer in vae.decoder.layers if isinstance(layer, torch.nn.Linear)]
    rows = 20_000
    inputs = [torch.randn(rows, weight.shape[1]) for weight in weights]
    outputs = [torch.empty(rows, weight.shape[0]) for weight in weights]

    def floor() -> None:
        for _ in range(IMAGES * SAMPLES // rows):
            for h, weight, out in zip(inputs, weights, outputs, strict=True):
                torch.mm(h, weight.t(), out=out)

    bound = fastest(lambda: importance_weighted_bound(vae, x, k=SAMPLES))
    products = fastest(floor)
    rate = IMAGES * SAMPLES / bound
    print(f"\nimportance-weighted bound: {rate / 1e6:.2f} million images x K a second,")
    print(f"{bound / products:.1f} times the time of the decoder's matrix products alone")


if __name__ == "__main__":
    main()
