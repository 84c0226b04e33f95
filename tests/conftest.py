"""What several test files share."""

import contextlib
import os
import resource
import subprocess
import sys
import textwrap
from collections import Counter

import browser as browsers
import pytest
import torch
from browser import Log
from built_site import Site, build_book
from filelock import FileLock
from hypothesis import settings
from playwright.sync_api import Browser, Page

# The same examples on every machine and in every run, and no verdict that hangs on its speed.
settings.register_profile("book", derandomize=True, deadline=None)
settings.load_profile("book")

# Tensors this small gain nothing from a second thread, and wait for it long on a busy machine.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))


# Two workers end together where what takes longest starts first: these files, then the chapters.
LONGEST = (
    "test_pages.py",
    "15_where_the_gap_comes_from.ipynb",
    "09_training.ipynb",
    "test_live_browser.py",
    "test_sweep.py",
)


def pytest_collection_modifyitems(items):
    """Put the files that take longest first."""

    def place(item: pytest.Item) -> int:
        name = item.path.name
        return LONGEST.index(name) if name in LONGEST else len(LONGEST) + name.endswith(".py")

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter):
    """The ten slowest files, a notebook or a file of tests each, its cells or tests together."""
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[report.nodeid.split("::")[0]] += report.duration
    terminalreporter.section("slowest 10 files")
    for path, total in seconds.most_common(10):
        terminalreporter.line(f"{total:7.1f}s {path}")


@pytest.fixture
def full_disk():
    """A context in which no file can grow beyond 100 bytes, as on a disk that is full."""

    @contextlib.contextmanager
    def limit():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture(scope="session")
def python():
    """A context of a program in a fresh interpreter; it does not outlive the context."""

    @contextlib.contextmanager
    def start(program: str, *arguments: object):
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
        with subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return start


@pytest.fixture(scope="session")
def printed(python):
    """Run a program in a fresh interpreter to its end; return what it printed."""

    def run(program: str, *arguments: object) -> str:
        with python(program, *arguments) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out

    return run


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id) -> Site:
    """The book's pages, built once for all tests that look at them, on whichever worker."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "site"  # all workers have it
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            build_book(folder)
    return Site(folder / "_build" / "html")


@pytest.fixture(scope="session")
def served_site(site):
    """The address of the site on a web host that compresses, as static hosts do."""
    with browsers.served(site.folder) as address:
        yield address


@pytest.fixture(params=["http", "file"])
def address(request, site):
    """The address of the site: on a web host, and on disk. A test that takes it runs twice."""
    if request.param == "file":
        return site.folder.as_uri()
    return request.getfixturevalue("served_site")


@pytest.fixture(scope="module")  # no longer: where it runs, asyncio cannot start another loop
def browser() -> Browser:
    """A real browser."""
    with browsers.started() as browser:
        yield browser


@pytest.fixture
def open_tab(browser):
    """Open a tab in a fresh profile: `tab, log = open_tab(theme="dark", width=360)`."""
    contexts = []

    def open_one(*, theme: str = "light", width: int = 1280, **options: object) -> tuple[Page, Log]:
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=theme, **options)
        contexts.append(context)
        context.set_default_timeout(20_000)  # ms; a busy machine is slow
        tab = context.new_page()
        return tab, Log(tab)

    yield open_one
    for context in contexts:
        context.close()
