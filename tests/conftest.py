"""What several test files share."""

import contextlib
import gzip
import os
import resource
import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import settings

# The same examples on every machine and in every run, and no verdict that hangs on its speed.
settings.register_profile("book", derandomize=True, deadline=None)
settings.load_profile("book")

# Tensors this small gain nothing from a second thread, and wait for it long on a busy machine.
torch.set_num_threads(1)


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
def gzipped():
    """The size of a text as a web host sends it, in bytes."""
    return lambda text: len(gzip.compress(text.encode(), mtime=0))
