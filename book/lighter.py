"""The files of the site made lighter, and none of them poorer.

- Figures are stored as lossless WebP: the same pixels in 30 to 40 % of the bytes of a PNG.
- The nine style sheets of the theme, of its extensions and of the book become one: a page shows
  nothing before it has them all, and each is a request. What a widget brings stays on its own.
- The theme's style sheet names 1881 icons, and its font draws them in 156 kB. The rules of icons
  that no page shows leave, and a font of those that are shown goes before the theme's own, which a
  browser then asks for only if it meets another icon.
"""

import hashlib
import posixpath
import re
from pathlib import Path

import pydata_sphinx_theme
from bs4 import BeautifulSoup
from fontTools import subset
from PIL import Image

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
SHEET = Path("styles", "pydata-sphinx-theme.css")
FONT = Path("vendor", "fontawesome", "webfonts", "fa-solid-900.ttf")
ICONS = "icons.woff"
ONE_SHEET = "site.css"
IN_ONE_SHEET = re.compile(
    r"_static/(styles/[\w-]+|pygments|copybutton|mystnb\.\w+|katex/katex\.min|katex-math|book)\.css"
)

NAMES = r"((?:\.fa-[a-z0-9-]+::?before,?)+)"
RULE_OF_AN_ICON = re.compile(NAMES + r'\{content:"([^"]+)"\}')
ICON_OF_THE_THEME = re.compile(r'--pst-icon-[a-z-]+:"(.)"')  # as of admonitions


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
    links[-1]["href"] = f"{root}_static/{ONE_SHEET}?v={version}"
    for link in links[:-1]:
        link.decompose()
    return [address.partition("_static/")[2].partition("?")[0] for address in addresses]


def store_one_sheet(static: Path, names: list[str]) -> None:
    """Write these sheets into one, with the addresses in them as seen from there."""

    def text(name: str) -> str:
        folder = posixpath.dirname(name)

        def moved(match: re.Match[str]) -> str:
            return f"url({match[1]}{posixpath.normpath(posixpath.join(folder, match[2]))}"

        def imported(match: re.Match[str]) -> str:
            return text(posixpath.normpath(posixpath.join(folder, match[1])))

        sheet = (static / name).read_text(encoding="utf-8")
        sheet = re.sub(r"""url\((["']?)(?!data:|#|/|\w+:)([^"')]+)""", moved, sheet)
        return re.sub(r"""@import ["']([^"']+)["'];""", imported, sheet)

    content = "\n".join(text(name) for name in names)
    (static / ONE_SHEET).write_text(content, encoding="utf-8")


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


def store_icons(static: Path, shown: set[str]) -> None:
    """Store the theme's style sheet with these icons alone, and a font of them."""
    sheet = (THEME / SHEET).read_text(encoding="utf-8")
    points = {ord(character) for character in ICON_OF_THE_THEME.findall(sheet)}

    def kept(rule: re.Match[str]) -> str:
        if shown.isdisjoint(re.findall(r"fa-[a-z0-9-]+", rule[1])):
            return ""
        points.add(code_point(rule[2].strip()))
        return rule[0]

    sheet = RULE_OF_AN_ICON.sub(kept, sheet)
    codes = ",".join(f"U+{point:X}" for point in sorted(points))
    sheet += (
        '\n@font-face{font-family:"Font Awesome 6 Free";font-style:normal;font-weight:900;'
        f'font-display:block;src:url(../{ICONS}) format("woff");unicode-range:{codes}}}\n'
    )
    (static / SHEET).write_text(sheet, encoding="utf-8")

    options = subset.Options(flavor="woff", hinting=False)
    font = subset.load_font(THEME / FONT, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=points)
    subsetter.subset(font)
    subset.save_font(font, static / ICONS, options)


def lighten(folder: Path, sheets: list[str]) -> None:
    """Do the above to a site whose files are all there."""
    store_webp(folder / "_images")
    pages = (path.read_text(encoding="utf-8") for path in folder.rglob("*.html"))
    shown = {name for page in pages for name in re.findall(r"\bfa-[a-z0-9-]+", page)}
    store_icons(folder / "_static", shown)
    if sheets:
        store_one_sheet(folder / "_static", sheets)
