"""The honesty of the chapters as they are stored: what nbval does not see.

nbval compares nothing in a cell without an execution count, and no picture at all; so the counts,
the pictures' texts and the rest are looked at here. Every check is a function of one chapter that
yields complaints; each is shown a chapter that deserves the complaint, and must make it.
"""

import re
import statistics
from collections import Counter
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
PROSE = sorted((ROOT / "book").glob("*.md"))


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def lines(cell) -> int:
    return sum(1 for line in cell.source.splitlines() if line.strip())


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
        images = [
            output
            for output in cell.get("outputs", [])
            if any(kind.startswith("image/") for kind in output.get("data", {}))
        ]
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
    lengths = [lines(cell) for cell in chapter.code]
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


CHECKS = [
    counts_run_from_one,
    nothing_failed_or_warned,
    figures_say_what_they_show,
    cells_are_short,
    no_cell_is_empty,
    no_path_of_a_machine,
    is_light,
    holds_no_trace_of_a_run,
    begins_with_its_title,
    ends_with_assertions,
    what_nbval_ignores_is_asserted,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_chapter(chapter, check):
    assert not list(check(chapter))


# The checks of the book


def labels(texts: list[str]) -> list[str]:
    """The labels that these markdown texts give: to equations, places and directives."""
    patterns = [
        r"\$\$\s*\(([\w:-]+)\)",  # $$ … $$ (label)
        r"^:(?:label|name): *([\w:-]+)",
        r"^\(([\w:-]+)\)=",
        r"\\label\{([\w:-]+)\}",
    ]
    return [label for text in texts for p in patterns for label in re.findall(p, text, re.M)]


def twice(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def test_every_label_and_figure_name_is_given_once_in_the_book():
    cells = [cell for chapter in CHAPTERS for cell in chapter.notebook.cells]
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells]
    names = labels(texts + [page.read_text(encoding="utf-8") for page in PROSE])
    assert not twice(names + [name for name in figures if name])


def test_labels_are_found_in_every_way_of_writing_them():
    text = "$$\na = b\n$$ (eq-a)\n\n(place)=\n\n```{math}\n:label: eq-b\nc\n```\n$x$ (aside)"
    assert labels([text]) == ["eq-a", "eq-b", "place"]
    assert twice(["eq-a", "eq-b", "eq-a"]) == ["eq-a"]


def test_the_table_of_contents_and_the_folder_hold_the_same_chapters():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    listed = [entry for entry in entries if entry.startswith("notebooks/")]
    assert listed == [f"notebooks/{chapter.name}" for chapter in CHAPTERS]


def test_all_chapters_together_are_light():
    assert sum(chapter.size for chapter in CHAPTERS) <= 8 * MEGABYTE


# The checks are able to fail


def figure_output():
    return new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})


@pytest.fixture
def sound() -> Chapter:
    """A chapter that every check passes."""
    figure = new_code_cell("plt.show()", execution_count=2, outputs=[figure_output()])
    figure.metadata.mystnb = {
        "image": {"alt": "A bell curve over z from minus three to three, highest at zero."},
        "figure": {"caption": "The prior keeps near zero: $p(z)$.", "name": "fig-prior"},
    }
    cells = [
        new_markdown_cell("# A title\n\n```python\n# a comment\n```"),
        new_code_cell("1 + 1", execution_count=1),
        figure,
        new_code_cell("assert 1 + 1 == 2", execution_count=3),
        new_code_cell("4", execution_count=4, metadata={"tags": ["hide-cell"]}),
    ]
    return Chapter("sound", new_notebook(cells=cells), size=1000)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_chapter_passes(sound, check):
    assert not list(check(sound))


def add_output(cell, output):
    cell.outputs.append(output)


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def widget_view():
    return new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})


