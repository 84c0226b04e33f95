"""The files of the site made lighter, and none of them poorer.

- Figures are stored as lossless WebP: the same pixels in 30 to 40 % of the bytes of a PNG.
- The nine style sheets of the theme, of its extensions and of the book become one: a page shows
  nothing before it has them all, and each is a request. What a widget brings stays on its own.
- In it, rules for classes that no page and no script names leave: most of the theme's.
- A font of the icons that are left goes before the theme's own, which has 1400 in 156 kB and which
  a browser then asks for only if it meets another icon.
"""

import hashlib
import logging
import posixpath
import re
from itertools import groupby, pairwise
from pathlib import Path

import pydata_sphinx_theme
import tinycss2
from bs4 import BeautifulSoup
from fontTools import subset
from PIL import Image
from tinycss2.ast import Node

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
FONT = Path("vendor", "fontawesome", "webfonts", "fa-solid-900.ttf")
ICONS = "icons.woff"
ONE_SHEET = "site.css"
IN_ONE_SHEET = re.compile(
    r"_static/(styles/[\w-]+|pygments|copybutton|mystnb\.\w+|katex/katex\.min|katex-math|book)\.css"
)
ICON = re.compile(r'(?:\.fa-[a-z0-9-]+::?before|--pst-icon-[a-z-]+)\s*[{:][^"}]*"([^"]+)"')
BARE = {"skip_comments": True, "skip_whitespace": True}
MADE_BY_SCRIPTS = "bs-"  # the start of the classes that Bootstrap puts together from parts


def point_to_webp(soup: BeautifulSoup) -> None:
    """Let a page show its figures by the names that `store_webp` gives them."""
    for attribute in ("src", "href"):
        for tag in soup.select(f'[{attribute}*="_images/"][{attribute}$=".png"]'):
            tag[attribute] = tag[attribute].removesuffix(".png") + ".webp"


def link_one_sheet(soup: BeautifulSoup) -> list[str]:
    """Put one link in the place of those to the sheets that become one, and return their names."""
    links = [
        link
        for link in soup.select("link[rel=stylesheet]")
        if IN_ONE_SHEET.search(link.get("href", ""))
    ]
    if not links:
        return []
    addresses = [link["href"] for link in links]
    version = hashlib.sha256(" ".join(addresses).encode()).hexdigest()[:8]
    root = addresses[0].partition("_static/")[0]
    links[0]["href"] = f"{root}_static/{ONE_SHEET}?v={version}"
    for link in links[1:]:
        link.decompose()
    return [address.partition("_static/")[2].partition("?")[0] for address in addresses]


def one_sheet(static: Path, names: list[str]) -> str:
    """These sheets in one, with the addresses in them as seen from there."""

    def text(name: str) -> str:
        folder = posixpath.dirname(name)

        def moved(match: re.Match[str]) -> str:
            return f"url({match[1]}{posixpath.normpath(posixpath.join(folder, match[2]))}"

        def imported(match: re.Match[str]) -> str:
            return text(posixpath.normpath(posixpath.join(folder, match[1])))

        sheet = (static / name).read_text(encoding="utf-8")
        sheet = re.sub(r"""url\((["']?)(?!data:|#|/|\w+:)([^"')]+)""", moved, sheet)
        return re.sub(r"""@import ["']([^"']+)["'];""", imported, sheet)

    return "\n".join(text(name) for name in names)


def without_unused(rules: list[Node], words: set[str]) -> str:
    """The rules that an element can meet whose classes are all among these words."""
    kept = []
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [one for one in between_commas(rule.prelude) if classes(one) <= words]
            if selectors:
                names = ",".join(tinycss2.serialize(one).strip() for one in selectors)
                kept.append(f"{names}{{{tinycss2.serialize(rule.content)}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            if content := without_unused(tinycss2.parse_rule_list(rule.content, **BARE), words):
                condition = tinycss2.serialize(rule.prelude)
                kept.append(f"@{rule.at_keyword}{condition}{{{content}}}")
        else:
            kept.append(rule.serialize())
    return "\n".join(kept)


def between_commas(prelude: list[Node]) -> list[list[Node]]:
    """The selectors of a rule."""
    runs = groupby(prelude, key=lambda token: token == ",")
    return [list(run) for is_comma, run in runs if not is_comma]


def classes(selector: list[Node]) -> set[str]:
    """The classes that an element or those around it must have, less those in :is() and :not()."""
    return {
        name.value
        for dot, name in pairwise(selector)
        if dot == "." and name.type == "ident" and not name.value.startswith(MADE_BY_SCRIPTS)
    }


def store_webp(folder: Path) -> None:
    """Turn the figures in this folder into WebP."""
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            has_alpha = "A" in image.getbands() and image.getchannel("A").getextrema() != (255, 255)
            pixels = image if has_alpha else image.convert("RGB")
            pixels.save(path.with_suffix(".webp"), lossless=True, exact=True, method=2)
        path.unlink()


def code_point(content: str) -> int:
    r"""The character that a rule of an icon names: itself, or as in \f0c9."""
    return int(content[1:], 16) if content.startswith("\\") else ord(content)


def store_icons(static: Path, sheet: str) -> str:
    """Store a font of the icons that this sheet names, and return the rule that loads it."""
    points = {code_point(content.strip()) for content in ICON.findall(sheet)}
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # else a build prints each table
    options = subset.Options(flavor="woff", hinting=False)
    font = subset.load_font(THEME / FONT, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=points)
    subsetter.subset(font)
    subset.save_font(font, static / ICONS, options)
    codes = ",".join(f"U+{point:X}" for point in sorted(points))
    return (
        '@font-face{font-family:"Font Awesome 6 Free";font-style:normal;font-weight:900;'
        f'font-display:block;src:url({ICONS}) format("woff");unicode-range:{codes}}}'
    )


def lighten(folder: Path, sheets: list[str]) -> None:
    """Do the above to a site whose files are all there."""
    static = folder / "_static"
    for script in static.rglob("fontawesome.js*"):  # 1.5 MB that no page asks for
        script.unlink()
    store_webp(folder / "_images")
    if not sheets:
        return
    words: set[str] = set()
    for path in [*folder.rglob("*.html"), *static.rglob("*.js")]:
        words.update(re.findall(r"[A-Za-z_][\w-]*", path.read_text(encoding="utf-8")))
    rules = tinycss2.parse_stylesheet(one_sheet(static, sheets), **BARE)
    sheet = without_unused(rules, words)
    sheet = f"{sheet}\n{store_icons(static, sheet)}\n"
    (static / ONE_SHEET).write_text(sheet, encoding="utf-8")
