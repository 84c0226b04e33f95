"""Claims about every page in a real browser: usable by all, quiet, light, and from its own site."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from statistics import median
from urllib.parse import unquote, urlsplit

import browser
import pytest
from bs4 import BeautifulSoup
from built_site import CHAPTERS
from playwright.sync_api import Page

THEMES = ("light", "dark")
WIDTHS = (360, 1280)  # CSS pixels: a small phone, a laptop
KILOBYTE = 1000

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
AXE_OPTIONS = {
    "runOnly": [*("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"), "best-practice"],
    "resultTypes": ["violations"],
    "preload": False,  # else it reads style sheets again, which pages from disk may not
}
# What takes axe longest is the contrast of each word of code and each sign of a formula. It hangs
# on size and weight, and on the colours and opacities from the root down to the word. So axe looks
# at one of each kind that has all of these, and its class, in common, and passes by the others.
MARK_ALIKE = """() => {
    const seen = new Set(), known = new Map([[null, ""]]);
    const behind = (each) => {
        if (!known.has(each)) {
            const { backgroundColor, opacity } = getComputedStyle(each);
            known.set(each, [behind(each.parentElement), backgroundColor, opacity].join());
        }
        return known.get(each);
    };
    for (const each of document.querySelectorAll("pre, pre *, .katex, .katex *")) {
        const { color, fontSize, fontWeight } = getComputedStyle(each);
        const name = each.getAttribute("class");
        const kind = [each.tagName, name, color, fontSize, fontWeight, behind(each)].join();
        const text = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        each.toggleAttribute("data-alike", !text || seen.has(kind));
        if (text) seen.add(kind);
    }
}"""
PASS_BY_ALIKE = """axe.configure(
    { rules: [{ id: "color-contrast", selector: "*:not([data-alike])" }] })"""
FINDINGS = """(options) => axe.run(options).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target}`)))"""
UNFOLD = "document.querySelectorAll('details').forEach(each => { each.open = true; })"
# Texts of live figures under 11 px as they are seen, and what can be pressed but is under 24 px.
TOO_SMALL = """() => {
    const texts = [...document.querySelectorAll(".live-figure text")].filter((text) =>
        parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a < 11);
    const pressed = [...document.querySelectorAll(":is(.live button, .live select, .live input)")]
        .filter((each) => Math.min(each.offsetWidth, each.offsetHeight) < 24);
    return [...texts, ...pressed].map((each) => `${each.tagName} ${each.textContent}`);
}"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def findings(tab: Page) -> list[str]:
    """What axe finds on the page as it stands."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE)
        tab.evaluate(PASS_BY_ALIKE)
    tab.evaluate(MARK_ALIKE)
    return tab.evaluate(FINDINGS, AXE_OPTIONS)


@dataclass
class Visit:
    """What one visit to a page showed."""

    asked: set[str]
    complaints: list[str]
    foreign: list[str]
    findings: list[str]  # of axe
    overflow: int  # CSS pixels by which the page is wider than the screen
    too_small: list[str]


Visits = dict[tuple[str, str, int, str], Visit]


def visit(host: str, disk: str, pages: list[str]) -> Visits:
    """Visit these pages in one browser.

    Axe looks at each of them whole twice: wide and light, narrow and dark. What a page shows at one
    width alone is the furniture of every page, at which it looks in all four ways further below.
    """
    visits = {}
    with browser.started() as started:
        for address, width, first, then in (
            (host, 1280, "light", "dark"),
            (host, 360, "dark", "light"),
            (disk, 1280, "dark", None),
            (disk, 360, "light", None),
        ):
            size = {"width": width, "height": 900}
            context = started.new_context(viewport=size, reduced_motion="reduce")
            tab = context.new_page()
            log = browser.Log(tab)
            for page in pages:
                log.clear()
                tab.emulate_media(color_scheme=first)
                tab.goto(f"{address}/{page}")
                overflow = tab.evaluate(OVERFLOW)
                tab.evaluate(UNFOLD)
                for theme in filter(None, (first, then)):
                    tab.emulate_media(color_scheme=theme)
                    browser.until(tab, f"document.documentElement.dataset.theme === '{theme}'")
                    found = findings(tab) if then and theme == first else []
                    overflow = max(overflow, tab.evaluate(OVERFLOW))
                    visits[address[:4], theme, width, page] = Visit(
                        set(log.requests),
                        log.complaints[:],
                        log.foreign(address),
                        found,
                        overflow,
                        tab.evaluate(TOO_SMALL),
                    )
            context.close()
    return visits


@pytest.fixture(scope="module")
def pages(site) -> list[str]:
    """The addresses of all pages, within the site."""
    return [path.relative_to(site.folder).as_posix() for path in site.pages]


@pytest.fixture(scope="module")
def visits(site, served_site, pages) -> Visits:
    """A visit to every page in every way, shared among two browsers."""
    browser.chromium()
    pages = [page for page in pages if page != "index.html"]  # it sends on to another at once
    disk = site.folder.as_uri()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(visit, [served_site] * 2, [disk] * 2, [pages[::2], pages[1::2]])
    return first | second


def test_every_page_is_visited_in_both_themes_and_widths_and_on_disk(visits, pages):
    assert len(visits) == (4 + 2) * (len(pages) - 1)
    assert len(pages) >= len(CHAPTERS) + 4


@pytest.mark.parametrize("what", ["complaints", "foreign", "findings", "overflow", "too_small"])
def test_no_page_has(visits, what):
    found = {key: getattr(visit, what) for key, visit in visits.items()}
    assert {key: each for key, each in found.items() if each} == {}


@pytest.mark.parametrize("what", [".highlight .k", ".katex .mord", ".output pre", "p"])
def test_axe_would_find_what_is_pale(served_site, open_tab, what):
    tab, _ = open_tab()
    tab.goto(f"{served_site}/notebooks/04_elbo.html")
    tab.evaluate(UNFOLD)
    assert findings(tab) == []
    tab.evaluate(f"""() => {{
        const sheet = new CSSStyleSheet();
        sheet.replaceSync("{what} {{ color: #ddd !important }}");
        document.adoptedStyleSheets.push(sheet);
    }}""")
    assert any(each.startswith("color-contrast: ") for each in findings(tab))


def test_no_page_transfers_more_than_its_allowance(site, visits):
    """A first visit, in each theme and width."""
    for (scheme, *_, page), each in visits.items():
        if scheme == "http":
            has_widget = "widget-state+json" in (site.folder / page).read_text(encoding="utf-8")
            is_plain_chapter = page.startswith("notebooks/") and not has_widget
            paths = {unquote(urlsplit(url).path) for url in each.asked if url.startswith("http")}
            weight = sum(len(browser.sent(site.folder / path.lstrip("/"))) for path in paths)
            assert weight <= (600 if is_plain_chapter else 1000) * KILOBYTE, page


def test_the_start_page_leads_to_the_book_from_disk_too(address, open_tab):
    tab, log = open_tab()
    tab.goto(f"{address}/index.html")
    tab.wait_for_url("**/book/welcome.html")
    assert not log.complaints


def test_next_leads_through_the_book(address, open_tab):
    tab, log = open_tab()
    tab.goto(f"{address}/book/welcome.html")
    seen = [tab.url]
    while tab.locator("a.right-next").count():
        tab.locator("a.right-next").click()
        tab.wait_for_url(lambda url: url not in seen)
        seen.append(tab.url)
    assert [f"{address}/notebooks/{name}.html" for name in CHAPTERS] == [
        url for url in seen if "/notebooks/" in url
    ]
    assert len(seen) >= len(CHAPTERS) + 4
    assert not log.complaints


@pytest.mark.parametrize("width", WIDTHS)
def test_the_search_finds_a_word_from_any_page(address, open_tab, width):
    tab, log = open_tab(width=width)
    tab.goto(f"{address}/notebooks/{CHAPTERS[0]}.html")
    tab.keyboard.press("Control+k")
    tab.keyboard.type("reparameterization")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=reparameterization*")
    results = tab.locator("#search-results ul.search li a")
    results.first.wait_for()
    tab.get_by_text(re.compile(r"found \d+ page")).wait_for()
    assert any("07_reparameterization" in link.get_attribute("href") for link in results.all())
    tab.wait_for_load_state("networkidle")  # the extracts
    assert findings(tab) == []
    assert not log.complaints
    assert not log.foreign(address)


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_in_what_opens(served_site, open_tab, theme):
    tab, _ = open_tab(theme=theme, reduced_motion="reduce")
    tab.goto(f"{served_site}/notebooks/{CHAPTERS[0]}.html")
    tab.get_by_role("button", name="Download this page").click()
    assert findings(tab) == []
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Search").first.click()
    assert tab.locator("#pst-search-dialog").is_visible()
    assert findings(tab) == []
    tab.set_viewport_size({"width": 360, "height": 900})
    tab.reload()
    tab.get_by_role("button", name="Chapters").click()
    assert tab.get_by_role("link", name="The ELBO").is_visible()
    assert findings(tab) == []


def test_a_page_without_scripts_has_its_colours_and_no_dead_buttons(address, open_tab):
    tab, log = open_tab(java_script_enabled=False)
    tab.goto(f"{address}/notebooks/{CHAPTERS[0]}.html")
    assert tab.locator("html").get_attribute("data-theme") == "light"
    for name in ("Chapters", "Contents of this page", "Search", "Color mode"):
        assert tab.get_by_role("button", name=name).filter(visible=True).count() == 0
    assert not log.complaints


@pytest.mark.parametrize("theme", THEMES)
def test_the_reader_s_theme_is_there_before_the_page_is(address, open_tab, theme):
    tab, _ = open_tab(theme=theme)
    tab.route("**/*.js*", lambda route: route.abort())
    tab.goto(f"{address}/book/welcome.html")
    assert tab.locator("html").get_attribute("data-theme") == theme


# The policy


def test_every_page_has_a_policy_that_lets_nothing_foreign_in(site):
    for path in site.pages:
        head = path.read_text(encoding="utf-8").partition("</head>")[0]  # to parse all takes long
        policy = BeautifulSoup(head, "html.parser").select_one(
            'head > meta[http-equiv="Content-Security-Policy"]'
        )
        rules = dict(rule.split(maxsplit=1) for rule in policy["content"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["base-uri"] == "'none'"
        assert "'unsafe-eval'" not in policy["content"]
        assert "'unsafe-inline'" not in rules["script-src"]
        words = {word for rule in rules.values() for word in rule.split()}
        assert all(re.fullmatch(r"'[\w+/=-]+'|file:|data:", word) for word in words), words
        assert policy.find_previous("script") is None, "a script before the policy is free"


ADD = "document.body.append(Object.assign(document.createElement('{}'), {}))"
FORBIDDEN = {
    "eval": "eval('1')",
    "a new function": "new Function('1')()",
    "an inline handler": "document.body.setAttribute('onclick', 'x = 1'); document.body.click()",
    "an inline script": ADD.format("script", "{ textContent: 'x = 1' }"),
    "a foreign script": ADD.format("script", "{ src: 'https://example.org/a.js' }"),
    "a foreign frame": ADD.format("iframe", "{ src: 'https://example.org/' }"),
    "a foreign style": ADD.format("link", "{ rel: 'stylesheet', href: 'https://example.org/' }"),
    "a foreign picture": "new Image().src = 'https://example.org/a.png'",
    "a foreign answer": "fetch('https://example.org/').catch(() => {})",
}
ATTEMPT = """() => {{
    window.held = [];
    addEventListener("securitypolicyviolation", event => window.held.push(event.blockedURI));
    setTimeout(() => {{ {} }});  // later: what the debugger runs at once may do more
}}"""


@pytest.mark.parametrize("attempt", FORBIDDEN)
def test_the_policy_holds_back(address, open_tab, attempt):
    tab, log = open_tab()
    tab.goto(f"{address}/book/welcome.html")
    assert not log.complaints
    tab.evaluate(ATTEMPT.format(FORBIDDEN[attempt]))
    browser.until(tab, "held.length === 1")
    assert tab.evaluate("held[0]").startswith(("eval", "inline", "https://example.org"))
    assert any("Content Security Policy" in each for each in log.complaints)


# What the eye, the keyboard and the printer get

CHARACTERS_A_LINE = """[...document.querySelectorAll("article p")].map(paragraph => {
    const lines = paragraph.offsetHeight / parseFloat(getComputedStyle(paragraph).lineHeight);
    return lines > 2.5 ? paragraph.textContent.length / (lines - 0.5) : 0;
}).filter(Boolean)"""


def test_a_line_has_65_to_75_characters(served_site, open_tab):
    tab, _ = open_tab()
    tab.goto(f"{served_site}/book/welcome.html")
    assert 65 <= median(tab.evaluate(CHARACTERS_A_LINE)) <= 75


def test_an_equation_that_scrolls_can_be_scrolled_by_keyboard(address, open_tab):
    tab, _ = open_tab(width=360)
    tab.goto(f"{address}/notebooks/04_elbo.html")
    wide = tab.locator(".katex-display[tabindex='0']").first
    wide.wait_for()
    assert wide.get_attribute("role") == "group"
    assert wide.get_attribute("aria-label")
    wide.focus()
    tab.keyboard.press("ArrowRight")
    browser.until(tab, "document.activeElement.scrollLeft > 0")


def test_code_in_an_opened_solution_can_be_scrolled_by_keyboard(served_site, open_tab):
    tab, _ = open_tab(width=360)
    tab.goto(f"{served_site}/notebooks/04_elbo.html")
    solution = tab.locator("details", has=tab.locator("pre")).first
    solution.locator("summary").focus()
    tab.keyboard.press("Enter")
    browser.until(
        tab,
        """[...document.querySelectorAll("details[open] pre")].some(code => code.tabIndex === 0
            && code.scrollWidth > code.clientWidth)""",
    )


def test_paper_shows_the_solutions_and_nothing_to_click(served_site, open_tab):
    tab, _ = open_tab()
    tab.goto(f"{served_site}/notebooks/04_elbo.html")
    tab.emulate_media(media="print")
    solutions = tab.locator("details pre")
    assert solutions.count()
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert all(solution.is_visible() for solution in solutions.all())
    assert tab.locator("h1").filter(visible=True).count() == 1
    for selector in (".bd-sidebar-primary", ".bd-header-article", ".prev-next-footer"):
        assert not tab.locator(selector).is_visible()
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("details[open]").count() == 0
