"""Claims about `sweep`: one table however the runs are spread, and no accident loses a run."""

import json
import os
import runpy
import secrets
import signal
import sys
import threading
import time
from pathlib import Path

import joblib
import pytest
import torch

from vae_helpers import sweep as module
from vae_helpers.evaluation import score
from vae_helpers.networks import VAE
from vae_helpers.sweep import sweep
from vae_helpers.training import fit

CONFIGS = [{"x": x} for x in (3, 0.5, -2, 0)]
TRAININGS = [{"beta": beta, "seed": seed} for beta in (0.5, 1, 4) for seed in (0, 1)]


def third(config):
    """A run that is over at once; a third has no finite binary expansion."""
    return {"third": config["x"] / 3}


def training(config):
    """A small training: layers wide enough that threads would share a sum."""
    images = torch.rand(300, 60, generator=torch.Generator().manual_seed(0)).round()
    torch.manual_seed(config["seed"])
    time.sleep(0.1)  # another run in the same process would draw from the same generator
    vae = VAE(2, (128, 64), pixels=60)
    fit(vae, images, epochs=2, batch_size=100, beta=config["beta"], progress=False)
    return {"elbo": score(vae, images).elbo.mean().item(), "threads": torch.get_num_threads()}


def scores(rows):
    return [row["scores"] for row in rows]


def results(folder):
    return {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def wait_for_results(folder, number):
    deadline = time.monotonic() + 60
    while len(list(Path(folder).glob("*.json"))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "made" / "sweep"


@pytest.fixture
def go(folder):
    """Sweep with two workers and without a bar, or with any of the settings replaced."""
    settings = {"configs": CONFIGS, "run": third, "folder": folder, "n_jobs": 2, "progress": False}
    return lambda **options: sweep(**(settings | options))


# The table and its files


def test_scores_are_the_same_bit_for_bit_alone_in_two_processes_and_in_two_threads(go, tmp_path):
    torch.set_num_threads(2)
    try:
        alone = go(configs=TRAININGS, run=training, n_jobs=1)
        assert torch.get_num_threads() == 2
        processes = go(configs=TRAININGS, run=training, folder=tmp_path / "processes")
        with joblib.parallel_config(backend="threading"):
            threads = go(configs=TRAININGS, run=training, folder=tmp_path / "threads")
    finally:
        torch.set_num_threads(1)
    assert scores(alone) == scores(processes) == scores(threads)
    assert len({row["scores"]["elbo"] for row in alone}) == len(TRAININGS)
    assert {row["scores"]["threads"] for row in alone} == {1}


def test_rows_are_in_order_and_on_disk_as_soon_as_each_ends(go, folder):
    def first_ends_last(config):
        if config["x"] == 3:
            wait_for_results(folder, 3)
        return third({"x": config.pop("x")})

    rows = go(run=first_ends_last)
    assert [row["config"] for row in rows] == CONFIGS
    assert scores(rows) == [{"third": each} for each in (1.0, 0.5 / 3, -2 / 3, 0.0)]
    assert rows[0]["seconds"] >= rows[1]["seconds"] > 0
    assert list(results(folder).values()) == [rows[2], rows[3], rows[1], rows[0]]


def test_a_run_is_made_once_until_its_file_is_gone(go, folder):
    def fresh(config):
        return {"never the same": secrets.randbits(50)}

    first = go(configs=CONFIGS[:2], run=fresh)
    more = go(configs=CONFIGS[::-1], run=fresh)
    assert more[:1:-1] == first
    next(folder.glob("x_0.5-*")).unlink()
    again = go(configs=CONFIGS[::-1], run=fresh)
    assert [a == b for a, b in zip(again, more, strict=True)] == [True, True, False, True]


def test_only_another_configuration_has_another_file(go, folder):
    alike = [{"x": 1, "hidden": (64, 32.0)}, {"hidden": [64.0, 32], "x": 1.0}]
    assert len({row["seconds"] for row in go(configs=alike)}) == 1
    names = ["a b", "a_b", "a/b", "β", "y" * 300, "y" * 301, "1", 1, True, None, "true", 1.5]
    go(configs=[{"x": 1, "name": name} for name in names])
    assert len(results(folder)) == 1 + len(names)
    assert go(configs=[]) == []


def test_the_shipped_runs_are_those_that_the_command_makes(monkeypatch):
    path = Path(__file__).parent.parent / "data" / "make_rate_distortion.py"
    made = runpy.run_path(str(path), run_name="make_rate_distortion")
    monkeypatch.setattr(module, "_attempt", None)  # there is nothing left to run
    rows = sweep(made["CONFIGS"], run=made["run"], folder=made["FOLDER"], progress=False)
    assert len(rows) == 28 == len(results(made["FOLDER"]))
    assert all(row.keys() == {"config", "scores", "seconds"} for row in rows)


@pytest.mark.parametrize(("progress", "hidden", "shown"), [(1, "", 1), (0, "", 0), (1, "1", 0)])
def test_the_bar_shows_only_where_nobody_hides_it(go, capsys, monkeypatch, progress, hidden, shown):
    monkeypatch.setenv("TQDM_DISABLE", hidden)
    go(configs=CONFIGS[2:])
    go(progress=progress)
    err = capsys.readouterr().err
    assert ("Sweep:  50%" in err and "4/4" in err) == bool(err) == shown


# Runs that fail, and sweeps that are stopped


def raises_unspeakable(config):
    raise ArithmeticError(threading.Lock())  # no process can send this to another


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (lambda config: 1 / 0, "Traceback.*ZeroDivisionError: division by zero"),
        (raises_unspeakable, "ArithmeticError: <unlocked"),
        (lambda config: sys.exit(3), "SystemExit: 3"),
        (lambda config: None, "TypeError: 'NoneType' object is not iterable"),
        (lambda config: {"a": torch.tensor(1.0)}, "TypeError: Object of type Tensor is not JSON"),
        (lambda config: {"a": float("nan")}, "ValueError: Out of range float values"),
    ],
)
def test_a_run_that_fails_is_named_and_all_others_are_kept(go, folder, fails, said):
    def run(config):
        return fails(config) if config["x"] == 0.5 else third(config)

    message = rf'(?s)^1 of 4 runs have no result, all others .*\n\n{{"x": 0\.5}}: .*{said}'
    with pytest.raises(RuntimeError, match=message):
        go(run=run)
    assert len(results(folder)) == 3
    assert [row["config"] for row in go()] == CONFIGS


