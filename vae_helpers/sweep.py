"""Sweeps: many independent runs, side by side on this machine or on a cluster, none lost."""

import hashlib
import json
import os
import re
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from pathlib import Path

import torch
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from vae_helpers.files import write_atomically

ONE_RUN = threading.Lock()  # torch's global generator and number of threads are the process's


def sweep(
    configs: Sequence[dict],
    *,
    run: Callable[[dict], Mapping[str, float]],
    folder: str | os.PathLike[str],
    n_jobs: int = -1,
    progress: bool = True,
) -> list[dict]:
    """Make one run of each configuration, and write it to a file in the folder when it ends.

    ``run(config)`` takes all that varies from the configuration, which is what JSON can hold, and
    returns named finite numbers. n_jobs runs go on at once, −1 for one a core, or wherever ``with
    joblib.parallel_config(backend="dask")`` puts them; each in one thread, so that scores are the
    same in every bit. The same call goes on where a sweep was stopped, in whatever way.

    Returns:
        What the files hold, in the order of configs: ``config``, ``scores``, ``seconds`` it took.

    Raises:
        ValueError: a file in the folder is not the run that its name says; nothing was started.
        RuntimeError: some runs have no result, each is named with its error; all others are kept.
    """
    folder = Path(folder)
    texts = [json.dumps(config, allow_nan=False) for config in configs]
    wanted = {_file_name(text): text for text in texts}
    stored = [name for name in wanted if (folder / name).exists()]
    rows = {name: _read(folder / name, wanted[name]) for name in stored}
    missing = {name: text for name, text in wanted.items() if name not in rows}
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # fails before the first run, and not after it
    quiet = not progress or bool(os.environ.get("TQDM_DISABLE"))  # tqdm's notebook bar forgets it
    parallel = Parallel(n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="all")
    tasks = [delayed(_attempt)(run, name, text) for name, text in missing.items()]
    errors, death = {}, None
    try:
        with closing(parallel(tasks)) as ended:
            bar = tqdm(ended, "Sweep", len(wanted), initial=len(rows), disable=quiet)
            for name, row, error in bar:
                errors[name] = error
                if row:
                    write_atomically(folder / name, f"{row}\n".encode())
                    rows[name] = json.loads(row)
    except BrokenProcessPool as broken:
        death = broken
    lost = {name: errors.get(name, "a worker died") for name in missing if name not in rows}
    if lost:
        raise RuntimeError(
            f"{len(lost)} of {len(wanted)} runs have no result, all others are in {folder}. "
            "Repair these, and the same call makes only them again.\n"
            + "".join(f"\n{wanted[name]}: {error}" for name, error in lost.items())
        ) from death
    return [rows[_file_name(text)] for text in texts]


def _file_name(config: str) -> str:
    """Return a name that can be read, and that no other configuration has; 1.0 is named as 1."""
    text = json.dumps(json.loads(config, parse_float=_whole_if_it_is), sort_keys=True)
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("_")[:80]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def _whole_if_it_is(text: str) -> float:
    return int(float(text)) if float(text).is_integer() else float(text)


def _read(path: Path, config: str) -> dict:
    content = path.read_bytes()
    with suppress(KeyError, TypeError, ValueError):
        row = json.loads(content)
        if row["config"] == json.loads(config):
            return row
    raise ValueError(
        f"{path} is no result of this sweep: expected the run of {config}, found {content[:200]}. "
        "Delete it, and the run is made again, or pass another folder."
    )


def _attempt(run: Callable, name: str, config: str) -> tuple[str, str, str]:
    with ONE_RUN:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums depend on the number
        start = time.perf_counter()
        try:
            row = {"config": json.loads(config), "scores": dict(run(json.loads(config)))}
            row["seconds"] = time.perf_counter() - start
            return name, json.dumps(row, indent=1, allow_nan=False), ""
        except (Exception, SystemExit):  # in words: not every one of them could be sent back
            return name, "", traceback.format_exc()
        finally:
            torch.set_num_threads(threads)
