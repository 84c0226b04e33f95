"""Claims about the built site: strict build, links, pictures' texts, math, numbers."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import site_extension
import yaml
from built_site import CHAPTERS, ROOT, Site, build

# Each check takes a site and yields complaints, so that a broken page can show that it complains.


def broken_references(site: Site) -> Iterator[str]:
    for page in site.pages.values():
        for tag in page.soup.find_all(True):
            for attribute in ("href", "src", "poster", "data"):
                address = tag.get(attribute)
                if address is None or tag.name == "meta":
                    continue
                parts = urlsplit(address)
                if parts.scheme or parts.netloc:
                    continue
                target = page.path
                if parts.path:
                    target = Path(os.path.normpath(page.path.parent / unquote(parts.path)))
                if target.is_dir():
                    target = target / "index.html"
                if not target.is_file() or site.folder not in target.parents:
                    yield f"{page}: {address} leads to no file"
                    continue
                ids = site.pages[target].ids if target in site.pages else set()
                if parts.fragment and unquote(parts.fragment) not in ids:
                    yield f"{page}: {address} leads to no place in its page"


def pictures_without_words(site: Site) -> Iterator[str]:
    for page in site.pages.values():
        for image in page.soup.find_all("img"):
            alt = image.get("alt", "").strip()
            if not alt or alt in image["src"] or re.search(r"\.(png|svg|jpe?g)$", alt):
                yield f"{page}: {image['src']} has the alt text {alt!r}"


def outputs_that_show_nothing(site: Site) -> Iterator[str]:
    for page in site.pages.values():
        for output in page.soup.select(".cell_output .output"):
            if not output.get_text(strip=True) and not output.find(["img", "svg", "canvas"]):
                yield f"{page}: an output that shows nothing"


def untypeset_math(site: Site) -> Iterator[str]:
    for page in site.pages.values():
        for math in page.soup.select("span.math, div.math"):
            if not math.select_one(".katex-html"):
                yield f"{page}: {math.get_text()[:60]!r} is not typeset"


CHECKS = [
    broken_references,
    pictures_without_words,
    outputs_that_show_nothing,
    untypeset_math,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no(site, check):
    assert not list(check(site))


def test_every_page_has_a_title_of_its_own(site):
    pages = [page for page in site.pages.values() if page.soup.select_one("article h1")]
    titles = [page.soup.title.get_text().strip() for page in pages]
    assert len(titles) >= len(CHAPTERS) + 4
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_chapters_figures_and_equations_carry_the_number_of_their_chapter(site):
    for number, name in enumerate(CHAPTERS, start=1):
        soup = site.chapter(name).soup
        assert soup.select_one("article h1").get_text().startswith(f"{number}. ")
        for image in soup.select(".cell_output img"):
            caption = image.find_parent("figure").figcaption
            assert caption.select_one(".caption-number").get_text().startswith(f"Figure {number}.")
        for tag in soup.select(".eqno"):
            assert tag.get_text().startswith(f"({number}.")


def test_scripts_that_the_book_does_not_use_are_gone(site):
    assert not list(site.folder.rglob("fontawesome.js*"))
    for page in site.pages.values():
        scripts = " ".join(str(tag) for tag in page.soup.find_all("script"))
        for name in ("fontawesome", "thebe", "mathjax", "require.js", "requirejs"):
            assert name not in scripts.lower(), f"{page} has {name}"


def test_the_style_sheet_of_katex_is_of_the_version_that_typesets():
    readme = (ROOT / "book" / "assets" / "katex" / "README.md").read_text(encoding="utf-8")
    assert f"KaTeX {site_extension.katex.katex_version} " in readme


# The checks are able to fail

SOUND = """<h1 id="top">A</h1><a href="b.html#top">x</a><a href="https://example.org/">x</a>
<img src="a.png" alt="A curve."><span class="math"><span class="katex-html">x</span></span>
<div class="cell_output"><div class="output">2</div></div>"""

BROKEN = {
    "a link to no file": (broken_references, '<a href="gone.html">x</a>'),
    "a link to no place": (broken_references, '<a href="b.html#gone">x</a>'),
    "a link out of the site": (broken_references, '<a href="../outside.txt">x</a>'),
    "no alt text": (pictures_without_words, '<img src="a.png">'),
    "a file name as alt text": (pictures_without_words, '<img src="a.png" alt="x/b.png">'),
    "an empty output": (
        outputs_that_show_nothing,
        '<div class="cell_output"><div class="output"></div></div>',
    ),
    "a formula left as it was": (untypeset_math, '<span class="math">\\(x\\)</span>'),
}


@pytest.mark.parametrize("wrong", BROKEN)
def test_a_check_complains_of_what_is_wrong_and_of_nothing_sound(tmp_path, wrong):
    check, elements = BROKEN[wrong]
    (tmp_path / "outside.txt").write_text("x")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"")
    (folder / "a.html").write_text(SOUND)
    (folder / "b.html").write_text(SOUND)
    assert not list(check(Site(folder)))
    (folder / "a.html").write_text(SOUND + elements)
    assert list(check(Site(folder)))


# The extension


def book_of_one_page(folder: Path, text: str) -> Path:
    """A book with our configuration and this page alone."""
    (folder / "book").mkdir(parents=True)
    shutil.copytree(ROOT / "book" / "assets", folder / "book" / "assets")
    (folder / "pages").mkdir()
    modules = [f"pages/{path.name}" for path in (ROOT / "pages").glob("*.py")]
    for name in ("_config.yml", "book/references.bib", *modules):
        shutil.copy(ROOT / name, folder / name)
    (folder / "book" / "page.md").write_text(text, encoding="utf-8")
    toc = {"format": "jb-book", "root": "book/page"}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))
    return folder


@pytest.mark.parametrize(
    "formula", [r"$\nosuchmacro{x}$", r"$$\frac{1}{$$"], ids=["unknown macro", "unclosed brace"]
)
def test_a_formula_that_cannot_be_typeset_fails_the_build_and_is_named(tmp_path, formula):
    source = book_of_one_page(tmp_path / "source", f"# A page\n\nText.\n\n{formula}\n")
    run = build(source, tmp_path / "output")
    assert run.returncode != 0
    assert formula.strip("$") in run.stdout
    assert "page.md:5" in run.stdout


def test_repository_and_binder_buttons_appear_where_the_address_is_known(tmp_path):
    source = book_of_one_page(tmp_path / "source", "# A page\n\nText.\n")
    known = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "someone/a-book"}
    assert build(source, tmp_path / "known", **known).returncode == 0
    assert build(source, tmp_path / "unknown").returncode == 0
    page = "_build/html/book/page.html"
    html = (tmp_path / "known" / page).read_text(encoding="utf-8")
    assert 'href="https://github.com/someone/a-book"' in html
    assert "https://github.com/someone/a-book/edit/main/book/page.md" in html
    assert "github.com" not in (tmp_path / "unknown" / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("https://github.com/someone/a-book.git", "https://github.com/someone/a-book"),
        ("https://github.com/someone/a-book/", "https://github.com/someone/a-book"),
        ("git@github.com:someone/a-book.git", "https://github.com/someone/a-book"),
        ("ssh://git@github.com:22/someone/a-book", "https://github.com/someone/a-book"),
        ("https://me:secret@gitlab.com/group/a-book", "https://gitlab.com/group/a-book"),
        ("/srv/github/a-book", None),
        ("../github/someone/a-book", None),
        ("file:///srv/github.com/someone/a-book", None),
        ("https://git.example.org/someone/a-book", None),
        (None, None),
    ],
)
def test_the_address_of_the_repository_comes_from_origin(tmp_path, origin, url):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if origin:
        subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", origin], check=True)
    assert site_extension.repository_url(tmp_path, environ={}) == url


def test_the_address_of_the_repository_comes_from_github_actions_first(tmp_path):
    variables = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "someone/a-book"}
    url = site_extension.repository_url(tmp_path, environ=variables)
    assert url == "https://github.com/someone/a-book"


LATE = """
import socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
time.sleep(0.3)
server.listen()
server.accept()
time.sleep(60)
"""


def test_the_build_waits_for_a_node_that_listens_late(tmp_path, monkeypatch):
    command = classmethod(lambda cls, socket: [sys.executable, "-c", LATE, str(socket)])
    monkeypatch.setattr(site_extension.katex.KaTeXServer, "build_command", command)
    node, connection = site_extension.start_katex(tmp_path, timeout=30)
    assert node.poll() is None
    connection.close()
    node.kill()
    node.communicate()


def test_a_node_that_never_listens_is_an_error_and_is_not_left_behind(tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda *args, **kwargs: started.append(popen(*args, **kwargs)) or started[0],
    )
    command = classmethod(lambda cls, socket: [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(site_extension.katex.KaTeXServer, "build_command", command)
    with pytest.raises(site_extension.katex.KaTeXError):
        site_extension.start_katex(tmp_path, timeout=0.2)
    assert started[0].wait(timeout=10) != 0
    started[0].communicate()
