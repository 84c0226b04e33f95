"""Claims about the ledger: every labelled equation has a witness, and the witness would notice.

First the mechanism, on tiny notebooks, which is shown each mistake and must complain. The chapters
of the book are held to it at the end.
"""

import ast
import json
import math

import execute
import ledger
import ledger_page
import nbformat
import pytest
import torch
import witness
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_site import ROOT, book_of_one_page, build

EQUATION = "$$\na = b\n$$ (eq-a)"
WITNESS = "assert abs(a - b) < 1e-10  # witness: eq-a"


def notebook(*sources: str) -> nbformat.NotebookNode:
    """Markdown where a source begins with # or $, else code."""
    makes = [new_markdown_cell if source[0] in "#$" else new_code_cell for source in sources]
    return new_notebook(cells=[make(source) for make, source in zip(makes, sources, strict=True)])


def chapter(*sources: str, name: str = "01_a") -> ledger.Chapter:
    return ledger.read(name, notebook(*sources))


def complaints(*sources: str) -> list[str]:
    one = chapter(*sources)
    return ledger.problems(one, [one])


# Reading


def test_an_equation_and_its_witness_are_found_and_paired():
    one = chapter("# The title\n\n" + EQUATION, "a = b = 1.0", f"x = 1\n{WITNESS}; 32 bits")
    (equation,), (witness,) = one.equations, one.of("eq-a")
    assert (equation.label, equation.latex, equation.cell) == ("eq-a", "a = b", 0)
    assert (witness.cell, witness.line, witness.reason) == (2, 2, "32 bits")
    assert one.title == "The title"
    assert not ledger.problems(one, [one])


def test_one_assertion_may_stand_for_several_equations_and_span_lines():
    both = "assert math.isclose(\n    a,\n    b,  # witness: eq-a, eq-b\n)"
    assert not complaints(EQUATION, EQUATION.replace("-a", "-b"), both)


def test_a_definition_needs_no_witness_and_may_have_one():
    definition = EQUATION.replace("eq-a", "def-a")
    assert not complaints(definition)
    assert not complaints(definition, WITNESS.replace("eq-a", "def-a"))


def test_only_labelled_formulas_outside_of_code_are_equations():
    assert not chapter("$$\na\n$$\n\ntext (eq-b)\n\n```\n$$\nc\n$$ (eq-c)\n```").equations


def test_a_witness_written_inside_a_string_is_none():
    assert not chapter("x = '# witness: eq-a'").witnesses
    assert not complaints("x = '# witness: eq-a'")


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([EQUATION], "eq-a has no witness"),
        ([WITNESS], "eq-a, which is no equation"),
        ([EQUATION, EQUATION, WITNESS], "given more than once"),
        (["$$\na\n$$ (energy)"], "expected a label eq-… or def-…, found energy"),
        ([EQUATION, "a = 1  # witness: eq-a"], "no assertion"),
        ([EQUATION, "assert a == b  # witness eq-a"], "expected `# witness: eq-name`"),
        ([EQUATION, "assert (a ==\nb  # witness: eq-a\n)  # witness: eq-a"], "second comment"),
        ([EQUATION, "%time\nassert a == b  # witness: eq-a"], "no plain Python"),
        ([EQUATION, "assert a == a  # witness: eq-a"], "on both sides"),
        ([EQUATION, "a = f(x)\nb = f(x)\nassert a == b  # witness: eq-a"], "one expression"),
        (["# A\n\n```{math}\n:label: eq-a\na\n```"], r"label an equation as `$$"),
    ],
)
def test_a_mistake_is_named(sources, said):
    assert said in "\n".join(complaints(*sources))


def test_a_witness_on_another_page_does_not_count_and_its_page_is_named():
    first, second = chapter(EQUATION), chapter(WITNESS, name="02_b")
    assert "no witness" in ledger.problems(first, [first, second])[0]
    (said,) = ledger.problems(second, [first, second])
    assert "stands in 01_a" in said


