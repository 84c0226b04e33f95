"""What the book says of each chapter: in the table of all, and around it on its own page.

A chapter's first cell has its title, its question in italics, and "Builds on chapters …".
"""

import json
import re
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, NavigableString, Tag
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# A guess of how fast a book like this is read with care; it need only be right to a few minutes.
WORDS_A_MINUTE = 180
SECONDS_A_LINE_OF_CODE = 4
SECONDS_AN_EQUATION = 20
PASSED_BY = ("pre", "details", "script", "noscript")

BEGINNING = re.compile(r"# (.+)\n\n\*(.+)\*\n\n(?:Builds on chapters? (.+)\.\n\n)?")


class Chapters(SphinxDirective):
    """The table of all chapters: title, question, and what each builds on."""

    def run(self) -> list[nodes.Node]:
        """Read the first cells."""
        rows = ["| chapter | its question | builds on |", "|---|---|---|"]
        for path in sorted(Path(self.env.srcdir, "notebooks").glob("[0-9][0-9]_*.ipynb")):
            self.env.note_dependency(str(path))
            first = "".join(json.loads(path.read_bytes())["cells"][0]["source"])
            if (said := BEGINNING.match(first)) is None:
                raise self.error(
                    f"{path.name} must begin with '# Title', '*question*' and 'Builds on chapters "
                    f"…', a blank line below each; found {first[:80]!r}. Mend its first cell."
                )
            title, question, earlier = said.groups(default="–")
            earlier = earlier.replace("](", "](../notebooks/")
            number = int(path.name[:2])
            rows.append(
                f"| [{number} {title}](../notebooks/{path.name}) | {question} | {earlier} |"
            )
        table = nodes.Element()
        self.state.nested_parse(rows, self.content_offset, table)
        return table.children


def minutes(article: Tag) -> int:
    """How long a reader takes for this article, in minutes; solutions are not counted."""
    words = sum(len(text.split()) for text in prose(article))
    lines = sum(
        len(code.get_text().splitlines())
        for code in article.select(".cell_input pre")
        if not code.find_parent("details")
    )
    equations = len(article.select("div.math"))
    seconds = SECONDS_A_LINE_OF_CODE * lines + SECONDS_AN_EQUATION * equations
    return ceil(words / WORDS_A_MINUTE + seconds / 60)


def prose(tag: Tag) -> Iterator[str]:
    """The texts in this element, less code, formulas and what is folded away."""
    for child in tag.children:
        if isinstance(child, NavigableString):
            yield str(child)
        elif child.name not in PASSED_BY and "katex" not in child.get("class", ()):
            yield from prose(child)


def add_facts(soup: BeautifulSoup, name: str, repository: str) -> None:
    """Write the line below the title, and the section that ends the chapter."""
    article = soup.select_one("article")
    run = '<span class="not-on-paper"> · <a href="#run-this-chapter">run this chapter</a></span>'
    line = f'<p class="chapter-facts">About {minutes(article)} minutes{run}</p>'
    article.h1.insert_after(BeautifulSoup(line, "html.parser"))

    clone = f'a clone of <a href="{repository}">the repository</a>' if repository else "a clone"
    section = f"""<section id="run-this-chapter" class="run-chapter">
<h2>Run this chapter</h2>
<p>In {clone}, <code>make lab</code> opens JupyterLab with all that the chapters need, and this one
is <code>notebooks/{name}.ipynb</code>. Or download
<a href="../_sources/notebooks/{name}.ipynb" download="{name}.ipynb">this notebook alone</a>; it
needs the repository beside it. <a href="../book/welcome.html#run-it-yourself">More about
running the book</a>.</p>
</section>"""
    article.section.append(BeautifulSoup(section, "html.parser"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the above to Sphinx."""
    app.add_directive("chapters", Chapters)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
