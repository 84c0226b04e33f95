"""Claims about `pages/execute.py`, on tiny chapters in a folder of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import execute
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


@pytest.fixture
def write(tmp_path):
    """Write a chapter of these code cells; return its path."""

    def write_chapter(name: str, *sources: str) -> Path:
        cells = [new_markdown_cell("# A chapter"), *map(new_code_cell, sources)]
        nbformat.write(new_notebook(cells=cells), tmp_path / name)
        return tmp_path / name

    return write_chapter


def outputs(path: Path) -> list:
    cells = nbformat.read(path, as_version=4).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


def test_a_second_run_changes_no_byte(write, tmp_path, capsys):
    sources = "import sys", "for i in range(3):\n    print(i)\n    sys.stdout.flush()", "1 + 1"
    path = write("01_a.ipynb", *sources)
    assert execute.main([], tmp_path) == 0
    first = path.read_bytes()
    modified = path.stat().st_mtime_ns
    assert execute.main([], tmp_path) == 0
    assert path.read_bytes() == first
    assert path.stat().st_mtime_ns == modified, "an unchanged chapter was written again"
    assert capsys.readouterr().out.count("unchanged") == 1


def test_what_a_run_leaves_behind_is_removed_and_what_the_author_wrote_is_kept(write, tmp_path):
    path = write("01_a.ipynb", "print(2)")
    notebook = nbformat.read(path, as_version=4)
    ids = [cell.id for cell in notebook.cells]
    notebook.metadata.language_info = {"name": "python", "version": "3.9.1"}
    notebook.metadata.widgets = {execute.WIDGET_STATE: {"state": {}}}  # of a widget that is gone
    notebook.cells[1].metadata = {
        "tags": ["hide-input"],
        "execution": {"iopub.execute_input": "2020-01-01T00:00:00Z"},
    }
    nbformat.write(notebook, path)
    assert execute.main(["01"], tmp_path) == 0
    after = nbformat.read(path, as_version=4)
    assert [cell.id for cell in after.cells] == ids
    assert after.cells[1].metadata == {"tags": ["hide-input"]}
    assert after.cells[1].execution_count == 1
    assert after.metadata.keys() == {"kernelspec", "language_info"}
    assert after.metadata.kernelspec == execute.KERNELSPEC
    assert "version" not in after.metadata.language_info


def test_a_widget_keeps_its_state_under_a_name_that_is_not_random_and_without_its_code(
    write, tmp_path
):
    source = "from vae_helpers.explorer.latent import LatentCanvas\nLatentCanvas(limit=2)"
    path = write("01_a.ipynb", source)
    assert execute.main([], tmp_path) == 0
    first = path.read_bytes()
    (output,) = outputs(path)
    identity = output.data["application/vnd.jupyter.widget-view+json"]["model_id"]
    states = nbformat.read(path, as_version=4).metadata.widgets[execute.WIDGET_STATE].state
    assert list(states) == [f"model-{index}" for index in range(len(states))]
    canvas = states[identity].state
    assert (canvas.limit, canvas._esm, canvas._css) == (2, execute.NOT_YET_RUN, "")
    assert canvas.layout in {f"IPY_MODEL_{name}" for name in states}
    assert execute.main([], tmp_path) == 0
    assert path.read_bytes() == first


def test_a_chapter_runs_in_its_own_folder_without_progress_bars(write, tmp_path):
    source = "from tqdm import tqdm\nfor line in tqdm(open('beside.txt')):\n    print(line)"
    path = write("01_a.ipynb", source)
    (tmp_path / "beside.txt").write_text("found")
    assert execute.main([], tmp_path) == 0
    assert [output.text for output in outputs(path)] == ["found\n"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\nraise ValueError('too small')", "cell 3 ('x = 1') raised ValueError: too small"),
        ("import warnings\nwarnings.warn('old')", "cell 3 ('import warnings') wrote to stderr: "),
        ("import os\nos._exit(1)", "the kernel died"),
    ],
)
def test_a_failing_chapter_stays_as_it_was_and_is_named(write, tmp_path, capsys, source, said):
    good, path = write("01_a.ipynb", "1 + 1"), write("07_b.ipynb", "y = 2", source)
    before = path.read_bytes()
    assert execute.main([], tmp_path) == 1
    assert outputs(good), "chapters before it are kept"
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [good, path]
    message = capsys.readouterr().err
    assert "07_b.ipynb" in message
    assert said in message


@pytest.mark.parametrize("name", ["08", "8", "08_network", "notebooks/08_network.ipynb"])
def test_a_chapter_is_found_by_number_and_by_name(write, tmp_path, name):
    path = write("08_network.ipynb", "1")
    write("09_training.ipynb", "1")
    assert execute.select([name], tmp_path) == [path]


def test_an_unknown_chapter_is_one_error_that_lists_what_exists(write, tmp_path, capsys):
    path = write("08_network.ipynb", "1")
    before = path.read_bytes()
    assert execute.main(["08", "12"], tmp_path) == 1
    assert "'12'" in (message := capsys.readouterr().err)
    assert "08_network" in message
    assert path.read_bytes() == before


def test_a_chapter_that_was_edited_while_it_ran_is_not_overwritten(write):
    path = write("01_a.ipynb", "1")
    edited = path.read_bytes()
    with pytest.raises(execute.ChapterError, match="changed while it ran"):
        execute.replace(path, before=b"as it was", after=b"as it came out")
    assert path.read_bytes() == edited
    assert [p.name for p in path.parent.iterdir()] == ["01_a.ipynb"]


def test_ctrl_c_leaves_the_chapter_as_it_was_and_no_kernel_behind(write, tmp_path):
    mark = tmp_path / "started"
    source = f"import os, time\nprint(open({str(mark)!r}, 'w').write(str(os.getpid())))"
    path = write("01_a.ipynb", source + "\ntime.sleep(600)")
    before = path.read_bytes()
    code = "import signal, sys, execute; from pathlib import Path; "
    code += "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a parent may ignore it
    code += "sys.exit(execute.main([], Path('.')))"
    folder = Path(execute.__file__).parent
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: mark.exists() and mark.read_text())
        run.send_signal(signal.SIGINT)
        _, message = run.communicate(timeout=60)
        assert run.returncode == 130
        assert "Stopped" in message
        assert "Traceback" not in message
        assert path.read_bytes() == before
        wait_until(lambda: not alive(int(mark.read_text())))
    finally:  # what a failure would leave behind would disturb other tests
        run.kill()
        run.communicate()
        if mark.exists() and (kernel := mark.read_text()) and alive(int(kernel)):
            os.kill(int(kernel), signal.SIGKILL)


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
