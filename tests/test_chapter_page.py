"""Claims about what stands around a chapter: its time, what it builds on, how to run it."""

import json
import re

import chapter_page
import pytest
import yaml
from bs4 import BeautifulSoup
from built_site import CHAPTERS, ROOT

WELCOME = (ROOT / "book" / "welcome.md").read_text(encoding="utf-8")
BOOK = chapter_page.chapters(WELCOME)


def in_reading_order() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [file.removeprefix("notebooks/") for file in files if file.startswith("notebooks/")]


def title(name: str) -> str:
    path = ROOT / "notebooks" / f"{name}.ipynb"
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
    return re.match(r"# (.+)", "".join(first))[1]


def test_the_table_of_the_welcome_page_has_every_chapter_in_reading_order():
    assert [chapter.name for chapter in BOOK] == in_reading_order()
    assert [chapter.number for chapter in BOOK] == list(range(1, len(BOOK) + 1))
    assert len(BOOK) == len(CHAPTERS)


def test_the_table_calls_the_chapters_what_they_are_called():
    assert [chapter.title for chapter in BOOK] == [title(chapter.name) for chapter in BOOK]


def test_a_chapter_builds_on_earlier_ones_alone_and_all_but_the_first_on_some():
    for chapter in BOOK:
        assert all(0 < number < chapter.number for number in chapter.builds_on)
        assert bool(chapter.builds_on) == (chapter.number > 1)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("–", ()),
        ("3", (3,)),
        ("1, 4", (1, 4)),
        ("4 to 9", (4, 5, 6, 7, 8, 9)),
        ("1, 3 to 5", (1, 3, 4, 5)),
    ],
)
def test_numbers_are_read_as_they_are_meant(said, meant):
    assert chapter_page.numbers(said) == meant


@pytest.mark.parametrize(
    ("builds_on", "said"),
    [
        ((1,), "chapter 1"),
        ((1, 2), "chapters 1 and 2"),
        ((1, 2, 4), "chapters 1, 2 and 4"),
        ((2, 3, 4, 5), "chapters 2 to 5"),
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


def test_every_chapter_says_its_time_and_how_to_run_it(site):
    for name in CHAPTERS:
        soup = site.chapter(name).soup
        facts = soup.select_one("h1 + .chapter-facts").get_text()
        (time,) = re.findall(r"About (\d+) minutes", facts)
        assert 5 <= int(time) <= 60, name
        section = soup.select_one("#run-this-chapter")
        assert f"notebooks/{name}.ipynb" in section.get_text()
        assert section.select_one(f'a[download="{name}.ipynb"]')


def test_every_chapter_names_what_it_builds_on(site):
    for chapter in BOOK:
        links = site.chapter(chapter.name).soup.select(".chapter-facts a[href$='.html']")
        targets = {link["href"].removesuffix(".html") for link in links}
        names = {BOOK[number - 1].name for number in chapter.builds_on}
        assert targets <= names
        assert bool(targets) == bool(names)
