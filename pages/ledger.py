"""The page "The ledger": each labelled equation beside the lines that its checks left below cells.

An equation is labelled `$$ … $$ (eq-name)` in a chapter, a definition `$$ … $$ (def-name)`. The
lines are those of `agree` and `at_most` of `vae_helpers.witness`, as the chapters store them.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

MATH = re.compile(r"\$\$(.*?)\$\$(?:[ \t]*\(([^()\s]+)\))?", re.DOTALL)
FENCE = re.compile(r"^(`{3,}|~{3,}|:{3,}).*?^\1", re.DOTALL | re.MULTILINE)
LINE = re.compile(r"✓ \{eq\}`([^`]+)`")


@dataclass
class Chapter:
    """What one notebook claims, what its checks left, and what is wrong in the way of writing."""

    title: str
    equations: list[tuple[str, str]]  # label, LaTeX
    lines: list[tuple[str, str]]  # label, Markdown
    complaints: list[str]


def read(notebook: nbformat.NotebookNode) -> Chapter:
    """A chapter, as it is stored."""
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [out.get("data", {}).get("text/markdown", "") for c in code for out in c.outputs]
    title = re.match(r"# (.+)", text[0]) if text else None
    return Chapter(
        title[1] if title else "",
        [(m[2], m[1].strip()) for t in text for m in MATH.finditer(FENCE.sub("", t)) if m[2]],
        [(match[1], each) for each in outputs if (match := LINE.match(each))],
        [*other_labels(text), *twice_the_same([cell.source for cell in code])],
    )


def other_labels(texts: list[str]) -> Iterator[str]:
    """Complaints of labels that are written in a way that is not looked for here."""
    for text in texts:
        if found := re.search(r"^:label:.*|\\label\{.*?\}", text, re.MULTILINE):
            yield f"label an equation as $$ … $$ (eq-name), not {found[0]}"


def twice_the_same(sources: list[str]) -> Iterator[str]:
    """Complaints of checks whose sides are one expression, or two names of one."""
    values: dict[str, str] = {}  # what a name was assigned last
    for source in sources:
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a magic; nbval runs it
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                values[node.targets[0].id] = ast.unparse(node.value)
        for node in ast.walk(tree):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if called and node.func.id in ("agree", "at_most"):
                label, *sides = map(ast.unparse, node.args)
                if len({values.get(side, side) for side in sides}) < 2:
                    yield f"{label}: {' and '.join(sides)} are computed in one way"


def problems(book: dict[str, Chapter]) -> Iterator[str]:
    """What is wrong in these chapters."""
    count = Counter(label for chapter in book.values() for label, _ in chapter.equations)
    for name, chapter in book.items():
        labels, proven = (dict(pairs) for pairs in (chapter.equations, chapter.lines))
        yield from (f"{name}: {complaint}" for complaint in chapter.complaints)
        for label in labels:
            if not re.fullmatch(r"(eq|def)-[a-z0-9-]+", label):
                yield f"{name}: expected a label eq-… or def-…, found {label}"
            elif label.startswith("eq-") and label not in proven:
                yield f"{name}: no cell shows {label}; add agree({label!r}, left, right)"
            if count[label] > 1:
                yield f"{name}: the label {label} is given more than once"
        for label in sorted(proven.keys() - labels.keys()):
            yield f"{name}: a check names {label}, which is no equation of this chapter"


class Ledger(SphinxDirective):
    """A section for every chapter that labels an equation."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        sections = []
        for path in sorted(Path(self.env.srcdir, "notebooks").glob("[0-9][0-9]_*.ipynb")):
            self.env.note_dependency(str(path))
            chapter = read(nbformat.read(path, as_version=4))
            if not chapter.equations or f"notebooks/{path.stem}" not in self.env.found_docs:
                continue
            section = nodes.section(ids=[f"ledger-{path.stem.replace('_', '-')}"])
            section += nodes.title("", f"{int(path.stem[:2])}. {chapter.title}")
            for label, latex in chapter.equations:
                lines = [line for of, line in chapter.lines if of == label]
                lines = lines or [f"{{eq}}`{label}` is a definition"]
                entry = nodes.container(classes=["ledger"])
                entry += self.parse_text_to_nodes("\n\n".join([f"$$\n{latex}\n$$", *lines]))
                section += entry
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the above to Sphinx."""
    app.add_directive("ledger", Ledger)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
