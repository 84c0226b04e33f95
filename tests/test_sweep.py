"""Claims about `sweep`: one table however the runs are spread, and no accident loses a run."""

import json
import os
import runpy
import secrets
import signal
import sys
import threading
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import joblib
import pytest
import torch

from vae_helpers import sweep as module
from vae_helpers.evaluation import score
from vae_helpers.networks import VAE
from vae_helpers.sweep import fingerprint, sweep
from vae_helpers.training import fit

CONFIGS = [{"x": x} for x in (3, 0.5, -2, 0)]
TRAININGS = [{"beta": beta, "seed": seed} for beta in (0.5, 1, 4) for seed in (0, 1)]
DIVISOR = 3  # a third has no finite binary expansion


def divide(x):
    return x / DIVISOR


def third(config):
    return {"third": divide(config["x"])}


def training(config):
    """A small training: layers wide enough that threads would share a sum."""
    images = torch.rand(300, 60, generator=torch.Generator().manual_seed(0)).round()
    torch.manual_seed(config["seed"])
    vae = VAE(2, (128, 64), pixels=60)
    fit(vae, images, epochs=2, batch_size=100, beta=config["beta"], progress=False)
    return {"elbo": score(vae, images).elbo.mean().item(), "threads": torch.get_num_threads()}


def scores(rows):
    return [row["scores"] for row in rows]


def results(folder):
    return {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "made" / "sweep"


@pytest.fixture
def go(folder):
    """Sweep with two workers and without a bar, or with any of the settings replaced."""
    settings = {"configs": CONFIGS, "run": third, "folder": folder, "n_jobs": 2, "progress": False}
    return lambda **options: sweep(**(settings | options))


# The table and its files


def test_scores_are_the_same_bit_for_bit_at_one_and_two_workers_of_one_thread(go, tmp_path):
    alone = go(configs=TRAININGS, run=training, n_jobs=1)
    beside = go(configs=TRAININGS, run=training, folder=tmp_path / "beside")
    assert scores(alone) == scores(beside)
    assert len({row["scores"]["elbo"] for row in alone}) == len(TRAININGS)
    assert {row["scores"]["threads"] for row in alone} == {1}


def test_rows_are_in_order_and_on_disk_as_soon_as_each_ends(go, folder):
    def first_ends_last(config):
        deadline = time.monotonic() + 120
        while config["x"] == 3 and len(list(folder.glob("*.json"))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return third({"x": config.pop("x")})

    rows = go(run=first_ends_last)
    assert [row["config"] for row in rows] == CONFIGS
    assert scores(rows) == [{"third": each} for each in (1.0, 0.5 / 3, -2 / 3, 0.0)]
    assert rows[0]["seconds"] >= rows[1]["seconds"] > 0
    assert list(results(folder).values()) == [rows[2], rows[3], rows[1], rows[0]]
    assert next(iter(results(folder))).startswith("x_-2-")


def test_a_run_is_made_once_until_its_file_is_gone(go, folder):
    def fresh(config):
        return {"never the same": secrets.randbits(50)}

    first = go(configs=CONFIGS[:2], run=fresh)
    more = go(configs=CONFIGS[::-1], run=fresh)
    assert more[:1:-1] == first
    next(folder.glob("x_0.5-*")).unlink()
    again = go(configs=CONFIGS[::-1], run=fresh)
    assert [a == b for a, b in zip(again, more, strict=True)] == [True, True, False, True]


def test_tuples_and_the_order_of_names_make_no_other_configuration_and_texts_do(go, folder):
    alike = go(configs=[{"x": 1, "hidden": (64, 32)}, {"hidden": [64, 32], "x": 1}])
    assert alike[0] == alike[1]
    names = ["a b", "a_b", "a/b", "β", "y" * 300, "y" * 301, "1", 1, True, None, "true"]
    go(configs=[{"x": 1, "name": name} for name in names])
    assert len(results(folder)) == 1 + len(names)


def test_the_shipped_runs_are_those_that_the_command_makes(monkeypatch):
    path = Path(__file__).parent.parent / "data" / "make_rate_distortion.py"
    made = runpy.run_path(str(path), run_name="make_rate_distortion")
    monkeypatch.setattr(module, "_attempt", None)  # there is nothing left to run
    rows = sweep(made["CONFIGS"], run=made["run"], folder=made["FOLDER"], progress=False)
    assert len(rows) == 28 == len(results(made["FOLDER"]))


@pytest.mark.parametrize(("progress", "hidden", "shown"), [(1, "", 1), (0, "", 0), (1, "1", 0)])
def test_the_bar_shows_only_where_nobody_hides_it(go, capsys, monkeypatch, progress, hidden, shown):
    monkeypatch.setenv("TQDM_DISABLE", hidden)
    go(configs=CONFIGS[2:])
    go(progress=progress)
    err = capsys.readouterr().err
    assert ("Sweep:  50%" in err and "4/4" in err) == bool(err) == shown


# Runs that fail, and sweeps that are stopped


class Unspeakable(Exception):
    """An exception that no process can send to another."""

    def __init__(self, one, two):
        super().__init__(threading.Lock())


def raises_unspeakable(config):
    raise Unspeakable(1, 2)


def dies(config):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (lambda config: 1 / 0, "ZeroDivisionError: division by zero"),
        (raises_unspeakable, "Unspeakable: <unlocked"),
        (lambda config: sys.exit(3), "Traceback.*SystemExit: 3"),
        (dies, "no worker brought it to its end: .*SIGKILL"),
        (lambda config: None, "TypeError: 'NoneType' object is not iterable"),
        (lambda config: {"a": torch.tensor(1.0)}, "TypeError: Object of type Tensor is not JSON"),
        (lambda config: {"a": float("nan")}, "ValueError: Out of range float values"),
    ],
)
def test_a_run_that_fails_is_named_and_all_others_are_kept(go, folder, fails, said):
    def run(config):
        return fails(config) if config["x"] == 0.5 else third(config)

    message = rf"(?s)^1 of 4 runs failed, all others .*\n{{'x': 0\.5}}: .*{said}"
    with pytest.raises(RuntimeError, match=message):
        go(run=run)
    assert len(results(folder)) == 3


