"""Sweeps: many independent runs, side by side on this machine or on a cluster, none lost."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import torch
from joblib import effective_n_jobs
from joblib.externals.loky import get_reusable_executor
from joblib.parallel import get_active_backend
from tqdm.auto import tqdm

from vae_helpers.files import write_atomically

Function = Callable[[dict[str, Any]], Mapping[str, float]]
ONE_RUN = threading.Lock()  # torch's global generator and number of threads are the process's


def sweep(
    configs: Iterable[dict[str, Any]],
    *,
    run: Function,
    folder: str | os.PathLike[str],
    n_jobs: int = -1,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Make one run of each configuration, and write it to a file in the folder when it ends.

    ``run(config)`` takes all that varies from the configuration, which is what JSON can hold, and
    returns named finite numbers. n_jobs runs go on at once, −1 for one a core; or one on each
    worker of a Dask cluster, inside ``with joblib.parallel_config(backend="dask")``. Their scores
    are the same in every bit. The same call goes on where a sweep was stopped, in whatever way.

    Returns:
        What the files hold, in the order of configs: ``config``, ``scores``, ``seconds`` of wall
        time, and ``function``, the `fingerprint` of run.

    Raises:
        ValueError: a file in the folder is the result of another function; nothing was started.
        RuntimeError: some runs failed, each is named with its error; all others are kept.
    """
    folder, function = Path(folder), fingerprint(run)
    named = [_named(config) for config in configs]
    wanted = dict(named)
    runs = {n: _read(folder / n, c, function) for n, c in wanted.items() if (folder / n).exists()}
    left = {name: config for name, config in wanted.items() if name not in runs}
    if left:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # fails before the first run, and not after it
    # tqdm reads TQDM_DISABLE by itself in a terminal, but not in a notebook.
    quiet = not progress or bool(os.environ.get("TQDM_DISABLE"))
    failed = []
    with closing(_ended(run, left, n_jobs)) as ended:
        for name, found in tqdm(ended, "Sweep", len(wanted), initial=len(runs), disable=quiet):
            if "error" in found:
                failed.append(f"{wanted[name]}: {found['error']}")
            else:
                runs[name] = {"config": wanted[name], "function": function} | found
                write_atomically(folder / name, f"{json.dumps(runs[name], indent=1)}\n".encode())
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(wanted)} runs failed, all others are kept in {folder}. Repair "
            "these, and the same call makes only them again.\n\n" + "\n".join(failed)
        )
    return [runs[name] for name, _ in named]


def fingerprint(run: Function) -> str:
    """Hash a function's source, and the functions of its file, numbers and texts that it names."""
    parts, functions = {}, [run]
    for function in functions:
        parts[function.__qualname__] = inspect.getsource(function)
        outside = inspect.getclosurevars(function)
        for name, value in (outside.globals | outside.nonlocals).items():
            if isinstance(value, int | float | str):
                parts[name] = repr(value)
            elif inspect.isfunction(value) and value.__module__ == run.__module__:
                functions += [] if value in functions else [value]
    return _hash(json.dumps(parts, sort_keys=True))


def _named(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of its file, and the configuration as JSON gives it back."""
    text = json.dumps(config, sort_keys=True, allow_nan=False)
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("_")[:80]
    return f"{readable}-{_hash(text)}.json", json.loads(text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read(path: Path, config: dict[str, Any], function: str) -> dict[str, Any]:
    expected = {"config": config, "function": function}
    try:
        found = json.loads(path.read_bytes())
        if found | expected == found:
            return found
    except (TypeError, ValueError) as error:
        found = error
    raise ValueError(
        f"{path} is not the result of this run: expected {expected}, found {found!r}. Where the "
        "function was changed, pass another folder, or move this one away and all runs are made "
        "again."
    )


def _ended(
    run: Function, left: Mapping[str, Any], n_jobs: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what became of each run as soon as it is there."""
    if cluster := getattr(get_active_backend()[0], "client", None):  # Dask's
        executor, stop = cluster.get_executor(pure=False), {"wait": False}
    else:
        executor = get_reusable_executor(max(1, min(effective_n_jobs(n_jobs), len(left))))
        stop = {"kill_workers": True}
    futures, alone = {}, dict(left)
    try:
        with suppress(BrokenProcessPool):
            for name, config in left.items():
                futures[executor.submit(_attempt, run, config)] = name
        for future in as_completed(futures):
            error = future.exception()  # the worker's: `_attempt` returns those of the run
            if error is None or len(left) == 1:
                del alone[futures[future]]
                died = f"no worker brought it to its end: {type(error).__name__}: {error}"
                yield futures[future], {"error": died} if error else future.result()
    except BaseException:
        executor.shutdown(**stop)
        raise
    # A worker that dies takes other runs along, and nobody knows which one killed it.
    for name, config in alone.items():
        yield from _ended(run, {name: config}, 1)


def _attempt(run: Function, config: dict[str, Any]) -> dict[str, Any]:
    with ONE_RUN:
        torch.set_num_threads(1)  # sums depend on the number
        start = time.perf_counter()
        try:
            scores = json.loads(json.dumps(dict(run(config)), allow_nan=False))  # no NaN, no tensor
            return {"scores": scores, "seconds": time.perf_counter() - start}
        except (Exception, SystemExit):
            return {"error": traceback.format_exc()}  # words: not every exception can be sent back
