"""Claims about the set-up: the pins are complete and kept, and JupyterLab renders the chapters."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def pins(name: str) -> dict[str, SpecifierSet]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if re.match(r"[\w.-]+==", line)]
    return {canonicalize_name(r.name): r.specifier for r in requirements}


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
        assert "*" not in str(pin), f"{name} is pinned to more than one version"
        if name in needed:  # what follows a + is the build's name
            assert pin.contains(metadata.version(name), prereleases=True), name


def test_jupyterlab_loads_the_extension_that_renders_myst():
    command = [sys.executable, "-m", "jupyter", "labextension", "list"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (line,) = [
        line for line in run.stdout.splitlines() if line.strip().startswith("jupyterlab-myst")
    ]
    assert "OK" in line, run.stdout
