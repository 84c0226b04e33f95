"""The honesty of the chapters as they are stored: what nbval does not see.

nbval compares nothing in a cell without an execution count, and no picture at all; so the counts,
the pictures' texts and the rest are looked at here. Every check is a function of one chapter that
yields complaints, and must make them of a chapter that deserves them all.
"""

import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000


@dataclass
class Chapter:
    """A notebook, its name and its size on disk."""

    name: str
    notebook: nbformat.NotebookNode
    size: int = 0

    @property
    def code(self) -> list:
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    def outputs(self) -> Iterator[tuple[int, nbformat.NotebookNode]]:
        for index, cell in enumerate(self.notebook.cells, start=1):
            for output in cell.get("outputs", []):
                yield index, output


def read(path: Path) -> Chapter:
    return Chapter(path.stem, nbformat.read(path, as_version=4), path.stat().st_size)


CHAPTERS = [read(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


# The checks of one chapter


def counts_run_from_one(chapter: Chapter) -> Iterator[str]:
    counts = [cell.execution_count for cell in chapter.code]
    if not counts or counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}: run `make notebooks`"


def nothing_failed_or_warned(chapter: Chapter) -> Iterator[str]:
    for index, output in chapter.outputs():
        if output.output_type == "error":
            yield f"cell {index} holds an error: {output.ename}"
        if output.get("name") == "stderr":
            yield f"cell {index} holds stderr: {output.text}"


def figures_say_what_they_show(chapter: Chapter) -> Iterator[str]:
    for index, cell in enumerate(chapter.notebook.cells, start=1):
        kinds = [" ".join(output.get("data", {})) for output in cell.get("outputs", [])]
        images = [each for each in kinds if "image/" in each]
        if not images:
            continue
        if len(images) > 1:
            yield f"cell {index} draws {len(images)} pictures; one caption can serve only one"
        texts = cell.metadata.get("mystnb", {})
        alt = texts.get("image", {}).get("alt", "")
        figure = texts.get("figure", {})
        if len(alt) < 40:
            yield f"cell {index}: alt text of 40 characters or more, saying what is seen: {alt!r}"
        if len(figure.get("caption", "")) < 20:
            yield f"cell {index}: a caption that states the figure's message"
        if not re.fullmatch(r"fig-[a-z0-9-]+", figure.get("name", "")):
            yield f"cell {index}: a name like fig-prior, not {figure.get('name')!r}"


def cells_are_short(chapter: Chapter) -> Iterator[str]:
    lengths = [len(re.findall(r"^.*\S", cell.source, re.MULTILINE)) for cell in chapter.code]
    for cell, length in zip(chapter.code, lengths, strict=True):
        if length > 15:
            yield f"{length} lines, at most 15, in the cell that begins {cell.source[:40]!r}"
    if lengths and statistics.median(lengths) > 6:
        yield f"the median code cell has {statistics.median(lengths)} lines, at most 6"


def no_cell_is_empty(chapter: Chapter) -> Iterator[str]:
    for index, cell in enumerate(chapter.notebook.cells, start=1):
        if not cell.source.strip():
            yield f"cell {index} is empty"


ABSOLUTE_PATH = re.compile(
    r"""(?<![\w.:/])/(?:home|Users|root|tmp|usr|var|opt|mnt|private|content|workspace)/\w
    |\b[A-Za-z]:\\\w+\\""",
    re.VERBOSE,
)


def no_path_of_a_machine(chapter: Chapter) -> Iterator[str]:
    for index, cell in enumerate(chapter.notebook.cells, start=1):
        texts = [cell.source]
        for output in cell.get("outputs", []):
            texts.append(output.get("text", ""))
            texts += [
                data for kind, data in output.get("data", {}).items() if kind.startswith("text/")
            ]
        for text in texts:
            if found := ABSOLUTE_PATH.search(text):
                yield f"cell {index} has a path of one machine: {text[found.start() :][:60]!r}"
            elif str(ROOT) in text:
                yield f"cell {index} has the path of this folder"


def is_light(chapter: Chapter) -> Iterator[str]:
    if chapter.size > MEGABYTE:
        yield f"{chapter.size / MEGABYTE:.2f} MB, at most 1"


def holds_no_trace_of_a_run(chapter: Chapter) -> Iterator[str]:
    advice = "run `make notebooks`"
    named = re.compile(r"model-\d+")  # as execute.py names widgets
    for state in chapter.notebook.metadata.get("widgets", {}).values():
        for identity in state["state"]:
            if not named.fullmatch(identity):
                yield f"a widget's random id in the metadata, {identity}: {advice}"
    if "version" in chapter.notebook.metadata.get("language_info", {}):
        yield f"the Python version of one machine in the metadata: {advice}"
    for index, cell in enumerate(chapter.notebook.cells, start=1):
        if traces := {"execution", "ExecuteTime", "papermill"} & set(cell.metadata):
            yield f"cell {index} keeps times ({', '.join(traces)}): {advice}"
    for index, output in chapter.outputs():
        for kind, data in output.get("data", {}).items():
            if "widget" in kind and not named.fullmatch(data.get("model_id", "")):
                yield f"cell {index} keeps a widget's random id: {advice}"
            if kind == "text/plain" and re.search(r"\d+%\|", data):
                yield f"cell {index} keeps a progress bar"


def begins_with_its_title(chapter: Chapter) -> Iterator[str]:
    first = chapter.notebook.cells[0]
    if first.cell_type != "markdown" or not re.match(r"# \S", first.source):
        yield "the first cell is not a markdown title"
    titles = [
        line
        for cell in chapter.notebook.cells
        if cell.cell_type == "markdown"
        for line in re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL).splitlines()
        if line.startswith("# ")
    ]
    if len(titles) > 1:
        yield f"more than one title: {titles}"


