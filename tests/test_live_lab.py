"""Claims about the explorer in JupyterLab: what a hand does there, the kernel knows, and back."""

import ast
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import torch
from built_site import ROOT
from execute import KERNEL_ENVIRONMENT, KERNELSPEC
from live_widgets import GREYS, TWO_FRAMES, check_digit, numbers, rounded_vae
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, expect

TOKEN = secrets.token_hex()
PATIENCE = 120_000  # ms; a kernel that loads torch on a busy machine is slow


def short_chapter() -> nbformat.NotebookNode:
    """The cells of chapter 11 that the explorer needs, as they are but for a figure."""
    chapter = nbformat.read(ROOT / "notebooks" / "11_generation.ipynb", as_version=4)
    sources = [cell.source for cell in chapter.cells if cell.cell_type == "code"]
    imports, load = sources[:2]
    (start,) = (source for source in sources if source.startswith("z = vae.encode"))
    (explorer,) = (source for source in sources if source.startswith("explorer = LatentExplorer("))
    short = [imports, load, start.splitlines()[0], explorer]
    cells = [new_code_cell(source) for source in short]
    return new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})


def ask(address: str, path: str, method: str = "GET") -> bytes:
    """What the server answers."""
    headers = {"Authorization": f"token {TOKEN}"}
    request = urllib.request.Request(f"{address}/{path}", headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def address_of(process: subprocess.Popen, runtime: Path, log: Path) -> str:
    """Where the server listens; it chooses a free port itself, and writes it down."""
    deadline = time.monotonic() + 120
    while not (found := list(runtime.glob("jpserver-*.json"))):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return json.loads(found[0].read_text())["url"].rstrip("/")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab with the short chapter, and with no settings but its own."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    (folder / "data").symlink_to(ROOT / "data")
    nbformat.write(short_chapter(), folder / "notebooks" / "short.ipynb")
    own = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {f"JUPYTERLAB_{n}_DIR": str(folder / n) for n in ("SETTINGS", "WORKSPACES")}
    own |= {"IPYTHONDIR": str(folder / "IPYTHON"), "JUPYTER_TOKEN": TOKEN}
    log = folder / "log"
    with log.open("w") as words:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
                f"--ServerApp.root_dir={folder}",
            ],
            env=os.environ | KERNEL_ENVIRONMENT | own,
            stdout=words,
            stderr=words,
        )
    try:
        address = address_of(process, folder / "RUNTIME", log)
        yield address
        for kernel in json.loads(ask(address, "api/kernels")):
            ask(address, f"api/kernels/{kernel['id']}", "DELETE")
        ask(address, "api/shutdown", "POST")
        assert process.wait(timeout=60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


class Chapter:
    """The short chapter, open in JupyterLab with all of its cells run."""

    def __init__(self, tab: Page, address: str):
        self.tab, self.vae = tab, rounded_vae()
        tab.set_default_timeout(PATIENCE)
        tab.goto(f"{address}/lab/tree/notebooks/short.ipynb?token={TOKEN}")
        # Before the kernel is ready, JupyterLab drops what it is told to run.
        expect(tab.get_by_role("button", name="| Idle")).to_be_visible(timeout=PATIENCE)
        self.cells = tab.locator(".jp-CodeCell")
        tab.get_by_role("menuitem", name="Run", exact=True).click()
        tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.digit = tab.locator("canvas.live-digit")
        self.digit.wait_for()
        assert tab.locator(".jp-OutputArea-output[data-mime-type*=stderr]").count() == 0

    def point(self) -> list[float]:
        """The latent point: the sliders show it, and the digit is torch's."""
        self.tab.evaluate(TWO_FRAMES)
        shown = self.tab.locator(".widget-readout").all_inner_texts()
        z = [float(text.replace("−", "-")) for text in shown]
        handles = self.tab.locator(".noUi-handle").all()
        assert len(z) == 4
        for handle, value in zip(handles, z, strict=True):
            # ipywidgets says it with one digit.
            assert float(handle.get_attribute("aria-valuenow")) == pytest.approx(value, abs=0.051)
        assert numbers(self.digit.get_attribute("aria-label")) == z
        check_digit(self.vae, z, torch.tensor(self.digit.evaluate(GREYS)))
        return z

    def run(self, source: str) -> str:
        """Write this into a new last cell, run it, and return what it printed."""
        count = self.cells.count()
        self.cells.last.locator(".jp-InputPrompt").click()
        self.tab.keyboard.press("b")
        expect(self.cells).to_have_count(count + 1)
        cell = self.cells.last
        cell.locator(".cm-content").click()
        self.tab.keyboard.insert_text(source)
        self.tab.keyboard.press("Control+Enter")
        expect(cell.locator(".jp-InputPrompt")).to_have_text(f"[{count + 1}]:")
        return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts()).strip()


def test_the_kernel_has_the_z_of_the_sliders_and_sets_it(lab, open_tab):
    tab, log = open_tab()
    chapter = Chapter(tab, lab)
    start = chapter.point()
    assert ast.literal_eval(chapter.run("explorer = _\nexplorer.z")) == start

    handle = tab.locator(".noUi-handle").nth(1)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - 80, y, steps=8)
    tab.mouse.up()
    dragged = chapter.point()
    assert dragged[1] < start[1] - 0.3
    assert [dragged[0], *dragged[2:]] == [start[0], *start[2:]]
    assert ast.literal_eval(chapter.run("explorer.z")) == dragged

    tab.get_by_role("button", name="Mean of the digit 3").click()
    mean = chapter.point()
    assert mean != dragged
    assert ast.literal_eval(chapter.run("explorer.z")) == mean

    assert chapter.run("explorer.z = [0.5, 0, -1, 2.25]") == ""
    expect(tab.locator(".widget-readout").last).to_have_text("2.25")
    assert chapter.point() == [0.5, 0, -1, 2.25]
    assert "ValueError: z must" in chapter.run("explorer.z = [9, 0, 0, 0]")
    assert chapter.point() == [0.5, 0, -1, 2.25]
    assert [text for text in log.complaints if text.startswith("error: ")] == []
