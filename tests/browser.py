"""A real browser for the tests: found on the machine or installed, and what it saw of a page."""

import gzip
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "microsoft-edge-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NO_BROWSER = (
    "These tests need a Chromium browser, and none could be found or installed: "
    "install chromium, or name one in the environment variable CHROMIUM."
)
NO_DRIVER = (
    "These tests need Playwright's driver, which `python -m playwright --version` starts, and it "
    "does not start: {}\n"
    "Install what it lacks; libatomic.so.1 is in the package libatomic1 of Debian and Ubuntu."
)
MINUTES = 60  # seconds


def runs(program: str) -> bool:
    """Whether this is a browser that starts; a distribution's placeholder does not."""
    return not failure(program, "--version")


def failure(*command: str, seconds: float = MINUTES) -> str:
    """Run a command; what went wrong, with the last that it said, or nothing."""
    # Its words go to a file: a pipe would be waited for as long as a process left behind holds it.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
        streams = {"stdin": subprocess.DEVNULL, "stdout": words, "stderr": subprocess.STDOUT}
        try:
            code = subprocess.run(command, **streams, timeout=seconds).returncode
            wrong = f"ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            wrong = f"did not end in {seconds:g} seconds"
        except OSError as error:
            wrong = f"did not start ({error})"
        words.seek(0)
        last = [line.rstrip() for line in words if line.strip()][-8:]
    return wrong and "\n  ".join([f"`{' '.join(command)}` {wrong}:", *last])


def driver() -> str:
    """Why Playwright's driver does not start, or nothing."""
    return failure(sys.executable, "-m", "playwright", "--version")


def of_the_system() -> str | None:
    """The first browser of `NAMES` that starts."""
    found = (shutil.which(name) for name in NAMES)
    return next((program for program in found if program and runs(program)), None)


def of_playwright() -> str | None:
    """The browser that `playwright install chromium` leaves, where it did."""
    with sync_playwright() as playwright:
        program = playwright.chromium.executable_path
    return program if runs(program) else None


def user() -> int | None:
    """The number of the user; Windows has none."""
    return os.geteuid() if hasattr(os, "geteuid") else None


def by_apt(*packages: str) -> str:
    """Install packages of the distribution, where that is allowed; return what went wrong."""
    if not shutil.which("apt-get") or user() != 0:
        return ""
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q")
    install = (*apt, "install", "-y", "--no-install-recommends", *packages)
    return failure(*apt, "update", seconds=10 * MINUTES) or failure(*install, seconds=10 * MINUTES)


def by_playwright() -> str:
    """Download Playwright's Chromium into the user's cache; return what went wrong."""
    command = (sys.executable, "-m", "playwright", "install", "chromium")
    return failure(*command, seconds=10 * MINUTES)


@cache
def search() -> tuple[str, str]:
    """The path of a Chromium that runs, or why there is none: looked for once, found or not."""
    named = os.environ.get("CHROMIUM")
    if named and not runs(named):
        return "", f"CHROMIUM names {named}, which is not a browser that runs."
    # One process at a time, of those that this user has: apt refuses to run twice.
    with FileLock(Path(tempfile.gettempdir(), f"browser-of-the-tests-{user()}.lock")):
        wrong = []
        if lacks := driver():
            wrong.append(by_apt("libatomic1"))
            lacks = driver()
        if lacks:
            return "", "\n".join([NO_DRIVER.format(lacks), *filter(None, wrong)])
        found = named or of_the_system() or of_playwright()
        if not found:
            wrong.append(by_apt("chromium", "chromium-sandbox"))
            found = of_the_system()
        if not found:
            wrong.append(by_playwright())
            found = of_playwright()
    return found or "", "" if found else "\n".join([NO_BROWSER, *filter(None, wrong)])


def chromium() -> str:
    """The path of a Chromium that runs, with a driver that does.

    Raises:
        RuntimeError: there is none, and none could be installed.
    """
    found, why = search()
    if not found:
        raise RuntimeError(why)
    return found


def arguments() -> list[str]:
    """What a browser is started with; its sandbox does not start for root."""
    return [*ARGUMENTS, "--no-sandbox"] if user() == 0 else ARGUMENTS


@contextmanager
def started() -> Iterator[Browser]:
    """A browser, closed at the end. Each thread that wants one starts its own."""
    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments())
        yield browser
        browser.close()


TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ipynb": "application/json",
    ".json": "application/json",
}


@cache
def sent(path: Path) -> bytes:
    """The bytes that a static host sends for this file: text is compressed."""
    content = path.read_bytes()
    return gzip.compress(content, 6, mtime=0) if path.suffix in TYPES else content


class StaticHost(http.server.SimpleHTTPRequestHandler):
    """Serves files as GitHub Pages does: compressed, and asked for again at every visit."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path /= "index.html"
        if not path.is_file():
            self.send_error(404)
            return
        body = sent(path)
        self.send_response(200)
        self.send_header("Content-Type", TYPES.get(path.suffix) or self.guess_type(str(path)))
        if path.suffix in TYPES:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of this folder, on a free port of this machine alone."""

    def handler(*arguments: object) -> StaticHost:
        return StaticHost(*arguments, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.block_on_close = False  # a browser keeps its connections
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def until(tab: Page, condition: str, seconds: float = 20.0) -> None:
    """Wait for a condition in the page; Playwright's own wait needs eval, which pages forbid."""
    deadline = time.monotonic() + seconds
    while not tab.evaluate(condition):
        assert time.monotonic() < deadline, f"never came true: {condition}"
        tab.wait_for_timeout(20)  # ms


class Log:
    """What a tab asked for and complained of, since the last `clear`."""

    def __init__(self, tab: Page):
        self.complaints: list[str] = []
        self.requests: list[str] = []
        tab.on("console", self._says)
        tab.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        tab.on("request", lambda request: self.requests.append(request.url))
        tab.on("requestfailed", self._fails)
        tab.on("response", self._is_answered)

    def _says(self, message: object) -> None:
        if message.type in ("error", "warning", "assert"):  # the theme also logs what it does
            self.complaints.append(f"console: {message.text}")

    def _fails(self, request: object) -> None:
        if request.failure != "net::ERR_ABORTED":  # who leaves a page breaks off what it loads
            self.complaints.append(f"no answer: {request.url} {request.failure}")

    def _is_answered(self, response: object) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def foreign(self, address: str) -> list[str]:
        """The requests that leave the site at this address."""
        own = (f"{address}/", "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]

    def clear(self) -> None:
        """Forget."""
        self.complaints.clear()
        self.requests.clear()
