"""Every page, finished: what the theme and Sphinx write, mended and trimmed before it is stored.

- A page loads the scripts and style sheets that something on it needs, and no others.
- What would shut out a reader who listens, or who uses the keyboard alone, is mended.
- A chapter says how long it takes and how to run it (`chapter_page.py`).
- Figures and icons are made lighter (`lighter.py`).
- A Content-Security-Policy lets the page load from its own site only, and run no script but the
  site's files and the inline scripts that it was built with, each named by its hash.
"""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from chapter_page import add_facts
from lighter import lighten, link_one_sheet, point_to_webp
from sphinx.application import Sphinx

NOWHERE = "nothing"  # no element is called so
SEARCH_PAGE = "#search-results"

# Scripts and style sheets that the theme and its extensions put on every page, by a part of their
# address or text, and where a page uses them. A page without such an element does without them.
USED_BY = {
    "fontawesome.js": NOWHERE,  # its style sheet alone draws the icons
    "thebe": NOWHERE,
    "requestKernel": NOWHERE,  # Thebe's, as the next
    "kernelName": NOWHERE,
    "togglebutton": ".toggle, .admonition.dropdown",
    "toggleHintShow": ".toggle, .admonition.dropdown",
    "toggleHintHide": ".toggle, .admonition.dropdown",
    "toggleOpenOnPrint": ".toggle, .admonition.dropdown",
    "sphinx-design.min.css": "[class^='sd-'], [class*=' sd-']",
    "design-tabs.js": ".sd-tab-set",
    "clipboard.min.js": "div.highlight pre",
    "copybutton.js": "div.highlight pre",
    "searchtools.js": SEARCH_PAGE,
    "language_data.js": SEARCH_PAGE,
    "searchindex.js": SEARCH_PAGE,
    "DOCUMENTATION_OPTIONS.pagename": ".version-switcher__button",
    "DOCUMENTATION_OPTIONS.search_as_you_type": ".search-as-you-type",
}

# 'self' is the site on a web host. From disk every browser reads it differently, so that the
# scheme file: is named too; a page on a web host cannot load from there. Formulas carry their
# measures in style attributes.
POLICY = (
    "default-src 'none'",
    "script-src 'self' file: {hashes}",
    "style-src 'self' file: 'unsafe-inline'",
    "img-src 'self' file: data:",
    "font-src 'self' file:",
    "connect-src 'self'",  # the search page reads the pages it found
    "form-action 'self' file:",
    "base-uri 'none'",
)


def drop_what_is_not_used(soup: BeautifulSoup) -> None:
    """Take out the scripts and style sheets of `USED_BY` that nothing here uses."""
    for name, selector in USED_BY.items():
        if soup.select_one(selector):
            continue
        for tag in soup.select("script, link[rel=stylesheet]"):
            if name in f"{tag.get('src', '')}{tag.get('href', '')}{tag.string or ''}":
                tag.decompose()


def let_text_come_first(soup: BeautifulSoup) -> None:
    """No script of a file holds up the text, or is fetched before what the text needs."""
    for link in soup.select("link[rel=preload][as=script]"):
        link.decompose()
    for script in soup.select("script[src]"):
        script["defer"] = None


# The theme's own leaves the page without colours until all scripts have run.
CHOOSE_THEME = """
    (() => {
      const page = document.documentElement;
      const mode = localStorage.getItem("mode") || "auto";
      const isDark = mode === "dark" ||
        (mode === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
      page.dataset.mode = mode;
      page.dataset.theme = isDark ? "dark" : "light";
    })();
  """


def color_at_once(soup: BeautifulSoup) -> None:
    """The theme is there before the first paint; where no scripts run, it is the light one."""
    soup.html["data-theme"] = "light"
    for script in soup.select("script[data-cfasync]"):
        script.string = CHOOSE_THEME


def name_regions(soup: BeautifulSoup) -> None:
    """The sidebar becomes a landmark, so that all of the page lies in one."""
    for sidebar in soup.select("#pst-primary-sidebar"):  # a div: the theme's script looks for one
        sidebar["role"] = "complementary"
        sidebar["aria-label"] = "The book"


