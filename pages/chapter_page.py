"""What stands around a chapter on its page: how long it takes, what it builds on, how to run it.

What builds on what is said in one place, the table of `welcome.md`.
"""

import re
from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

from bs4 import BeautifulSoup, NavigableString, Tag

# A guess of how fast a book like this is read with care; it need only be right to a few minutes.
WORDS_A_MINUTE = 180
SECONDS_A_LINE_OF_CODE = 4
SECONDS_AN_EQUATION = 20
PASSED_BY = ("pre", "details", "script", "noscript")

ROW = re.compile(
    r"^\| \[(\d+) ([^]]+)\]\(\.\./notebooks/(\w+)\.ipynb\) \| [^|]+ \| ([\d, to]+|–) \|$",
    re.MULTILINE,
)


class Chapter(NamedTuple):
    """A row of the table of chapters."""

    number: str
    title: str
    name: str
    builds_on: str  # "2, 3" or "4 to 9"; "–" is none


def chapters(welcome: str) -> list[Chapter]:
    """The table of chapters, from the Markdown of the welcome page."""
    return [Chapter(*row) for row in ROW.findall(welcome)]


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


def add_facts(soup: BeautifulSoup, name: str, book: Sequence[Chapter], repository: str) -> None:
    """Write the line below the title, and the section that ends the chapter."""
    article = soup.select_one("article")
    chapter = next((each for each in book if each.name == name), None)
    facts = [f"About {minutes(article)} minutes"]
    if chapter and chapter.builds_on != "–":
        facts.append(f"builds on {links(chapter.builds_on, book)}")
    run = '<span class="not-on-paper"> · <a href="#run-this-chapter">run this chapter</a></span>'
    line = f'<p class="chapter-facts">{" · ".join(facts)}{run}</p>'
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


def links(builds_on: str, book: Sequence[Chapter]) -> str:
    """The words for these chapters, each number a link."""
    pages = {chapter.number: chapter for chapter in book}

    def link(number: re.Match[str]) -> str:
        page = pages[number[0]]
        return f'<a href="{page.name}.html" title="{page.title}">{page.number}</a>'

    said = " and ".join(builds_on.rsplit(", ", maxsplit=1))
    return f"chapter{'s' * (not said.isdigit())} {re.sub(r'[0-9]+', link, said)}"