@pytest.mark.parametrize(
    ("test", "form", "left", "right"),
    [
        ("torch.isclose(a, b, rtol=1e-10)", "close", "a", "b"),
        ("torch.allclose(a, b, 0, 1e-6)", "close", "a", "b"),
        ("torch.isclose(a, b).all()", "close", "a", "b"),
        ("math.isclose(a, b, abs_tol=1)", "close", "a", "b"),
        ("torch.equal(a, b)", "equal", "a", "b"),
        ("a.shape == (2, 3)", "equal", "a.shape", "(2, 3)"),
        ("abs(a - b) < t", "within", "a", "b"),
        ("(a.mean() - b + c).abs() <= t", None, "", ""),
        ("(a + c - b).abs() <= t", "within", "a + c", "b"),
        ("((a - b).abs() < t).all()", "within", "a", "b"),
        ("(a - b).abs().max() < t", "within", "a", "b"),
        ("(a <= b).all()", "order", "a", "b"),
        ("a > b", "order", "a", "b"),
        ("a < b < c", None, "", ""),
        ("a == b and c == d", None, "", ""),
        ("abs(a) < t", None, "", ""),
        ("t > (a - b).abs()", None, "", ""),
        ("holds", None, "", ""),
        ("a != b", None, "", ""),
    ],
)
def test_the_sides_are_found_or_the_supported_forms_are_named(test, form, left, right):
    witnesses, found = ledger.witnesses_of(f"assert {test}  # witness: eq-a")
    if form is None:
        assert not witnesses
        assert "torch.isclose(a, b, …)" in found[0]
    else:
        claim = witnesses[0].claim
        assert (claim.form, ast.unparse(claim.left), ast.unparse(claim.right)) == (
            form,
            left,
            right,
        )


def test_values_of_another_assertion_than_the_present_one_are_stale():
    def of(source: str, *stored: dict[str, str]) -> list[str]:
        cells = notebook(EQUATION, source)
        cells.cells[1].metadata["witness"] = list(stored)
        return ledger.stale(ledger.read("01_a", cells))

    entry = {"label": "eq-a", "claim": "abs(a - b) < 1e-10"}
    assert not of(WITNESS, entry)
    assert "has no values" in of(WITNESS)[0]
    assert len(of(WITNESS.replace("a - b", "b - a"), entry)) == 2
    assert "is no witness now" in of("1 + 1", entry)[0]


# Watching


def seen(source: str, **names) -> list[dict[str, str]]:
    """What the witnesses of this cell saw; no kernel is needed for that."""
    probe = witness.Probe()
    probe.begin(source)
    tree = probe.visit(ast.parse(source))
    exec(compile(tree, "cell", "exec"), names | {witness.PROBE: probe, "torch": torch})
    return json.loads(probe.report())


def row(source: str, **names) -> str:
    """The one witness of an assertion, as the ledger writes it."""
    (entry,) = seen(f"assert {source}  # witness: eq-a", **names)
    keys = ("left", "relation", "right", "difference", "tolerance", "shape", "passes")
    return ", ".join(entry[key] for key in keys if key in entry)


def test_both_sides_are_kept_as_short_text():
    third = torch.tensor(1 / 3, dtype=torch.float64)
    many = torch.tensor([[0.0, 1.0, 5.0]], dtype=torch.float64)
    near = torch.tensor([[0.0, 1.01, 5.0]], dtype=torch.float64)
    close = "torch.isclose(a, b, rtol=1e-10, atol=0)"
    assert row(close, a=third, b=third + 1e-16) == "0.333333, ≈, 0.333333, < 1e-14, 3.3e-11"
    assert row(close, a=third, b=third.clone()) == "0.333333, ≈, 0.333333, < 1e-14, 3.3e-11"
    assert row("abs(a - b) < 0.1", a=1.0, b=1.0123) == "1, ≈, 1.0123, 0.012, 0.1"
    assert row("((a - b).abs() < 0.1).all()", a=many, b=near) == "1, ≈, 1.01, 0.01, 0.1, 1 × 3"
    assert row("(a <= b + 1).all()", a=many, b=near) == "0, ≤, 1, 1, , 1 × 3"
    assert row("a > b", a=2.5, b=1) == "2.5, >, 1, 1.5, "
    assert row("torch.equal(a, b)", a=many > 2, b=near > 2) == "True, =, True, 0, 0, 1 × 3"
    assert row("a == b", a=(2, 3), b=torch.Size([2, 3])) == "(2, 3), =, (2, 3), 0, 0"
    assert row("abs(a - b) < 1e-10", a=3e-16, b=0) == "0, ≈, 0, < 1e-13, 1e-10"