WRONGS = {
    "cleared": (counts_run_from_one, lambda c: c[1].update(execution_count=None)),
    "run out of order": (counts_run_from_one, lambda c: c[1].update(execution_count=9)),
    "an error": (
        nothing_failed_or_warned,
        lambda c: add_output(c[1], new_output("error", ename="E", evalue="", traceback=[])),
    ),
    "stderr": (nothing_failed_or_warned, lambda c: add_output(c[1], stream("a", "stderr"))),
    "no metadata": (figures_say_what_they_show, lambda c: c[2].metadata.clear()),
    "short alt": (
        figures_say_what_they_show,
        lambda c: c[2].metadata.mystnb.update(image={"alt": "A bell curve."}),
    ),
    "no caption": (
        figures_say_what_they_show,
        lambda c: c[2].metadata.mystnb.update(figure={"name": "fig-a"}),
    ),
    "a name that is none": (
        figures_say_what_they_show,
        lambda c: c[2].metadata.mystnb.figure.update(name="prior"),
    ),
    "two pictures": (figures_say_what_they_show, lambda c: add_output(c[2], figure_output())),
    "a long cell": (cells_are_short, lambda c: c[1].update(source="x = 1\n" * 16)),
    "long cells": (cells_are_short, lambda c: [x.update(source="x = 1\n" * 7) for x in c[1:]]),
    "an empty cell": (no_cell_is_empty, lambda c: c.append(new_markdown_cell(" \n"))),
    "a path in a source": (no_path_of_a_machine, lambda c: c[1].update(source="'/home/me/x'")),
    "a path in a print": (
        no_path_of_a_machine,
        lambda c: add_output(c[1], stream("saved to /Users/me/x")),
    ),
    "a path in a value": (
        no_path_of_a_machine,
        lambda c: add_output(c[1], new_output("display_data", {"text/plain": "C:\\Users\\me"})),
    ),
    "the path of this folder": (
        no_path_of_a_machine,
        lambda c: add_output(c[1], stream(f"saved to {ROOT}")),
    ),
    "cell times": (
        holds_no_trace_of_a_run,
        lambda c: c[1].metadata.update(execution={"shell.execute_reply": "2020"}),
    ),
    "a widget's id": (holds_no_trace_of_a_run, lambda c: add_output(c[1], widget_view())),
    "a progress bar": (
        holds_no_trace_of_a_run,
        lambda c: add_output(c[1], new_output("display_data", {"text/plain": "  0%|   | 0/3"})),
    ),
    "no title": (begins_with_its_title, lambda c: c.pop(0)),
    "two titles": (begins_with_its_title, lambda c: c.append(new_markdown_cell("# Again"))),
    "an assertion only in a solution": (
        ends_with_assertions,
        lambda c: (c[3].update(source="1"), c[4].update(source="assert True")),
    ),
    "ignored, nothing asserted": (
        what_nbval_ignores_is_asserted,
        lambda c: c[1].metadata.update(tags=["nbval-ignore-output"]),
    ),
    "ignored in a comment": (
        what_nbval_ignores_is_asserted,
        lambda c: c[1].update(source="# NBVAL_IGNORE_OUTPUT\n1"),
    ),
    "skipped": (
        what_nbval_ignores_is_asserted,
        lambda c: c[2].metadata.update(tags=["nbval-skip"]),
    ),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_a_check_complains_of(sound, wrong):
    check, spoil = WRONGS[wrong]
    spoil(sound.notebook.cells)
    assert list(check(sound))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda metadata: metadata.update(widgets={"x": {"state": {"29baf563b9e24c58": {}}}}),
        lambda metadata: metadata.update(language_info={"name": "python", "version": "3.11.7"}),
    ],
    ids=["a widget's id", "a Python version"],
)
def test_traces_in_the_metadata_are_seen(sound, spoil):
    spoil(sound.notebook.metadata)
    assert list(holds_no_trace_of_a_run(sound))


def test_a_heavy_chapter_is_seen(sound):
    sound.size = MEGABYTE + 1
    assert list(is_light(sound))


def test_an_ignored_output_may_stand_before_an_assertion(sound):
    sound.notebook.cells[2].metadata.tags = ["nbval-ignore-output"]
    assert not list(what_nbval_ignores_is_asserted(sound))


@pytest.mark.parametrize(
    "text", [r"$q:\mathcal{N}$", "https://example.org/home/x", "a/tmp/b", "../data/mnist", "m/s"]
)
def test_what_only_looks_like_a_path_of_a_machine_is_allowed(sound, text):
    sound.notebook.cells[0].source += text
    assert not list(no_path_of_a_machine(sound))
