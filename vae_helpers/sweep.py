"""Sweeps: many independent runs, side by side on this machine or on a cluster, none lost."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import re
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import torch
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import ParallelBackendBase, get_active_backend
from tqdm.auto import tqdm

from vae_helpers.files import write_atomically

Config = Mapping[str, Any]
"""The settings of one run: names, and values that JSON can hold."""


@dataclass(frozen=True)
class Run:
    """A finished run: its settings, what it found, and what it cost.

    Two runs are equal where settings and scores are; time and memory differ every time.
    """

    config: dict[str, Any]
    scores: dict[str, float]
    seconds: float = field(compare=False)  # wall time
    memory: float = field(compare=False)  # MB, the most that its process had held by its end


def sweep(
    configs: Sequence[Config],
    *,
    run: Callable[[dict[str, Any]], Mapping[str, float]],
    folder: str | os.PathLike[str],
    n_jobs: int | None = None,
    progress: bool = True,
) -> list[Run]:
    """Run every configuration once, side by side, and keep each result as soon as it is there.

    The runs go through joblib: on all cores of this machine, or where
    ``with joblib.parallel_config(...)`` puts them, for example on the workers of a Dask
    cluster with ``backend="dask"``. The caller writes the results, each to a file of its own
    that is replaced whole, so workers need not share a disk. A sweep that was stopped, in
    whatever way, goes on where it was with the same call; a run is made again where its file
    is deleted. Torch computes with one thread in each run, because sums depend on the number
    of threads: scores are the same, bit for bit, however many runs go on at once.

    Args:
        configs: the settings of each run, no two alike; values are what JSON can hold.
        run: makes one run: takes a configuration, returns named finite numbers. It reaches the
            workers pickled, takes all its randomness from the configuration, and depends on
            nothing else that changes.
        folder: where the results are kept, made if need be; a folder for each ``run``.
        n_jobs: how many runs go on at once, −1 for one a core; None takes joblib's active
            configuration, or −1 where there is none. A Dask cluster decides by itself.
        progress: show a bar; TQDM_DISABLE=1 in the environment hides every bar.

    Returns:
        One `Run` a configuration, in the order of configs; those of earlier calls are read.

    Raises:
        ValueError: there is no configuration, two are alike, one is not JSON, run does not
            pickle, or a file in the folder is not what this sweep wrote; no run was started.
        OSError: the folder or a result cannot be written; all files are as they were.
        RuntimeError: some runs failed, all others are finished and kept; each one that failed
            is listed by its configuration, and its traceback follows as a note.
        KeyboardInterrupt: Ctrl-C; what was finished is kept.
    """
    wanted = _named(configs)
    if n_jobs is not None and (
        isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or not n_jobs
    ):
        raise ValueError(
            f"n_jobs must be a whole number other than 0; found {n_jobs!r}. "
            "Use 1 for one run after another, -1 for one a core."
        )
    folder = Path(folder)
    runs = {
        name: _read(folder / name, config)
        for name, config in wanted.items()
        if (folder / name).exists()
    }
    missing = {name: config for name, config in wanted.items() if name not in runs}
    if missing:
        _check_run(run)
        _check_folder(folder)
    failed: dict[str, _Outcome] = {}
    # tqdm reads TQDM_DISABLE by itself in a terminal, but not in a notebook.
    quiet = not progress or bool(os.environ.get("TQDM_DISABLE"))
    bar = tqdm(desc="Sweep", total=len(wanted), initial=len(runs), unit="run", disable=quiet)
    outcomes = _outcomes(run, missing, n_jobs)
    try:
        for outcome in outcomes:
            if outcome.run is None:
                failed[outcome.name] = outcome
                bar.set_postfix(failed=len(failed))
            else:
                content = json.dumps(asdict(outcome.run), indent=1) + "\n"
                write_atomically(folder / outcome.name, content.encode())
                runs[outcome.name] = outcome.run
            bar.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{len(runs)} of {len(wanted)} runs are finished, and kept in {folder}. "
            "The same call goes on from there."
        ) from None
    finally:
        _close(outcomes)
        bar.close()
    if failed:
        raise _failure(failed, wanted, folder)
    return [runs[name] for name in wanted]


class _Outcome(NamedTuple):
    """What came of one run: the run, or why there is none."""

    name: str
    run: Run | None
    error: str = ""
    traceback: str = ""
    died: bool = False  # with its process, or before it could start


def _named(configs: Sequence[Config]) -> dict[str, dict[str, Any]]:
    """Return each configuration, as JSON gives it back, under the name of its file."""
    if not configs:
        raise ValueError(
            "a sweep needs at least one configuration; found none. "
            'Pass a list of mappings, for example [{"beta": 1.0}, {"beta": 4.0}].'
        )
    named: dict[str, dict[str, Any]] = {}
    places: dict[str, int] = {}
    for place, config in enumerate(configs):
        if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
            raise ValueError(
                f"a configuration must map names to values; found {config!r} at place {place}. "
                'Pass a list of mappings, for example [{"beta": 1.0}, {"beta": 4.0}].'
            )
        try:
            plain = json.loads(json.dumps(dict(config), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(
                "a configuration must hold what JSON can: finite numbers, text, true or false, "
                f"None, lists of them; found {config!r} at place {place} ({error}). "
                "Turn an array or a tensor into numbers with its tolist()."
            ) from error
        name = _file_name(plain)
        if name in named:
            raise ValueError(
                "every configuration must be another; found "
                f"{config!r} at places {places[name]} and {place}. Remove one of them, or tell "
                "them apart, for example by a seed."
            )
        named[name], places[name] = plain, place
    return named


def _file_name(config: dict[str, Any]) -> str:
    """Return a name that can be read, and that no other configuration has."""
    text = json.dumps(_with_whole_numbers(config), sort_keys=True)
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("_")[:80]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def _with_whole_numbers(value: Any) -> Any:
    """Write 1.0 as 1: they are one number, and Python calls them equal."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read(path: Path, config: dict[str, Any]) -> Run:
    try:
        run = Run(**json.loads(path.read_bytes()))
        if run.config != config:
            raise ValueError(f"it holds the run of {run.config}")
        _check_scores(run.scores)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no result of this sweep: expected the run of {config} as JSON; "
            f"found {path.stat().st_size:,} bytes that do not fit ({error}). "
            "Delete it, and the run is made again, or pass another folder."
        ) from error
    return run


