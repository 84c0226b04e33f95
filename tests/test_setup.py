"""Claims about the set-up: the pins are complete and kept, and JupyterLab renders the chapters."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def pins(name: str) -> dict[str, SpecifierSet]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if re.match(r"[\w.-]+==", line)]
    return {canonicalize_name(r.name): r.specifier for r in requirements}


def is_kept(pin: SpecifierSet, installed: str) -> bool:
    """Whether a pin names one version, and this is it; what follows a + is the build's name."""
    return "*" not in str(pin) and pin.contains(installed, prereleases=True)


def pulled_in(roots: dict[str, SpecifierSet]) -> set[str]:
    """The packages that these need, and those that these need, on this machine."""
    found: set[tuple[str, str]] = set()
    todo = [(name, "") for name in roots]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for line in metadata.requires(name) or []:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(need.name), each) for each in ("", *need.extras)]
    return {name for name, _ in found}


def test_everything_that_the_requirements_pull_in_is_pinned_and_installed_as_pinned():
    direct, constraints = pins("requirements.txt"), pins("constraints.txt")
    assert not direct.keys() & constraints.keys(), "one version, one place"
    needed = pulled_in(direct)
    assert len(needed) > len(direct)
    assert not needed - direct.keys() - constraints.keys()
    for name, pin in (direct | constraints).items():
        if name in needed:
            assert is_kept(pin, metadata.version(name)), (name, metadata.version(name))


@pytest.mark.parametrize(
    ("pin", "installed", "kept"),
    [
        ("==13.0.3", "13.0.3.0", True),
        ("==2.13.0", "2.13.0+cpu", True),
        ("==1.0.4.post1", "1.0.4.post1", True),
        ("==1.0.4", "1.0.4.post1", False),
        ("==2.13.0", "2.13.1", False),
        ("==2.13.*", "2.13.0", False),
    ],
)
def test_a_pin_is_kept_by_one_version_however_it_is_written(pin, installed, kept):
    assert is_kept(SpecifierSet(pin), installed) is kept


def test_jupyterlab_loads_the_extension_that_renders_myst():
    command = [sys.executable, "-m", "jupyter", "labextension", "list"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (line,) = [
        line for line in run.stdout.splitlines() if line.strip().startswith("jupyterlab-myst")
    ]
    assert "OK" in line, run.stdout