def dies(config):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_ends_the_sweep_and_what_was_finished_is_kept(go, folder):
    def run(config):
        wait_for_results(folder, {3: 0, 0.5: 1, -2: 1, 0: 1}[config["x"]])
        return third(config) if config["x"] == 3 else dies(config)

    message = r'(?s)^3 of 4 .*\n{"x": 0\.5}: a worker died\n{"x": -2}: a worker .*\n{"x": 0}: a w'
    with pytest.raises(RuntimeError, match=message) as error:
        go(run=run)
    assert "SIGKILL" in str(error.value.__cause__)
    (before,) = results(folder).values()
    assert go()[0] == before


STOPPED = """
import signal, sys, time
from pathlib import Path
from vae_helpers.sweep import sweep

def run(config):
    while config["x"] >= 3 and not Path(sys.argv[1], "go").exists():
        time.sleep(0.01)
    return {"third": config["x"] / 3}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
rows = sweep([{"x": x} for x in range(6)], run=run, folder=sys.argv[1], n_jobs=2)
print([row["scores"]["third"] for row in rows])
"""


def test_ctrl_c_keeps_what_is_finished_and_the_same_call_goes_on(python, printed, folder):
    with python(STOPPED, folder) as process:
        wait_for_results(folder, 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == -signal.SIGINT
    before = results(folder)
    assert [row["config"]["x"] for row in before.values()] == [0, 1, 2]
    (folder / "go").touch()
    assert json.loads(printed(STOPPED, folder)) == [x / 3 for x in range(6)]
    assert before.items() <= results(folder).items()


def test_a_cluster_that_loses_a_worker_gives_the_same_table(go, tmp_path):
    from dask.distributed import Client, LocalCluster  # not for every process that imports this

    def once_killed(config):
        if config == TRAININGS[3] and not killed.exists():
            killed.touch()
            dies(config)
        return training(config)

    killed = tmp_path / "killed"
    here = go(configs=TRAININGS, run=training, folder=tmp_path / "here")
    options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": ":0"}  # any free port
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("the cluster hangs"))
    signal.alarm(120)  # seconds
    try:
        with LocalCluster(**options) as cluster, Client(cluster), joblib.parallel_config("dask"):
            there = go(configs=TRAININGS, run=once_killed)
    finally:
        signal.alarm(0)
    assert killed.exists()
    assert scores(there) == scores(here)


# What is refused


@pytest.mark.parametrize(
    ("old", "new", "options", "error", "said"),
    [
        ("0.5", "0.25", {}, ValueError, r"expected .*{\"x\": 0\.5}, found .*0\.25.* Delete it"),
        ("}", "", {}, ValueError, "is no result of this sweep: expected"),
        ('"config"', '"settings"', {}, ValueError, "is no result of this sweep: expected"),
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