def _check_run(run: Callable[..., Any]) -> None:
    # A cluster would wait for ever for what it could not be sent.
    try:
        cloudpickle.dumps(run)
    except Exception as error:  # whatever the objects that run refers to raise
        raise ValueError(
            f"run must be a function that pickles, to reach the workers; found {run!r} "
            f"({error}). Open files and make locks inside it."
        ) from error


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            error.errno,
            "cannot keep results: expected a folder that can be written to, found "
            f"{os.strerror(error.errno)!r}; no run was started. Repair that, or choose another",
            str(folder),
        ) from error


def _outcomes(
    run: Callable[..., Any], missing: dict[str, dict[str, Any]], n_jobs: int | None
) -> Iterator[_Outcome]:
    """Yield what came of each run as soon as it is there, in any order."""
    if not missing:
        return
    backend, configured = get_active_backend()
    if n_jobs is None:
        n_jobs = -1 if configured is None else configured
    left = dict(missing)
    tasks = [delayed(_attempt)(run, name, config) for name, config in missing.items()]
    with _mended(backend):
        try:
            for outcome in _parallel(tasks, min(effective_n_jobs(n_jobs), len(tasks))):
                if not outcome.died:
                    del left[outcome.name]
                    yield outcome
        except BrokenProcessPool:
            pass
        # A process that dies takes other runs along, and nobody knows which one killed it. So
        # what is left runs one by one, beside a second process, which spares the caller's own.
        for name, config in left.items():
            try:
                yield from _parallel([delayed(_attempt)(run, name, config)], 2)
            except BrokenProcessPool as error:
                yield _died(name, error)


def _parallel(tasks: list[Any], n_jobs: int) -> Iterator[_Outcome]:
    # One run a batch, and all handed out at once, so that workers that join a cluster find some.
    return Parallel(
        n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
    )(tasks)


def _attempt(run: Callable[..., Any], name: str, config: dict[str, Any]) -> _Outcome:
    """Make one run, where joblib puts it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.perf_counter()
    try:
        scores = _check_scores(run(copy.deepcopy(config)))
        seconds = time.perf_counter() - start
        return _Outcome(name, Run(config, scores, seconds, _peak_memory()))
    except (Exception, SystemExit) as error:
        # Told in words: not every exception survives the way to another process.
        summary = traceback.format_exception_only(error)[0].strip()
        return _Outcome(name, None, summary, "".join(traceback.format_exception(error)))
    finally:
        torch.set_num_threads(threads)


def _check_scores(scores: Any) -> dict[str, float]:
    if not isinstance(scores, Mapping) or not all(
        isinstance(name, str)
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        for name, value in scores.items()
    ):
        raise ValueError(
            f"a run must return names with finite numbers; found {scores!r}. "
            "Turn a tensor into a number with its item(), and let a run that diverges raise."
        )
    return dict(scores)


def _peak_memory() -> float:
    """Return the most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, whose getrusage also counts what the parent held at the start
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS, in bytes


@contextmanager
def _mended(backend: ParallelBackendBase) -> Iterator[None]:
    """Mend two habits of joblib's Dask backend; any other is left as it is.

    Dask gives a run up that has killed four workers, or that no worker can unpickle. joblib
    (1.6) is told, does not pass it on, and waits for ever. And where a cluster has one worker,
    joblib runs all in the caller's process.
    """
    if type(backend).__name__ != "DaskDistributedBackend":
        yield
        return
    submit, count = backend.submit, backend.effective_n_jobs

    def submit_and_tell(batch: Any, callback: Callable[..., None]) -> Any:
        def tell(done: Any) -> None:
            if done.exception() is not None:
                ((_, (_, name, _), _),) = batch.items
                callback([_died(name, done.exception())])

        future = submit(batch, callback)
        future.add_done_callback(tell)
        return future

    backend.submit = submit_and_tell
    backend.effective_n_jobs = lambda n_jobs: max(2, count(n_jobs))
    try:
        yield
    finally:
        del backend.submit, backend.effective_n_jobs


def _died(name: str, error: BaseException) -> _Outcome:
    reason = str(error).partition("\n")[0]
    return _Outcome(
        name, None, f"no worker brought it to its end: {type(error).__name__}: {reason}", died=True
    )


def _close(outcomes: Iterator[_Outcome]) -> None:
    """Give up the runs that are under way; joblib warns of it, but the error says so already."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ tasks", UserWarning)
        outcomes.close()


def _failure(failed: dict[str, _Outcome], wanted: dict[str, Any], folder: Path) -> RuntimeError:
    listed = "".join(f"\n  {wanted[name]}: {outcome.error}" for name, outcome in failed.items())
    error = RuntimeError(
        f"{len(failed)} of {len(wanted)} runs failed; the others are finished, and kept in "
        f"{folder}. Repair what the errors name: the same call makes only these again.{listed}"
    )
    for name, outcome in failed.items():
        if outcome.traceback:
            error.add_note(f"\n{wanted[name]}\n{outcome.traceback}")
    return error