def name_controls(soup: BeautifulSoup) -> None:
    """Buttons say what they do; the icon in them says nothing."""
    names = {".primary-toggle": "Chapters", ".secondary-toggle": "Contents of this page"}
    for selector, name in names.items():
        for button in soup.select(selector):
            button["aria-label"] = button["title"] = name
            button["class"].append("pst-js-only")  # without scripts it would do nothing
    for icon in soup.select("i[class*=fa-], span[class*=fa-]"):
        icon["aria-hidden"] = "true"
    for button in soup.select("button[onclick='window.print()']"):
        del button["onclick"]  # which the policy forbids; book.js prints
        button["data-prints"] = ""
    for summary in soup.select("summary[aria-label]"):
        del summary["aria-label"]  # "Toggle hidden content", over the words that are seen


def tell_lists_and_tables(soup: BeautifulSoup) -> None:
    """Roles that are still in use, and a corner that heads nothing is no heading."""
    for entry in soup.select("[role=doc-biblioentry]"):
        entry["role"] = "listitem"
    for corner in soup.select("th"):
        if not corner.get_text(strip=True) and not corner.find("img"):
            corner.name = "td"
        for math in corner.select("math"):  # else a heading that is a formula counts as empty
            math["aria-label"] = math.get_text().removesuffix(math.annotation.get_text())


def forbid_the_rest(soup: BeautifulSoup) -> None:
    """Write the policy, first thing after the encoding."""
    hashes = " ".join(dict.fromkeys(hashes_of_scripts(soup)))
    policy = "; ".join(POLICY).format(hashes=hashes)
    meta = soup.new_tag("meta", content=policy)
    meta["http-equiv"] = "Content-Security-Policy"
    soup.select_one("meta[charset]").insert_after(meta)


def hashes_of_scripts(soup: BeautifulSoup) -> Iterator[str]:
    """What the policy calls each inline script that would run; data are no script."""
    for script in soup.find_all("script", src=False):
        if script.get("type", "text/javascript") in ("text/javascript", "module"):
            digest = hashlib.sha256((script.string or "").encode()).digest()
            yield f"'sha256-{base64.b64encode(digest).decode()}'"


STEPS = (
    point_to_webp,
    drop_what_is_not_used,
    let_text_come_first,
    color_at_once,
    name_regions,
    name_controls,
    tell_lists_and_tables,
    forbid_the_rest,
)


def begin(app: Sphinx) -> None:
    """Finish every page before it reaches the disk, and at the end the files that pages load."""
    if app.builder.format != "html":
        return
    repository = app.config.html_theme_options["repository_url"]
    sheets: list[str] = []
    # Sphinx 7.4 has no event between the rendering of a page and its writing, so that its template
    # loader is wrapped: without this, no page would be finished.
    render = app.builder.templates.render

    def render_and_finish(template: str, context: dict[str, Any]) -> str:
        text = render(template, context)
        if not text.lstrip().lower().startswith("<!doctype html"):
            return text  # a part of a page
        soup = BeautifulSoup(text, "html.parser")
        folder, _, name = context["pagename"].rpartition("/")
        if folder == "notebooks":
            add_facts(soup, name, repository)
        sheets[:] = link_one_sheet(soup)
        for step in STEPS:
            step(soup)
        return str(soup)

    def end(app: Sphinx, exception: Exception | None) -> None:
        if not exception:
            lighten(Path(app.outdir), sheets)

    app.builder.templates.render = render_and_finish
    app.connect("build-finished", end)


START = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={start}"><link rel="icon" href="_static/favicon.svg">
</head>
<body><main><h1>{title}</h1><p><a href="{start}">To the first page</a></p></main></body></html>
"""


def write_start(app: Sphinx, exception: Exception | None) -> None:
    """Let index.html lead to the first page; Jupyter Book's own has no title and no icon."""
    if exception or app.builder.format != "html" or app.config.root_doc == "index":
        return
    start = app.builder.get_target_uri(app.config.root_doc)
    soup = BeautifulSoup(START.format(title=app.config.html_title, start=start), "html.parser")
    forbid_the_rest(soup)
    Path(app.outdir, "index.html").write_text(str(soup), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the above to Sphinx."""
    app.connect("builder-inited", begin)
    app.connect("build-finished", write_start, priority=900)  # after Jupyter Book's
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
