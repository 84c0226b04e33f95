"""Re-execute chapters in place, so that a diff shows what the author did and nothing else.

    python pages/execute.py          all chapters, one after another
    python pages/execute.py 08 09    these

A chapter runs in a fresh kernel in its own folder. The state of live widgets is kept in the
metadata of the notebook, for its page. The file is replaced in one step and only
when a byte changed; on an error, on anything written to stderr, and on Ctrl-C it stays as it was.
"""

import asyncio
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from traitlets.config import Config

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"

KERNEL_ENVIRONMENT = {
    "TQDM_DISABLE": "1",  # a stored bar stays stuck at 0 %
    # Two threads that wait for each other crawl on a busy machine; who wants more says so.
    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # silences the debugger's word about frozen modules
}
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
NOT_YET_RUN = (
    'export default { render({ el }) { el.textContent = "Run this cell, and it moves."; } };'
)
TRACES_OF_A_RUN = ("execution", "ExecuteTime", "papermill", "collapsed", "scrolled")


@cache
def font_cache() -> str:
    """A folder of this run with matplotlib's list of fonts, made before a kernel needs it.

    The user's list may be stale; then, or while a kernel makes one, matplotlib writes to stderr.
    """
    folder = tempfile.mkdtemp(prefix="matplotlib-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [sys.executable, "-c", "import matplotlib.font_manager"]
    environment = os.environ | {"MPLCONFIGDIR": folder}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder


class ChapterError(Exception):
    """A chapter that cannot be re-executed; the message names it, the cell, and what happened."""


def select(names: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """The chapters of these numbers ("08", "8") or names, in reading order; without any, all.

    Raises:
        ChapterError: a name matches no chapter; the message lists those that exist.
    """
    chapters = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    chosen = set() if names else set(chapters)
    for name in names:
        wanted = name.removesuffix(".ipynb").rsplit("/", 1)[-1]
        found = [c for c in chapters if wanted in {c.stem, c.stem[:2], c.stem[:2].lstrip("0")}]
        if not found:
            existing = ", ".join(c.stem for c in chapters) or "none"
            raise ChapterError(f"There is no chapter {name!r}. There are: {existing}.")
        chosen.update(found)
    return sorted(chosen)


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Remove what a run leaves behind that is not the author's: times, random ids, versions."""
    for key in TRACES_OF_A_RUN:
        notebook.metadata.pop(key, None)
    notebook.metadata.kernelspec = KERNELSPEC
    notebook.metadata.get("language_info", {}).pop("version", None)
    for cell in notebook.cells:
        for key in TRACES_OF_A_RUN:
            cell.metadata.pop(key, None)


def tidy_widgets(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Name the stored widgets model-0, model-1, … and not at random, and store no code of theirs.

    A page has the code in its script, and a kernel sends it: stored, it would only grow old. What
    JupyterLab needs before the cell is run is one line.
    """
    stored = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {"state": {}})
    for model in stored["state"].values():
        if "_esm" in model["state"]:
            model["state"] |= {"_esm": NOT_YET_RUN, "_css": ""}
    text = nbformat.writes(notebook, version=4)
    for index, identity in enumerate(stored["state"]):
        text = text.replace(identity, f"model-{index}")
    return nbformat.reads(text, as_version=4)


def execute(path: Path) -> bytes:
    """The chapter's file as it reads after a run in a fresh kernel; writes nothing.

    Raises:
        ChapterError: a cell raised or wrote to stderr, or the kernel died.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    client = NotebookClient(
        notebook,
        timeout=None,
        iopub_timeout=600,  # seconds; after four, outputs that are late would be left out
        raise_on_iopub_timeout=True,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=True,
        coalesce_streams=True,  # how prints were cut into messages depends on the machine's mood
        config=Config(KernelManager={"transport_encryption": "auto"}),  # else the kernel complains
    )
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    environment |= KERNEL_ENVIRONMENT | {"MPLCONFIGDIR": font_cache()}
    try:
        with suppress(CellExecutionError):  # its cell holds it
            run(client, environment)
    except DeadKernelError:
        raise ChapterError(f"{path.name}: the kernel died while it ran.") from None
    for index, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                wrong = f"raised {output.ename}: {output.evalue}"
            elif output.get("name") == "stderr":
                wrong = f"wrote to stderr: {output.text.strip()}"
            else:
                continue
            first_line = cell.source.strip().splitlines()[0]
            raise ChapterError(f"{path.name}, cell {index} ({first_line!r}) {wrong}")
    normalise(notebook)
    return (nbformat.writes(tidy_widgets(notebook), version=4) + "\n").encode()


def run(client: NotebookClient, environment: dict[str, str]) -> None:
    """Execute in a thread: in the main one nbclient takes Ctrl-C for itself, and stumbles."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(asyncio.run, client.async_execute(env=environment))
        try:
            running.result()
        except KeyboardInterrupt:
            while not running.done():
                kernel = getattr(getattr(client.km, "provisioner", None), "process", None)
                if kernel is not None:
                    kernel.kill()
                wait([running], timeout=0.1)  # seconds
            atexit.unregister(client._cleanup_kernel)  # else nbclient 0.11 trips over it at exit
            raise


def replace(path: Path, before: bytes, after: bytes) -> None:
    """Replace the file in one step, unless someone else changed it since `before` was read."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(after)
        shutil.copymode(path, part)
        if path.read_bytes() != before:
            raise ChapterError(f"{path.name} was changed while it ran; it is kept as it is now.")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def main(names: list[str], folder: Path = NOTEBOOKS) -> int:
    """Re-execute the named chapters; return the exit status."""
    try:
        for path in select(names, folder):
            print(f"{path.name} … ", end="", flush=True)
            started, before = time.monotonic(), path.read_bytes()
            after = execute(path)
            if after != before:
                replace(path, before, after)
            state = "unchanged" if after == before else "changed"
            print(f"{state}, {time.monotonic() - started:.0f} s")
    except ChapterError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped: the chapter that was running is as it was.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
