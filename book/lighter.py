"""The files of the site made lighter, and none of them poorer.

- Figures are stored as lossless WebP: the same pixels in 30 to 40 % of the bytes of a PNG.
- The theme's style sheet names 1881 icons, and its font draws them in 156 kB. The rules of icons
  that no page shows leave, and a font of those that are shown goes before the theme's own, which a
  browser then asks for only if it meets another icon.
"""

import re
from pathlib import Path

import pydata_sphinx_theme
from bs4 import BeautifulSoup
from fontTools import subset
from PIL import Image
from sphinx.application import Sphinx

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
SHEET = Path("styles", "pydata-sphinx-theme.css")
FONT = Path("vendor", "fontawesome", "webfonts", "fa-solid-900.ttf")
ICONS = "icons.woff"

NAMES = r"((?:\.fa-[a-z0-9-]+::?before,?)+)"
RULE_OF_AN_ICON = re.compile(NAMES + r'\{content:"([^"]+)"\}')
ICON_OF_THE_THEME = re.compile(r'--pst-icon-[a-z-]+:"(.)"')  # as of admonitions


def point_to_webp(soup: BeautifulSoup) -> None:
    """Let a page show its figures by the names that `store_webp` gives them."""
    for attribute in ("src", "href"):
        for tag in soup.select(f'[{attribute}*="_images/"][{attribute}$=".png"]'):
            tag[attribute] = tag[attribute].removesuffix(".png") + ".webp"
    for image in soup.select("article img"):
        image["decoding"] = "async"


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


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Do the above when all files are there."""
    if exception or app.builder.format != "html":
        return
    store_webp(Path(app.outdir, "_images"))
    pages = (path.read_text(encoding="utf-8") for path in Path(app.outdir).rglob("*.html"))
    shown = {name for page in pages for name in re.findall(r"\bfa-[a-z0-9-]+", page)}
    store_icons(Path(app.outdir, "_static"), shown)
