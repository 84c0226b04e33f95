"""Claims about the explorer in JupyterLab: it moves, and the kernel reads and sets its z."""

import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from built_site import ROOT
from execute import KERNEL_ENVIRONMENT, KERNELSPEC
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

MINUTE = 60_000  # ms; a kernel that loads torch on a busy machine is slow


def short_chapter() -> nbformat.NotebookNode:
    """The cells of chapter 11 that lead to the explorer, and two in which the kernel uses it."""
    chapter = nbformat.read(ROOT / "notebooks" / "11_generation.ipynb", as_version=4)
    sources = [cell.source for cell in chapter.cells if cell.cell_type == "code"]
    (shown,) = (source for source in sources if source.startswith("LatentExplorer("))
    (start,) = (source for source in sources if source.startswith("z = vae.encode"))
    sources = [
        *sources[:2],
        start.splitlines()[0],
        f"explorer = {shown}\nexplorer",
        "print('kernel:', [round(value, 2) for value in explorer.z])",
        "explorer.z = [1, -1, 2, 0.25]",
    ]
    return new_notebook(
        cells=[new_code_cell(source) for source in sources], metadata={"kernelspec": KERNELSPEC}
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of the short chapter in a JupyterLab with settings of its own."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    (folder / "data").symlink_to(ROOT / "data")
    nbformat.write(short_chapter(), folder / "notebooks" / "short.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex()
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *(f"--port={port}", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"),
        f"--IdentityProvider.token={token}",
    ]
    own = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, env=os.environ | KERNEL_ENVIRONMENT | own, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api/status?token={token}", folder / "log", server)
        yield f"{address}/lab/tree/notebooks/short.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(timeout=60)


def wait_for(address: str, log: Path, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


def test_a_drag_reaches_the_kernel_and_the_kernel_moves_the_digit(lab, open_tab):
    tab, log = open_tab()
    tab.set_default_timeout(2 * MINUTE)
    tab.goto(lab)
    cells = tab.locator(".jp-CodeCell")
    expect(cells).to_have_count(6, timeout=2 * MINUTE)
    # Before the kernel is ready, JupyterLab drops what it is told to run.
    expect(tab.get_by_role("button", name="| Idle")).to_be_visible(timeout=2 * MINUTE)
    digit = tab.locator("canvas.live-digit")

    def shown() -> list[float]:
        words = digit.get_attribute("aria-label").replace("−", "-")
        return [float(number) for number in re.findall(r"-?\d+\.\d+", words)]

    def run(index: int) -> None:
        cells.nth(index).locator(".cm-content").click()
        tab.keyboard.press("Control+Enter")

    def kernel_agrees() -> None:
        """The kernel says the point that the picture is of."""
        said = cells.nth(4).locator(".jp-OutputArea-output").last
        deadline = time.monotonic() + 60
        while True:
            run(4)
            tab.wait_for_timeout(500)  # ms
            if said.count() and said.inner_text().strip() == f"kernel: {shown()}":
                return
            assert time.monotonic() < deadline, f"{said.inner_text()}, and the picture {shown()}"

    for index in range(4):
        run(index)
    expect(digit).to_be_visible(timeout=MINUTE)
    kernel_agrees()
    start = shown()

    handle = tab.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - 120, y, steps=10)
    tab.mouse.up()
    kernel_agrees()
    assert shown()[0] < start[0] - 0.5
    assert shown()[1:] == start[1:]

    tab.get_by_role("button", name="Mean of the digit 3").click()
    kernel_agrees()
    assert len(set(map(str, [start, shown()]))) == 2

    run(5)
    kernel_agrees()
    assert shown() == [1, -1, 2, 0.25]
    readouts = tab.locator(".widget-readout").all_inner_texts()
    assert [text.replace("−", "-") for text in readouts] == ["1.00", "-1.00", "2.00", "0.25"]
    assert [text for text in log.complaints if "error" in text.lower()] == []
