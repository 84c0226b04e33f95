"""The site that several test files look at: built once, strictly, in a folder of its own."""

import os
import subprocess
import sys
import tempfile
from functools import cached_property
from pathlib import Path

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def build(source: Path, output: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Build the book in `source`, strictly, into `output`/_build/html."""
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    known = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    # Its words go to a file: a pipe would be waited for as long as a process left behind holds it.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as words:
        run = subprocess.run(
            [jupyter_book, "build", source, "-W", "-n", "--keep-going", "--path-output", output],
            env=known | {"PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"} | variables,
            stdout=words,
            stderr=subprocess.STDOUT,
            timeout=600,  # seconds; a build takes ten
        )
        words.seek(0)
        run.stdout = words.read()
    return run


class Page:
    """A built page, parsed once."""

    def __init__(self, path: Path):
        self.path = path

    def __str__(self) -> str:
        return self.path.name

    @cached_property
    def soup(self) -> BeautifulSoup:
        return BeautifulSoup(self.path.read_text(encoding="utf-8"), "html.parser")

    @cached_property
    def ids(self) -> set[str]:
        return {tag["id"] for tag in self.soup.find_all(id=True)}


class Site:
    """The pages under a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.pages = {
            p: Page(p) for p in sorted(folder.rglob("*.html")) if "_static" not in p.parts
        }

    def chapter(self, name: str) -> Page:
        return self.pages[self.folder / "notebooks" / f"{name}.html"]


def build_book(folder: Path) -> None:
    """Build the book into this folder, with nothing written beside the sources."""
    before = sources()
    run = build(ROOT, folder)
    assert run.returncode == 0, run.stdout[-6000:]
    assert sources() == before, "the build wrote into the source tree"


def sources() -> set[Path]:
    folders = [ROOT, ROOT / "book", ROOT / "notebooks", ROOT / "pages"]
    return {path for folder in folders for path in folder.glob("*") if path.name != "__pycache__"}
