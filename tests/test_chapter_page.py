"""Claims about what stands around a chapter: its time, what it builds on, how to run it."""

import json
import re

import chapter_page
import pytest
from bs4 import BeautifulSoup
from built_site import CHAPTERS, ROOT

WELCOME = (ROOT / "book" / "welcome.md").read_text(encoding="utf-8")
BOOK = chapter_page.chapters(WELCOME)


def title(name: str) -> str:
    path = ROOT / "notebooks" / f"{name}.ipynb"
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
    return re.match(r"# (.+)", "".join(first))[1]


def test_the_table_of_the_welcome_page_has_every_chapter_as_it_is_called_in_reading_order():
    assert [(chapter.number, chapter.name, chapter.title) for chapter in BOOK] == [
        (str(number), name, title(name)) for number, name in enumerate(CHAPTERS, start=1)
    ]


def test_a_chapter_builds_on_earlier_ones_alone_and_all_but_the_first_on_some():
    for number, chapter in enumerate(BOOK, start=1):
        earlier = [int(each) for each in re.findall(r"\d+", chapter.builds_on)]
        assert earlier == sorted(earlier)
        assert all(0 < each < number for each in earlier)
        assert bool(earlier) == (number > 1)


@pytest.mark.parametrize(
    ("builds_on", "said"),
    [
        ("1", "chapter 1"),
        ("1, 2", "chapters 1 and 2"),
        ("1, 2, 4", "chapters 1, 2 and 4"),
        ("2 to 5", "chapters 2 to 5"),
    ],
)
def test_links_to_chapters_read_as_english(builds_on, said):
    words = BeautifulSoup(chapter_page.links(builds_on, BOOK), "html.parser")
    assert words.get_text() == said


def test_the_time_grows_with_words_code_and_equations_but_not_with_solutions():
    def minutes(inside: str) -> int:
        page = BeautifulSoup(f"<article>{inside}</article>", "html.parser")
        return chapter_page.minutes(page.article)

    assert minutes("<p>" + "word " * 1800 + "</p>") == 10
    assert minutes('<div class="cell_input"><pre>' + "x = 1\n" * 150 + "</pre></div>") == 10
    assert minutes('<div class="math"><span class="katex">x y z</span></div>' * 30) == 10
    assert minutes('<details><div class="cell_input"><pre>x = 1</pre></div> word</details>') == 0


def test_every_chapter_says_its_time_what_it_builds_on_and_how_to_run_it(site):
    for chapter in BOOK:
        name, soup = chapter.name, site.chapter(chapter.name).soup
        facts = soup.select_one("h1 + .chapter-facts")
        (time,) = re.findall(r"About (\d+) minutes", facts.get_text())
        assert 5 <= int(time) <= 60, name
        links = [link["href"] for link in facts.select("a[href$='.html']")]
        builds_on = re.findall(r"\d+", chapter.builds_on)
        assert links == [f"{BOOK[int(number) - 1].name}.html" for number in builds_on]
        section = soup.select_one("#run-this-chapter")
        assert f"notebooks/{name}.ipynb" in section.get_text()
        (download,) = section.select(f'a[download="{name}.ipynb"]')
        stored = site.chapter(name).path.parent / download["href"]
        assert stored.read_bytes() == (ROOT / "notebooks" / f"{name}.ipynb").read_bytes()
