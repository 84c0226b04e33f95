"""The page "The ledger": the directive `{ledger}`, and the places that its links lead to.

The table comes from the notebooks as they are stored: the formulas and the assertions from their
cells, the values from the metadata that `execute.py` left there.
"""

import json
import re
from pathlib import Path
from typing import Any

import ledger
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HEAD = ("witness", "one side", "the other", "difference", "tolerance")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def read(path: Path) -> ledger.Chapter:
    """A chapter from its file."""
    return ledger.read(path.stem, json.loads(path.read_text(encoding="utf-8")))


def typeset(text: str) -> str:
    """A number of the metadata as print shows it: < 1e-13 becomes < 10⁻¹³."""

    def power(match: re.Match[str]) -> str:
        factor = "" if match[1] == "1" else f"{match[1]} · "
        return f"{factor}10{str(int(match[2])).translate(SUPERSCRIPTS)}"

    return re.sub(r"([\d.]+)e(-?\d+)", power, text).replace("-", "−")


def cell(*children: nodes.Node, across: int = 1, classes: tuple[str, ...] = ()) -> nodes.entry:
    """A cell of the table, over so many columns."""
    entry = nodes.entry("", *children, classes=list(classes))
    if across > 1:
        entry["morecols"] = across - 1
    return entry


def text(said: str) -> nodes.paragraph:
    """A paragraph of plain text."""
    return nodes.paragraph("", said)


def table(chapter: ledger.Chapter, document: str, address: str) -> nodes.table:
    """The equations of a chapter: each a row with its formula, and a row for each witness."""
    body = nodes.tbody()
    for equation in chapter.equations:
        number = addnodes.pending_xref(
            "",
            nodes.inline("", equation.label),
            refdomain="math",
            reftype="eq",
            reftarget=equation.label,
            refdoc=document,
            refexplicit=False,
            refwarn=True,
        )
        formula = nodes.math_block(equation.latex, equation.latex, nowrap=False, number=None)
        row = [cell(nodes.paragraph("", "", number)), cell(formula, across=len(HEAD) - 1)]
        body += nodes.row("", *row, classes=["ledger-equation"])
        body += witness_rows(chapter, equation, address)
    group = nodes.tgroup("", cols=len(HEAD))
    group += [nodes.colspec(colwidth=1) for _ in HEAD]
    group += [nodes.thead("", nodes.row("", *(cell(text(each)) for each in HEAD))), body]
    return nodes.table("", group, classes=["ledger"])


def witness_rows(
    chapter: ledger.Chapter, equation: ledger.Equation, address: str
) -> list[nodes.row]:
    """What stands below a formula."""
    witnesses = chapter.of(equation.label)
    if not witnesses:
        said = "definition" if equation.is_definition else "no witness yet"
        return [nodes.row("", cell(text(said), across=len(HEAD)))]
    stored = {(entry["label"], entry["claim"]): entry for entry in chapter.stored}
    rows = []
    for index, witness in enumerate(witnesses):
        anchor = f"{address}#{ledger.anchor(equation.label, index)}"
        link = nodes.reference("", "see it", internal=True, refuri=anchor, reftitle=witness.source)
        entry = stored.get((equation.label, witness.source))
        if entry is None:
            said = cell(text("not run since it was written"), across=len(HEAD) - 1)
            rows.append(nodes.row("", cell(nodes.paragraph("", "", link)), said))
            continue
        relation = "" if entry["relation"] in "=≈" else f"{entry['relation']} "
        row = [cell(nodes.paragraph("", "", link), *(text(note) for note in notes(entry)))]
        row += [cell(text(typeset(entry["left"])), classes=("ledger-number",))]
        row += [cell(text(relation + typeset(entry["right"])), classes=("ledger-number",))]
        row += [cell(text(typeset(entry["difference"])), classes=("ledger-number",))]
        tolerance = {"0": "none: equal", "": "none: order"}.get(entry["tolerance"])
        row += [cell(text(tolerance or typeset(entry["tolerance"])), classes=("ledger-number",))]
        if witness.reason:
            row[-1] += text(witness.reason)
        rows.append(nodes.row("", *row))
    return rows


def notes(entry: dict[str, Any]) -> list[str]:
    """How many numbers a row stands for, where it is more than one."""
    found = []
    if "shape" in entry:
        found.append(f"one of {entry['shape']}")
    if "passes" in entry:
        found.append(f"{entry['passes']} times")
    return found


class Ledger(SphinxDirective):
    """A section with a table for every chapter that labels an equation."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        sections = []
        for path in sorted(Path(self.env.srcdir, "notebooks").glob("[0-9][0-9]_*.ipynb")):
            document = f"notebooks/{path.stem}"
            if document not in self.env.found_docs:
                continue
            self.env.note_dependency(str(path))
            chapter = read(path)
            if not chapter.equations:
                continue
            address = self.env.app.builder.get_relative_uri(self.env.docname, document)
            section = nodes.section(ids=[f"ledger-{path.stem.replace('_', '-')}"])
            section += nodes.title("", f"{int(path.stem[:2])}. {chapter.title}")
            section += table(chapter, self.env.docname, address)
            sections.append(section)
        return sections or [text("No chapter labels an equation.")]


def give_witnesses_their_places(app: Sphinx, doctree: nodes.document) -> None:
    """Give the code cells that hold witnesses the ids that the ledger links to."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    chapter = read(path)
    cells = {
        node["cell_index"]: node
        for node in doctree.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    }
    for label in dict.fromkeys(label for each in chapter.witnesses for label in each.labels):
        for index, witness in enumerate(chapter.of(label)):
            if witness.cell in cells:
                cells[witness.cell]["ids"].append(ledger.anchor(label, index))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the above to Sphinx."""
    app.add_directive("ledger", Ledger)
    app.connect("doctree-read", give_witnesses_their_places)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