def test_a_witness_in_a_loop_shows_the_pass_that_came_nearest_to_failing():
    source = "for b in (1.0, 1.05, 1.01):\n    assert abs(a - b) < 0.1  # witness: eq-a"
    (entry,) = seen(source, a=1.0)
    assert (entry["right"], entry["passes"]) == ("1.05", "3")


def test_an_assertion_that_fails_fails_as_ever():
    with pytest.raises(AssertionError) as error:
        seen("assert abs(a - b) < 0.1  # witness: eq-a", a=1.0, b=2.0)
    assert not isinstance(error.value, witness.WitnessError)


ONES = torch.ones(3)
BLIND = {
    "a tolerance of one half": ("torch.isclose(a, b, rtol=0.5)", 1.0 * ONES[0], ONES[0] + 0.1),
    "the same object": ("torch.allclose(a, b)", ONES, ONES),
    "the same memory": ("torch.allclose(a, b)", ONES, ONES[:]),
    "nothing to compare": ("torch.allclose(a, b)", torch.ones(0), torch.ones(0)),
    "no inequality": ("(a <= b).all()", torch.ones(0), torch.ones(0)),
    "a tolerance above the values": ("abs(a - b) < 5", 1.0, 1.1),
    "equal whatever it is": ("a == b", type("Yes", (int,), {"__eq__": lambda *_: True})(1), 1),
}
BLIND["equal whatever it is"][1].__class__.__add__ = lambda self, _: self


@pytest.mark.parametrize("wrong", BLIND)
def test_an_assertion_that_would_not_notice_is_no_witness(wrong):
    source, a, b = BLIND[wrong]
    with pytest.raises(witness.WitnessError, match="the witness of eq-a"):
        row(source, a=a, b=b)


def test_each_side_is_changed_alone():
    (claim,) = (w.claim for w in ledger.witnesses_of("assert a == b  # witness: eq-a")[0])
    assert list(witness.mutations(claim, 2, 3, {})) == [("left", (3, 3)), ("right", (2, 4))]
    shape = torch.Size([2, 3])
    assert [sides for _, sides in witness.mutations(claim, shape, (2, 3), {})] == [
        ((3, 4), (2, 3)),
        ((2, 3), (3, 4)),
    ]


# Executing


@pytest.fixture
def executed(tmp_path):
    """Execute a tiny notebook; return its cells."""

    def run(*sources: str) -> list:
        path = tmp_path / "01_a.ipynb"
        nbformat.write(notebook(*sources), path)
        return nbformat.reads(execute.execute(path).decode(), as_version=4).cells

    return run


def test_a_run_keeps_the_values_and_leaves_no_other_trace(executed):
    sources = [
        EQUATION,
        "import random\nimport sys\nrandom.seed(0)\na, b = random.random(), 1 - 0.15557814",
        "assert abs(a - b) < 1e-6  # witness: eq-a\nsorted(dir())[-3:], random.random()",
        "len(In), [name for name in dir() if 'witness' in name or name == 'ledger']",
    ]
    cells = executed(*sources)
    bare = executed(*(source.replace("# witness: eq-a", "# eq-a") for source in sources))
    ((entry,),) = [cell.metadata.witness for cell in cells if cell.metadata]
    assert (entry["label"], entry["left"], entry["claim"]) == (
        "eq-a",
        "0.844422",
        "abs(a - b) < 1e-06",
    )
    assert [cell.get("execution_count") for cell in cells] == [None, 1, 2, 3]
    assert [cell.get("outputs") for cell in cells] == [cell.get("outputs") for cell in bare]


def test_values_of_a_witness_that_is_gone_are_removed(executed, tmp_path):
    cells = notebook("1 + 1")
    cells.cells[0].metadata["witness"] = [{"label": "eq-a"}]
    path = tmp_path / "02_b.ipynb"
    nbformat.write(cells, path)
    assert b"eq-a" not in execute.execute(path)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("assert 1 < 2 < 3  # witness: eq-a", "torch.isclose"),
        (
            "assert abs(1.0 - 1.1) < 5  # witness: eq-a",
            "holds as well with its left .by 0: its tolerance is too wide. side changed",
        ),
    ],
)
def test_a_witness_that_proves_nothing_stops_the_run(executed, source, said):
    with pytest.raises(execute.ChapterError, match=said):
        executed(EQUATION, source)