STOPPED = """
import signal, sys, time
from pathlib import Path
from vae_helpers.sweep import sweep

def run(config):
    while config["x"] >= 3 and not Path(sys.argv[1], "go").exists():
        time.sleep(0.01)
    return {"third": config["x"] / 3}

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
    rows = sweep([{"x": x} for x in range(6)], run=run, folder=sys.argv[1], n_jobs=2)
    print([row["scores"]["third"] for row in rows])
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_sweep_keeps_what_is_finished_and_goes_on_with_the_same_call(
    tmp_path, python, printed, folder, stop
):
    (tmp_path / "program.py").write_text(STOPPED)
    call = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    with python(call, tmp_path / "program.py", folder) as process:
        deadline = time.monotonic() + 120
        while len(list(folder.glob("*.json"))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(stop)
        assert process.wait(timeout=60) == -stop
    before = results(folder)
    assert [row["config"]["x"] for row in before.values()] == [0, 1, 2]
    (folder / "go").touch()
    said = printed(call, tmp_path / "program.py", folder)
    assert json.loads(said) == [x / 3 for x in range(6)]
    assert before.items() <= results(folder).items()


# On a cluster


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two workers of two threads each; a nanny restarts one that dies."""
    import dask  # not for every process that imports this
    from dask.distributed import Client, LocalCluster

    options = {"threads_per_worker": 2, "dashboard_address": ":0"}  # a port that is free
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def go_there(cluster, go):
    cluster.wait_for_workers(2)
    with joblib.parallel_config(backend="dask"):
        yield go


def test_a_cluster_that_loses_a_worker_gives_the_same_table(go_there, tmp_path):
    killed = tmp_path / "killed"

    def once_killed(config):
        if config == TRAININGS[3] and not killed.exists():
            killed.touch()
            dies(config)
        return training(config)

    rows = go_there(configs=TRAININGS, run=once_killed)
    assert killed.exists()
    with joblib.parallel_config(backend="loky"):
        here = go_there(configs=TRAININGS, run=training, folder=tmp_path / "here")
    assert scores(rows) == scores(here)


def test_a_run_that_kills_its_workers_is_named_and_all_others_are_kept(go_there, folder):
    def run(config):
        return dies(config) if config["x"] == 0.5 else third(config)

    with pytest.raises(RuntimeError, match=r"^1 of 4 .*\n\n{'x': 0\.5}: no worker .*KilledWorker"):
        go_there(run=run)
    assert len(results(folder)) == 3


def test_a_cluster_makes_one_run_at_a_time_on_each_worker_and_none_here(cluster, go_there):
    def slowly(config):
        start = time.time()
        time.sleep(0.3)
        return {"pid": os.getpid(), "start": start, "end": time.time()}

    rows = sorted(scores(go_there(run=slowly)), key=lambda row: (row["pid"], row["start"]))
    assert {row["pid"] for row in rows} == set(cluster.run(os.getpid).values())
    assert all(a["pid"] != b["pid"] or a["end"] <= b["start"] for a, b in pairwise(rows))


# What is refused


def test_the_fingerprint_is_the_same_in_another_session(printed):
    program = f"import sys; sys.path[:0] = ['{Path(__file__).parent}']; import test_sweep as t; "
    program += "print(t.fingerprint(t.third), t.fingerprint(t.training))"
    assert printed(program).split() == [fingerprint(third), fingerprint(training)]


def test_the_fingerprint_changes_with_the_function_its_helpers_and_their_numbers(monkeypatch):
    found = {fingerprint(third), fingerprint(training)}
    monkeypatch.setattr(f"{__name__}.DIVISOR", 4)
    found.add(fingerprint(third))
    monkeypatch.setattr(f"{__name__}.divide", lambda x: x * x)
    found.add(fingerprint(third))
    assert len(found) == 4


@pytest.mark.parametrize(
    ("old", "new", "options", "error", "said"),
    [
        ("0.5", "0.25", {}, ValueError, r"expected .*'x': 0\.5.* found .*'x': 0\.25"),
        ("}", "", {}, ValueError, "is not the result of this run: expected .* found JSONDecodeErr"),
        ("", "", {"run": training}, ValueError, "Where the function was changed, pass another"),
        ("", "", {"run": partial(third)}, TypeError, "function, .* was expected"),
        ("", "", {"configs": [{"x": float("nan")}]}, ValueError, "not JSON compliant"),
        ("", "", {"configs": [{"x": torch.ones(1)}]}, TypeError, "Tensor is not JSON"),
        ("", "", {"folder": "/proc"}, OSError, "/proc"),
    ],
)
def test_what_is_refused_is_refused_before_any_run(
    go, folder, monkeypatch, old, new, options, error, said
):
    go()
    path = next(folder.glob("x_0.5-*"))
    path.write_text(path.read_text().replace(old, new))
    before = [each.read_bytes() for each in sorted(folder.iterdir())]
    monkeypatch.setattr(module, "_attempt", None)
    with pytest.raises(error, match=said):
        go(**({"configs": [*CONFIGS, {"x": 8}]} | options))
    assert [each.read_bytes() for each in sorted(folder.iterdir())] == before
