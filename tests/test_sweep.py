"""Claims about `sweep`: one table however the runs are spread, and no accident loses a run."""

import contextlib
import functools
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import joblib
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

from vae_helpers import sweep as module
from vae_helpers.evaluation import score
from vae_helpers.networks import VAE
from vae_helpers.sweep import Run, sweep
from vae_helpers.training import fit

CONFIGS = [{"x": x} for x in (3, 0.5, -2, 0)]


def third(config) -> dict[str, float]:
    """A run that is over at once; a third has no finite binary expansion."""
    return {"third": config["x"] / 3, "whole": int(config["x"])}


def training(config) -> dict[str, float]:
    """A small training: layers wide enough that threads would share a sum."""
    g = torch.Generator().manual_seed(0)
    images = torch.rand(300, 60, generator=g).round()
    torch.manual_seed(config["seed"])
    vae = VAE(2, (128, 64), pixels=60)
    fit(vae, images, epochs=2, batch_size=100, beta=config["beta"], progress=False)
    scores = score(vae, images)
    return {"rate": scores.kl.mean().item(), "distortion": -scores.log_likelihood.mean().item()}


TRAININGS = [{"beta": beta, "seed": seed} for beta in (0.5, 1, 4) for seed in (0, 1)]


def noted(folder: Path, config) -> dict[str, float]:
    """A run that leaves a note each time that it is started."""
    folder.mkdir(exist_ok=True)
    (folder / f"{config['x']}.{time.monotonic_ns()}").touch()
    return third(config)


def started(folder: Path) -> list[float]:
    """Which runs left a note, in order."""
    return sorted(float(path.name.rpartition(".")[0]) for path in folder.glob("*"))


def table(runs: list[Run]) -> str:
    """The rows, with every digit."""
    return json.dumps([(run.config, run.scores) for run in runs])


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.json")}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "made" / "sweep"


@pytest.fixture
def notes(tmp_path):
    return tmp_path / "notes"


@pytest.fixture
def go(folder):
    """Sweep one after another and without a bar, with any of the settings replaced."""

    def start(configs=CONFIGS, **options) -> list[Run]:
        defaults = {"run": third, "folder": folder, "n_jobs": 1, "progress": False}
        return sweep(configs, **(defaults | options))

    return start


# The table


def test_there_is_one_row_a_configuration_in_their_order(go):
    rows = go()
    assert [row.config for row in rows] == CONFIGS
    assert [row.scores["third"] for row in rows] == [1.0, 0.5 / 3, -2 / 3, 0.0]