def ends_with_assertions(chapter: Chapter) -> Iterator[str]:
    open_cells = [cell for cell in chapter.code if "hide-cell" not in tags(cell)]
    if not any(asserts(cell) for cell in open_cells[-3:]):
        yield "none of the last three code cells (solutions aside) asserts anything"


def asserts(cell) -> bool:
    return bool(re.search(r"^\s*assert\b", cell.source, re.MULTILINE))


def what_nbval_ignores_is_asserted(chapter: Chapter) -> Iterator[str]:
    for cell, following in zip(chapter.code, [*chapter.code[1:], None], strict=True):
        markers = tags(cell) | {
            marker.lower().replace("_", "-")
            for marker in re.findall(r"#\s*((?:NBVAL|PYTEST_VALIDATE)_\w+)", cell.source)
        }
        if markers & {"nbval-skip", "nbval-raises-exception", "raises-exception"}:
            yield f"{cell.source[:40]!r}: a cell that nbval skips proves nothing"
        ignored = markers & {"nbval-ignore-output", "pytest-validate-ignore-output"}
        if ignored and not (following and asserts(following)):
            yield f"{cell.source[:40]!r}: its output is ignored, and the next cell asserts nothing"


CHECKS = {  # and the number of complaints that ROTTEN, below, deserves
    counts_run_from_one: 1,
    nothing_failed_or_warned: 2,
    figures_say_what_they_show: 4,
    cells_are_short: 5,
    no_cell_is_empty: 1,
    no_path_of_a_machine: 4,
    is_light: 1,
    holds_no_trace_of_a_run: 5,
    begins_with_its_title: 2,
    ends_with_assertions: 1,
    what_nbval_ignores_is_asserted: 3,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_chapter(chapter, check):
    assert not list(check(chapter))


# The checks of the book


def test_the_table_of_contents_and_the_folder_hold_the_same_chapters():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    listed = [entry for entry in entries if entry.startswith("notebooks/")]
    assert listed == [f"notebooks/{chapter.name}" for chapter in CHAPTERS]


def test_all_chapters_together_are_light():
    assert sum(chapter.size for chapter in CHAPTERS) <= 8 * MEGABYTE


# The checks are able to fail


def shown(kind: str, data: object) -> nbformat.NotebookNode:
    return new_output("display_data", {kind: data})


def printed(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return new_output("stream", name=name, text=text)


def code(source: str, count: int, *outputs, **metadata: object) -> nbformat.NotebookNode:
    given = {"execution_count": count, "outputs": list(outputs), "metadata": dict(metadata)}
    return new_code_cell(source, **given)


FIGURE = shown("image/png", "iVBORw0KGgo=")
MYSTNB = {
    "image": {"alt": "A bell curve over z from minus three to three, highest at zero."},
    "figure": {"caption": "The prior keeps near zero: $p(z)$.", "name": "fig-prior"},
}
ALLOWED = r"$q:\mathcal{N}$, https://example.org/home/x, a/tmp/b, ../data/mnist, m/s"
SOUND = [
    new_markdown_cell(f"# A title\n\n```python\n# a comment\n```\n{ALLOWED}"),
    code("1 + 1", 1),
    code("plt.show()", 2, FIGURE, mystnb=MYSTNB, tags=["nbval-ignore-output"]),
    code("assert 1 + 1 == 2", 3),
    code("4", 4, tags=["hide-cell"]),
]
LONG = "x = 1\n" * 16
ROTTEN = [
    new_markdown_cell(" \n"),
    new_markdown_cell("# A title"),
    new_markdown_cell("# Another"),
    code(f"# NBVAL_IGNORE_OUTPUT\n{LONG}", 1, FIGURE, FIGURE),
    code(f"'/home/me/x'\n{LONG}", 2, shown("text/plain", "C:\\Users\\me"), tags=["nbval-skip"]),
    code(LONG, 3, printed("saved to /Users/me/x"), tags=["nbval-ignore-output"]),
    code(LONG, 9, printed(f"saved to {ROOT}"), printed("careful", "stderr"), execution={}),
    code("1", 5, new_output("error", ename="E"), shown("text/plain", "  0%|   | 0/3")),
    code("1", 6, shown("application/vnd.jupyter.widget-view+json", {})),
    code("assert True", 7, tags=["hide-cell"]),
]
TRACES = {
    "widgets": {"x": {"state": {"29baf563b9e24c58": {}}}},
    "language_info": {"name": "python", "version": "3.11.7"},
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_check_complains_of_all_that_is_wrong_and_of_nothing_that_is_sound(check):
    assert not list(check(Chapter("sound", new_notebook(cells=SOUND), MEGABYTE)))
    rotten = new_notebook(cells=ROTTEN, metadata=TRACES)
    complaints = list(check(Chapter("rotten", rotten, MEGABYTE + 1)))
    assert len(complaints) == CHECKS[check], complaints
