"""Claims about the ledger: every labelled equation is shown by a check, and the page lists them."""

import execute
import ledger
import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_site import ROOT, book_of_one_page, build

from vae_helpers.witness import Line

EQUATION = "$$\na = b\n$$ (eq-a)"
CHECK = 'agree("eq-a", a, b)'


def notebook(*sources: str) -> nbformat.NotebookNode:
    """Markdown where a source begins with # or $, else code; a check of eq-a has left its line."""
    makes = [new_markdown_cell if source[0] in "#$" else new_code_cell for source in sources]
    cells = [make(source) for make, source in zip(makes, sources, strict=True)]
    for cell in cells:
        if "eq-a" in cell.source and cell.cell_type == "code":
            data = Line("eq-a", "1 = 1, to 10 digits")._repr_mimebundle_()
            cell.execution_count, cell.outputs = 1, [new_output("display_data", data)]
    return new_notebook(cells=cells)


def problems(*sources: str, other: tuple[str, ...] = ()) -> list[str]:
    book = {"01_a": notebook(*sources), "02_b": notebook(*other)}
    return list(ledger.problems({name: ledger.read(each) for name, each in book.items()}))


@pytest.mark.parametrize(
    "sources",
    [
        ["# A\n\n" + EQUATION, CHECK],
        [EQUATION, CHECK, EQUATION.replace("eq-a", "def-b")],
        ["$$\na\n$$\n\ntext (eq-b)\n\n```\n$$\nc\n$$ (eq-c)\n```"],
        [EQUATION, "%time 1", "a = f(x)\nb = g(x)\n" + CHECK],
    ],
)
def test_a_sound_chapter_has_no_problem(sources):
    assert not problems(*sources)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([EQUATION], "01_a: no cell shows eq-a"),
        ([EQUATION, "assert a == b"], "no cell shows eq-a"),
        ([CHECK], "names eq-a, which is no equation of this chapter"),
        ([EQUATION, EQUATION, CHECK], "given more than once"),
        (["$$\na\n$$ (energy)"], "expected a label eq-… or def-…, found energy"),
        ([EQUATION, 'agree("eq-a", f(a), f( a ))'], "f(a) and f(a) are computed in one way"),
        ([EQUATION, "a = f(x)", "b = f(x)\n" + CHECK], "a and b are computed in one way"),
        ([EQUATION, "b = a\n" + CHECK], "a and b are computed in one way"),
        (["# A\n\n```{math}\n:label: eq-a\na\n```"], "label an equation as $$ … $$ (eq-name)"),
    ],
)
def test_a_mistake_is_named(sources, said):
    assert said in "\n".join(problems(*sources))


def test_a_check_in_another_chapter_does_not_count():
    assert len(problems(EQUATION, other=(CHECK,))) == 2


def test_the_page_has_each_formula_and_its_line_and_the_number_leads_to_the_equation(tmp_path):
    source = book_of_one_page(tmp_path / "source", "# The ledger\n\n```{ledger}\n```\n")
    (source / "notebooks").mkdir()
    cells = notebook("# One\n\n" + EQUATION, CHECK, EQUATION.replace("eq-a", "def-b"))
    execute.normalise(cells)
    nbformat.write(cells, source / "notebooks" / "01_a.ipynb")
    toc = {"format": "jb-book", "root": "book/page"}
    parts = [{"caption": "A", "numbered": 1, "chapters": [{"file": "notebooks/01_a"}]}]
    (source / "_toc.yml").write_text(yaml.safe_dump(toc | {"parts": parts}))
    run = build(source, tmp_path)
    assert run.returncode == 0, run.stdout[-3000:]
    html = tmp_path / "_build" / "html"
    page, chapter = (
        BeautifulSoup((html / path).read_text(encoding="utf-8"), "html.parser")
        for path in ("book/page.html", "notebooks/01_a.html")
    )
    assert "1. One" in page.select_one("article h2").get_text()
    entries = page.select(".ledger")
    assert [len(entry.select(".katex-html")) for entry in entries] == [1, 1]
    lines = [entry.p.get_text() for entry in entries]
    assert lines == ["✓ (1.1) 1 = 1, to 10 digits", "(1.2) is a definition"]
    (line,) = chapter.select(".cell_output p")
    assert line.get_text() == lines[0]
    for link in (entries[0].a, entries[1].a, line.a):
        assert chapter.find(id=link["href"].partition("#")[2]).select_one(".eqno")


def test_every_equation_of_the_book_is_shown_by_a_check_in_its_chapter():
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    book = {path.stem: ledger.read(nbformat.read(path, as_version=4)) for path in paths}
    assert sum(len(chapter.equations) for chapter in book.values()) > 80
    assert not list(ledger.problems(book))
