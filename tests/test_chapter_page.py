"""Claims about what the book says of a chapter: its question, its time, what it builds on."""

import re

import chapter_page
import pytest
from bs4 import BeautifulSoup
from built_site import CHAPTERS, ROOT


def test_the_table_has_every_chapter_in_reading_order_with_its_question_and_links_to_earlier_ones(
    site,
):
    welcome = site.pages[site.folder / "book" / "welcome.html"]
    rows = welcome.soup.select("article table tbody tr")
    assert len(rows) == len(CHAPTERS) > 0
    for number, (name, row) in enumerate(zip(CHAPTERS, rows, strict=True), start=1):
        chapter, question, builds_on = row.select("td")
        article = site.chapter(name).soup.select_one("article")
        assert chapter.a["href"] == f"../notebooks/{name}.html"
        assert article.h1.get_text() == chapter.get_text().replace(" ", ". ", 1) + "#"
        asked = article.select_one(".chapter-facts + p em")
        assert question.decode_contents() == f"<p>{asked.decode_contents()}</p>"
        earlier = [int(each) for each in re.findall(r"\d+", builds_on.get_text())]
        assert earlier == sorted(earlier)
        assert all(0 < each < number for each in earlier)
        assert bool(earlier) == (number > 1)
        links = [f"../notebooks/{CHAPTERS[each - 1]}.html" for each in earlier]
        assert [link["href"] for link in builds_on.select("a")] == links


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("# A\n\n*Why?*\n\nWe", ("A", "Why?", None)),
        (
            "# A\n\n*Why?*\n\nBuilds on chapter [1](01_a.ipynb).\n\nWe",
            ("A", "Why?", "[1](01_a.ipynb)"),
        ),
        ("# A\n\nWhy?\n\nWe", None),
        ("A\n\n*Why?*\n\nWe", None),
    ],
)
def test_a_chapter_begins_with_title_question_and_what_it_builds_on(first, said):
    found = chapter_page.BEGINNING.match(first)
    assert (found.groups() if found else None) == said


def test_the_time_grows_with_words_code_and_equations_but_not_with_solutions():
    def minutes(inside: str) -> int:
        page = BeautifulSoup(f"<article>{inside}</article>", "html.parser")
        return chapter_page.minutes(page.article)

    assert minutes("<p>" + "word " * 1800 + "</p>") == 10
    assert minutes('<div class="cell_input"><pre>' + "x = 1\n" * 150 + "</pre></div>") == 10
    assert minutes('<div class="math"><span class="katex">x y z</span></div>' * 30) == 10
    assert minutes('<details><div class="cell_input"><pre>x = 1</pre></div> word</details>') == 0


def test_every_chapter_says_its_time_and_how_to_run_it(site):
    for name in CHAPTERS:
        soup = site.chapter(name).soup
        facts = soup.select_one("h1 + .chapter-facts")
        (time,) = re.findall(r"About (\d+) minutes", facts.get_text())
        assert 5 <= int(time) <= 70, name
        section = soup.select_one("#run-this-chapter")
        assert f"notebooks/{name}.ipynb" in section.get_text()
        (download,) = section.select(f'a[download="{name}.ipynb"]')
        stored = site.chapter(name).path.parent / download["href"]
        assert stored.read_bytes() == (ROOT / "notebooks" / f"{name}.ipynb").read_bytes()
