"""Training, timed side by side: the book's `fit`, its peers, and the floor of matrix products.

`make bench` runs this. Each contestant is a process of its own, and they take turns, so that a
machine that grows slower does so for all. The result is written to bench/training.json, which
the chapter on speed shows.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from vae_helpers.files import write_atomically

FOLDER = Path(__file__).resolve().parent
RESULT = FOLDER / "training.json"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
THREADS = os.cpu_count()
CONTESTANTS = {
    "original": "the original's loop",
    "examples": "the same, with a worker",
    "plain": "plain loop of chapter 9",
    "keras_fit": "Keras 3 on JAX",
    "jax_scan": "JAX, one scan an epoch",
    "ours": "fit",
    "floor": "floor: products only",
}


def run(contestant: str) -> dict[str, Any]:
    """One run of a contestant: what it reports, its wall time in s and its peak memory in MB.

    A process begins with the peak of the one that starts it, so this file imports nothing large.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, FOLDER / "training" / f"{contestant}.py"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(THREADS)},
    ) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{contestant} ended with status {process.returncode}")
    wall = time.perf_counter() - start
    kilobytes = usage.ru_maxrss / (1024 if platform.system() == "Darwin" else 1)
    return json.loads(output) | {"wall": wall, "memory": kilobytes / 1024}


def machine() -> str:
    """The processor and the number of cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores"


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds; the steady state leaves out each run's first epoch."""
    steady = sorted(seconds for each in runs for seconds in each["seconds"][1:])
    low, _, high = statistics.quantiles(steady, n=4)
    return {
        "epoch": statistics.median(steady),
        "quartiles": [low, high],
        "wall": statistics.median(each["wall"] for each in runs),
        "memory": max(each["memory"] for each in runs),
        "loss": runs[0]["loss"],
        "versions": runs[0]["versions"],
    }


def main() -> None:
    """Measure, print and write."""
    runs: dict[str, list] = {contestant: [] for contestant in CONTESTANTS}
    for number in range(1, ROUNDS + 1):
        for contestant, title in CONTESTANTS.items():
            runs[contestant].append(run(contestant))
            wall = runs[contestant][-1]["wall"]
            print(f"round {number} of {ROUNDS}, {title}: {wall:.0f} s", file=sys.stderr, flush=True)

    results = {contestant: summary(each) for contestant, each in runs.items()}
    epochs = len(runs["ours"][0]["seconds"])
    print(f"\n{machine()}, {date.today()}; {epochs} epochs, {ROUNDS} rounds\n")
    print(f"{'':30} s an epoch (quartiles)   whole run, s   peak MB    loss")
    for contestant, title in CONTESTANTS.items():
        found = results[contestant]
        low, high = found["quartiles"]
        line = f"{title:30} {found['epoch']:8.3f} ({low:.3f} to {high:.3f})"
        line += f" {found['wall']:14.1f} {found['memory']:9.0f}"
        print(line + (f" {found['loss']:7.3f}" if found["loss"] is not None else ""))
    ours = results["ours"]
    print()
    for rival in ("floor", "jax_scan", "plain", "original"):
        by_epoch = ours["epoch"] / results[rival]["epoch"]
        by_wall = ours["wall"] / results[rival]["wall"]
        print(f"fit / {CONTESTANTS[rival]}: {by_epoch:.2f} an epoch, {by_wall:.3f} a whole run")
    head = {"machine": machine(), "date": str(date.today()), "python": platform.python_version()}
    head |= {"threads": THREADS, "epochs": epochs, "rounds": ROUNDS}
    head["results"] = {CONTESTANTS[name]: found for name, found in results.items()}
    write_atomically(RESULT, (json.dumps(head, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