# The page


def test_the_ledger_lists_equations_values_and_definitions_and_its_links_arrive(tmp_path):
    source = book_of_one_page(tmp_path / "source", "# The ledger\n\n```{ledger}\n```\n")
    cells = notebook("# One\n\n" + EQUATION, WITNESS, EQUATION.replace("eq-a", "def-b"))
    (cells.cells[1].execution_count, stored) = 1, seen(WITNESS, a=1.0, b=1.0 + 1e-12)
    cells.cells[1].metadata["witness"] = stored
    (source / "notebooks").mkdir()
    execute.normalise(cells)
    nbformat.write(cells, source / "notebooks" / "01_a.ipynb")
    toc = {"format": "jb-book", "root": "book/page"}
    parts = [{"caption": "A", "numbered": 1, "chapters": [{"file": "notebooks/01_a"}]}]
    (source / "_toc.yml").write_text(yaml.safe_dump(toc | {"parts": parts}))
    run = build(source, tmp_path)
    assert run.returncode == 0, run.stdout[-3000:]
    html = tmp_path / "_build" / "html"
    page = BeautifulSoup((html / "book" / "page.html").read_text(encoding="utf-8"), "html.parser")
    rows = [tr.get_text(" ", strip=True) for tr in page.select("table.ledger tbody tr")]
    assert "1. One" in page.select_one("article h2").get_text()
    assert rows[0].startswith("(1.1)")
    assert rows[1] == "see it 1 1 < 10⁻¹¹ 10⁻¹⁰"
    assert rows[2].startswith("(1.2)")
    assert rows[3] == "definition"
    assert len(page.select("table.ledger .katex-html")) == 2
    chapter_page = BeautifulSoup(
        (html / "notebooks" / "01_a.html").read_text(encoding="utf-8"), "html.parser"
    )
    for link in page.select("table.ledger a"):
        address, _, place = link["href"].partition("#")
        assert address.endswith("notebooks/01_a.html")
        assert chapter_page.find(id=place), place
    assert "# witness: eq-a" in chapter_page.find(id="witness-eq-a").get_text()


# The chapters of the book

PATHS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
BOOK = [ledger_page.read(path) for path in PATHS]


def chapters(check):
    return pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)(check)


def labelled(path) -> ledger.Chapter:
    return next(chapter for chapter in BOOK if chapter.name == path.stem)


def entries(notebook) -> list[dict[str, str]]:
    return [entry for cell in notebook.cells for entry in cell.metadata.get("witness", [])]


@chapters
def test_every_equation_has_a_witness_in_its_chapter_or_is_a_definition(path):
    assert not ledger.problems(labelled(path), BOOK)


@chapters
def test_the_stored_values_are_those_of_the_present_witnesses(path):
    assert not ledger.stale(labelled(path))


@chapters
def test_every_witness_fails_when_either_side_is_changed(path):
    """The run stops with a ChapterError at a witness that does not; so it must reach its end.

    Then every witness was tried, and saw what is stored: the values to a hundredth, since a
    network that another processor trained is another network.
    """
    if not labelled(path).witnesses:
        return  # nothing to try; the first test of these says whether that is right
    fresh = entries(nbformat.reads(execute.execute(path).decode(), as_version=4))
    stored = labelled(path).stored
    names = [(entry["label"], entry["claim"]) for entry in fresh]
    assert names == [(entry["label"], entry["claim"]) for entry in stored]
    assert set(names) == {(x, w.source) for w in labelled(path).witnesses for x in w.labels}
    for new, old in zip(fresh, stored, strict=True):
        for side in ("left", "right"):
            assert agree(new[side], old[side], new["tolerance"]), (new, old)


def agree(new: str, old: str, tolerance: str) -> bool:
    """Whether two texts are one number, to a hundredth or within the tolerance."""
    try:
        return math.isclose(float(new), float(old), rel_tol=1e-2, abs_tol=float(tolerance or 0.0))
    except ValueError:
        return new == old