def test_rows_keep_their_order_where_the_first_run_ends_last(go, folder):
    def first_waits(config):
        deadline = time.monotonic() + 60
        while config["x"] == 3 and len(list(Path(folder).glob("*.json"))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return third(config)

    rows = go(run=first_waits, n_jobs=2)
    assert [row.config for row in rows] == CONFIGS
    assert [row.scores["third"] for row in rows] == [1.0, 0.5 / 3, -2 / 3, 0.0]


def test_scores_are_the_same_bit_for_bit_whatever_the_number_of_workers(go, tmp_path):
    torch.set_num_threads(2)
    try:
        alone = go(TRAININGS, run=training)
        torch.set_num_threads(1)
        beside = go(TRAININGS, run=training, n_jobs=2, folder=tmp_path / "beside")
    finally:
        torch.set_num_threads(1)
    assert table(alone) == table(beside)
    assert alone == beside
    assert len({row.scores["rate"] for row in alone}) == len(TRAININGS)


def test_every_run_computes_with_one_thread_and_the_caller_keeps_its_own(go, tmp_path):
    def threads(config):
        return {"threads": torch.get_num_threads()}

    torch.set_num_threads(2)
    try:
        for n_jobs in (1, 2):
            rows = go(run=threads, n_jobs=n_jobs, folder=tmp_path / str(n_jobs))
            assert [row.scores["threads"] for row in rows] == [1] * 4
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_time_and_memory_are_measured_and_do_not_make_runs_unequal(go, tmp_path):
    def sleep_and_hold(config):
        time.sleep(0.1)
        return {"bytes": len(b"1" * config["bytes"])}

    rows = go([{"bytes": 10}, {"bytes": 300_000_000}], run=sleep_and_hold, n_jobs=2)
    assert all(row.seconds >= 0.1 for row in rows)
    assert 300 < rows[1].memory < 10_000
    other = Run(rows[0].config, rows[0].scores, seconds=0, memory=0)
    assert rows[0] == other
    assert rows[0] != Run(rows[0].config, {"bytes": 11}, rows[0].seconds, rows[0].memory)


BARE = """
    from pathlib import Path
    import vae_helpers.sweep, vae_helpers.evaluation, vae_helpers.training
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="what others count in is not known"
)
def test_the_memory_is_that_of_the_process_that_ran_and_not_of_its_parent(go, printed):
    bare = int(printed(BARE)) * 1024 / 1e6  # what the imports alone hold; torch has many builds
    get_reusable_executor().shutdown()  # its processes have held what other runs needed
    held = b"1" * 600_000_000
    rows = go(n_jobs=2)
    assert module._peak_memory() > bare + 300, "the parent holds too little to be noticed"
    del held
    assert all(20 < row.memory < bare + 300 for row in rows)


@pytest.mark.parametrize(
    ("n_jobs", "active", "expected"),
    [
        (None, None, -1),
        (-2, None, -2),
        (None, {"n_jobs": 3}, 3),
        (2, {"n_jobs": 3}, 2),
        (None, {"backend": "threading"}, -1),
    ],
)
def test_all_cores_are_used_unless_a_number_or_a_configuration_says_otherwise(
    go, monkeypatch, n_jobs, active, expected
):
    asked = []
    monkeypatch.setattr(module, "effective_n_jobs", lambda n_jobs: asked.append(n_jobs) or 1)
    if active is None:
        go(n_jobs=n_jobs)
    else:
        with joblib.parallel_config(**active):
            go(n_jobs=n_jobs)
    assert asked == [expected]


def test_runs_go_where_the_active_configuration_puts_them(go):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        rows = go(run=lambda config: {"pid": os.getpid()}, n_jobs=None)
    assert {row.scores["pid"] for row in rows} == {os.getpid()}


def test_a_run_cannot_change_its_configuration(go):
    def changing(config):
        config["x"] = 7
        return third(config)

    configs = [{"x": 1}, {"x": 2}]
    assert [row.config for row in go(configs, run=changing)] == configs == [{"x": 1}, {"x": 2}]


# The results on disk


def test_each_run_has_a_file_that_holds_it_whole(go, folder):
    rows = go()
    files = results(folder)
    assert len(files) == len(list(folder.iterdir())) == 4
    saved = [json.loads(content) for content in files.values()]
    for row in rows:
        (match,) = [each for each in saved if each["config"] == row.config]
        assert match == vars(row)
    assert any(name.startswith("x_0.5-") for name in files)


def test_a_result_is_on_disk_before_the_next_run_starts(go, folder):
    def count(config):
        return {"finished": len(results(folder))}

    assert [row.scores["finished"] for row in go(run=count)] == [0, 1, 2, 3]


def test_a_finished_run_is_read_and_not_made_again(go, folder, notes):
    run = functools.partial(noted, notes)
    first = go(run=run)
    files = results(folder)
    second = go(run=run, n_jobs=2)
    assert table(first) == table(second)
    assert [vars(row) for row in first] == [vars(row) for row in second]
    assert results(folder) == files
    assert started(notes) == [-2, 0, 0.5, 3]


def test_a_longer_sweep_makes_only_the_runs_that_are_new(go, notes):
    run = functools.partial(noted, notes)
    go(CONFIGS[:2], run=run)
    assert [row.config for row in go(CONFIGS[::-1], run=run)] == CONFIGS[::-1]
    assert started(notes) == [-2, 0, 0.5, 3]


def test_a_run_whose_file_is_deleted_is_made_again(go, folder, notes):
    go()
    next(folder.glob("x_0.5-*")).unlink()
    go(run=functools.partial(noted, notes))
    assert started(notes) == [0.5]


def test_whole_numbers_tuples_and_the_order_of_names_make_no_other_configuration(go, notes):
    go([{"x": 1, "hidden": [64, 32.0]}])
    rows = go([{"hidden": (64.0, 32), "x": 1.0}], run=functools.partial(noted, notes))
    assert started(notes) == []
    assert rows[0].config == {"x": 1, "hidden": [64, 32]}


def test_configurations_whose_names_read_alike_have_files_of_their_own(go, folder):
    configs = [{"x": 1, "name": name} for name in ("a b", "a_b", "a/b", "β", "y" * 300, "y" * 301)]
    configs += [{"x": 1, "name": value} for value in ("1", 1, True, None, "true")]
    go(configs)
    assert len(results(folder)) == len(configs)


# Runs that fail


def fails_at_half(config):
    if config["x"] == 0.5:
        raise ArithmeticError("half of nothing")
    return third(config)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failed_run_is_named_and_the_others_are_finished(go, folder, notes, n_jobs):
    message = (
        r"1 of 4 runs failed; the others are finished, .* makes only these again\.\n"
        r"  \{'x': 0\.5\}: ArithmeticError: half of nothing"
    )
    with pytest.raises(RuntimeError, match=message) as error:
        go(run=fails_at_half, n_jobs=n_jobs)
    (note,) = error.value.__notes__
    assert "{'x': 0.5}\nTraceback" in note
    assert 'raise ArithmeticError("half of nothing")' in note
    assert len(results(folder)) == 3
    rows = go(run=functools.partial(noted, notes))
    assert [row.config for row in rows] == CONFIGS
    assert started(notes) == [0.5]


def test_all_failed_runs_are_listed(go, folder):
    with pytest.raises(RuntimeError, match="4 of 4 runs failed") as error:
        go([{"y": 1}, {"y": 2}, {"y": 3}, {"y": 4}], n_jobs=2)
    assert sorted(re.findall(r"'y': (\d)\}: KeyError: 'x'", str(error.value))) == list("1234")
    assert results(folder) == {}


class Unspeakable(Exception):
    """An exception that no process can send to another."""

    def __init__(self, one, two):
        super().__init__(threading.Lock())


def raises_unspeakable(config):
    raise Unspeakable(1, 2)


def test_an_exception_that_cannot_be_sent_is_told_all_the_same(go):
    with pytest.raises(RuntimeError, match=r"4 of 4 .*\n.*Unspeakable: <unlocked"):
        go(run=raises_unspeakable, n_jobs=2)


def test_a_run_that_leaves_the_program_fails_like_any_other(go):
    with pytest.raises(RuntimeError, match=r"4 of 4 runs failed(.|\n)*SystemExit: 3"):
        go(run=lambda config: sys.exit(3))


@pytest.mark.parametrize(
    "scores",
    [
        *(None, 1.0, [("a", 1.0)], {1: 1.0}, {"a": "1"}, {"a": True}, {"a": torch.tensor(1.0)}),
        *({"a": float("nan")}, {"a": float("inf")}),
    ],
    ids=repr,
)
def test_what_is_no_mapping_of_names_to_finite_numbers_is_a_failed_run(go, folder, scores):
    message = "a run must return names with finite numbers; found .* Turn a tensor into a number"
    with pytest.raises(RuntimeError, match=message):
        go(run=lambda config: scores)
    assert results(folder) == {}


def dies_at_half(config):
    if config["x"] == 0.5:
        os.kill(os.getpid(), signal.SIGKILL)
    return third(config)


def test_a_run_that_kills_its_process_is_named_and_the_others_are_finished(go, folder):
    message = (
        r"1 of 4 runs failed.*\n  \{'x': 0\.5\}: no worker brought it to its end: Terminated\w+:"
    )
    with pytest.raises(RuntimeError, match=message):
        go(run=dies_at_half, n_jobs=2)
    assert len(results(folder)) == 3
    assert [row.config for row in go()] == CONFIGS


# Sweeps that are stopped

SLOW = """
    import signal, sys, time
    from vae_helpers.sweep import sweep

    def run(config):
        time.sleep(0.05 if config["x"] < 3 else 100)
        return {"third": config["x"] / 3, "whole": config["x"]}

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
    configs = [{"x": x} for x in range(6)]
    sweep(configs, run=run, folder=sys.argv[1], n_jobs=int(sys.argv[2]), progress=False)
"""


@pytest.fixture
def stopped(python, folder):
    """Start a sweep whose fourth run does not end, stop it then; return what it told."""

    def run_and_stop(number: int, n_jobs: int) -> tuple[int, str]:
        with python(SLOW, folder, n_jobs) as process:
            deadline = time.monotonic() + 60
            while len(results(folder)) < 3 and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(0.1)
            process.send_signal(number)
            process.wait(timeout=60)
            return process.returncode, process.stderr.read() if number == signal.SIGINT else ""

    return run_and_stop


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_killed_sweep_loses_no_finished_run_and_goes_on(go, stopped, folder, notes, n_jobs):
    code, _ = stopped(signal.SIGKILL, n_jobs)
    assert code == -signal.SIGKILL
    before = results(folder)
    assert [json.loads(content)["config"]["x"] for content in sorted(before.values())] == [0, 1, 2]
    configs = [{"x": x} for x in range(6)]
    rows = go(configs, run=functools.partial(noted, notes))
    assert [row.scores["third"] for row in rows] == [x / 3 for x in range(6)]
    assert started(notes) == [3, 4, 5]
    assert before.items() <= results(folder).items()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_keeps_what_is_finished_and_says_so(go, stopped, folder, notes, n_jobs):
    code, err = stopped(signal.SIGINT, n_jobs)
    assert code == -signal.SIGINT, err
    assert "KeyboardInterrupt: 3 of 6 runs are finished, and kept in" in err
    assert "The same call goes on" in err
    assert "Warning" not in err
    go([{"x": x} for x in range(6)], run=functools.partial(noted, notes))
    assert started(notes) == [3, 4, 5]


def test_a_full_disk_stops_the_sweep_and_keeps_the_results(go, folder, full_disk):
    go(CONFIGS[:2])
    before = results(folder)
    with full_disk(), pytest.raises(OSError, match="cannot write the file") as error:
        go(CONFIGS, n_jobs=1)
    assert Path(error.value.filename).parent == folder
    assert results(folder) == before
    assert len(list(folder.iterdir())) == 2
    assert [row.config for row in go()] == CONFIGS


def test_a_full_disk_gives_up_the_runs_that_are_under_way_without_a_warning(
    go, folder, monkeypatch
):
    def refuse(path, content):
        raise OSError("full")

    monkeypatch.setattr(module, "write_atomically", refuse)
    start = time.monotonic()
    with pytest.raises(OSError, match="full"):
        go(run=lambda config: time.sleep(100 * (config["x"] < 3)) or third(config), n_jobs=2)
    assert time.monotonic() - start < 60


# On a cluster


@contextlib.contextmanager
def local_cluster(workers: int):
    """A scheduler and worker processes of one thread each; a nanny restarts one that dies."""
    from dask.distributed import Client, LocalCluster  # not for every process that imports this

    options = {"threads_per_worker": 1, "dashboard_address": ":0"}  # a port that is free
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as client:
        yield client


@pytest.fixture
def on_cluster(cluster):
    """Sweeps go to the cluster; one that would wait for ever is an error after two minutes."""

    def give_up(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(120)
    try:
        with joblib.parallel_config(backend="dask"):
            yield cluster
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_cluster_that_loses_a_worker_gives_the_same_table(go, on_cluster, tmp_path):
    pids = set(on_cluster.run(os.getpid).values())
    assert len(pids) == 2
    killed = tmp_path / "killed"

    def once_killed(config):
        if config == TRAININGS[3] and not killed.exists():
            killed.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return training(config)

    rows = go(TRAININGS, run=once_killed, n_jobs=None)
    assert int(killed.read_text()) in pids
    alone = go(TRAININGS, run=training, folder=tmp_path / "alone")
    assert table(rows) == table(alone)
    assert len(results(tmp_path / "alone")) == 6


def test_runs_on_a_cluster_are_spread_over_its_workers_and_written_here(go, on_cluster, folder):
    def slowly(config):
        time.sleep(0.2)
        return {"pid": os.getpid(), "written": len(list(Path(folder).glob("*.json")))}

    on_cluster.wait_for_workers(2)
    rows = go(run=slowly, n_jobs=None)
    pids = {row.scores["pid"] for row in rows}
    assert pids == set(on_cluster.run(os.getpid).values())
    assert os.getpid() not in pids
    assert {row.scores["written"] for row in rows} != {0}, "written only at the end"


def test_a_failed_run_on_a_cluster_is_named_and_the_others_are_finished(go, on_cluster, folder):
    with pytest.raises(RuntimeError, match=r"1 of 4(.|\n)*\{'x': 0\.5\}: ArithmeticError: half"):
        go(run=fails_at_half)
    assert len(results(folder)) == 3


def test_a_run_that_kills_every_worker_is_named_and_the_others_are_finished(go, on_cluster, folder):
    def allow(failures, dask_scheduler=None):
        dask_scheduler.allowed_failures, before = failures, dask_scheduler.allowed_failures
        return before

    before = on_cluster.run_on_scheduler(allow, 0)
    try:
        message = r"1 of 4 .*\n  \{'x': 0\.5\}: no worker brought it to its end: KilledWorker"
        with pytest.raises(RuntimeError, match=message):
            go(run=dies_at_half)
    finally:
        on_cluster.run_on_scheduler(allow, before)
    assert len(results(folder)) == 3
    assert [row.config for row in go()] == CONFIGS


def explode():
    raise ImportError("no such module on this worker")


class Unloadable:
    """A run that can be sent, but that no worker can load."""

    def __reduce__(self):
        return explode, ()

    def __call__(self, config):
        return third(config)


def test_what_no_worker_can_load_is_an_error_and_no_wait_for_ever(go, on_cluster):
    with pytest.raises(
        RuntimeError, match=r"4 of 4 runs failed(.|\n)*no worker brought it to its end"
    ):
        go(run=Unloadable())


def test_a_cluster_of_one_worker_does_the_work_itself(go):
    with local_cluster(1), joblib.parallel_config(backend="dask"):
        rows = go(run=lambda config: {"pid": os.getpid()}, n_jobs=None)
    assert len({row.scores["pid"] for row in rows} - {os.getpid()}) == 1


# What is refused before any run


@pytest.fixture
def refused(go, folder, notes):
    """Claim that a sweep is refused, that no run was started and that no file was changed."""

    def check(error: type[Exception], match: str, configs=CONFIGS, **options) -> None:
        files = results(folder)
        with pytest.raises(error, match=match):
            go(configs, **({"run": functools.partial(noted, notes)} | options))
        assert started(notes) == []
        assert results(folder) == files

    return check


@pytest.mark.parametrize("configs", [[], (), {}])
def test_a_sweep_of_nothing_is_refused(refused, configs):
    refused(ValueError, r"at least one configuration; found none\. Pass a list", configs)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"x": 1, "hidden": (64, 32)}, {"hidden": [64, 32], "x": 1}),
        ({"x": 1}, {"x": 1.0}),
        ({"x": 0}, {"x": -0.0}),
        ({}, {}),
    ],
)
def test_two_configurations_alike_are_refused(refused, first, second):
    message = r"must be another; found \{.*\} at places 1 and 2\. Remove one"
    refused(ValueError, message, [{"x": 7}, first, second])


@pytest.mark.parametrize("config", ["x", 1, None, [("x", 1)], {1: 2}])
def test_a_configuration_that_is_no_mapping_of_names_is_refused(refused, config):
    message = r"must map names to values; found .* at place 1\. Pass a list of mappings"
    refused(ValueError, message, [{"x": 7}, config])


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), torch.ones(2), {1, 2}, b"x", 1j, [1, object()]],
    ids=lambda value: type(value).__name__,
)
def test_a_configuration_that_json_cannot_hold_is_refused(refused, value):
    message = r"must hold what JSON can: (.|\n)* at place 0 (.|\n)*tolist\(\)"
    refused(ValueError, message, [{"x": value}])


@pytest.mark.parametrize("n_jobs", [0, 1.0, "2", True])
def test_a_number_of_jobs_that_is_none_is_refused(refused, n_jobs):
    refused(
        ValueError, r"n_jobs must be a whole number other than 0; found .*\. Use 1", n_jobs=n_jobs
    )


def test_a_run_that_does_not_pickle_is_refused(refused):
    lock = threading.Lock()

    def locked(config):
        with lock:
            return third(config)

    message = r"run must be a function that pickles, .* found .*locked.*\. Open files and make"
    refused(ValueError, message, run=locked)


@pytest.mark.parametrize("place", ["file", "under a file", "/proc/sweep"])
def test_a_folder_that_cannot_be_written_to_is_refused(refused, tmp_path, place):
    (tmp_path / "file").write_text("somebody's letter")
    folder = {"file": tmp_path / "file", "under a file": tmp_path / "file" / "sweep"}.get(
        place, place
    )
    message = r"cannot keep results: expected a folder .*, found '.*'; no run was started\. Repair"
    refused(OSError, message, folder=folder)
    assert (tmp_path / "file").read_text() == "somebody's letter"


@pytest.mark.parametrize(
    "content",
    [
        lambda old: b"somebody's letter",
        lambda old: b"\xff\xfe",
        lambda old: b"",
        lambda old: b"[]",
        lambda old: b"{}",
        lambda old: old[: len(old) // 2],
        lambda old: old.replace(b"0.5", b"0.25"),
        lambda old: old.replace(b'"third"', b"3"),
        lambda old: old.replace(b'"whole": 0', b'"whole": NaN'),
        lambda old: old.replace(b'"seconds"', b'"hours"'),
    ],
)
def test_a_file_that_the_sweep_did_not_write_is_refused_and_left(refused, go, folder, content):
    go()
    path = next(folder.glob("x_0.5-*"))
    changed = content(path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    message = r"is no result of this sweep: expected the run of \{'x': 0\.5\} .* found .* Delete it"
    refused(ValueError, message, [*CONFIGS, {"x": 8}])


def test_other_files_in_the_folder_are_left_alone(go, folder):
    folder.mkdir(parents=True)
    (folder / "letter.json").write_text("somebody's")
    go()
    assert (folder / "letter.json").read_text() == "somebody's"


# The bar


@pytest.mark.parametrize(
    ("progress", "environment", "shown"),
    [(True, None, True), (False, None, False), (True, "1", False), (False, "1", False)],
)
def test_the_bar_shows_only_where_nobody_hides_it(
    go, capsys, monkeypatch, progress, environment, shown
):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    if environment:
        monkeypatch.setenv("TQDM_DISABLE", environment)
    go(progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("Sweep: 100%" in err and "4/4" in err) is shown
    assert bool(err) is shown


def test_the_bar_starts_at_what_is_finished_and_counts_what_failed(go, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    go(CONFIGS[2:], progress=False)
    with pytest.raises(RuntimeError):
        go(run=fails_at_half, progress=True)
    err = capsys.readouterr().err
    assert "50%" in err
    assert " 0%" not in err
    assert "4/4" in err
    assert "failed=1" in err
