"""Claims about the files that were made lighter: they show what they showed."""

import base64
import io
import json
import re

import lighter
import pytest
import tinycss2
from built_site import CHAPTERS, ROOT
from fontTools.ttLib import TTFont
from PIL import Image, ImageChops


def test_figures_on_the_pages_are_the_notebooks_figures_to_the_pixel(site):
    for name in CHAPTERS:
        notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        stored = [
            output["data"]["image/png"]
            for output in outputs
            if "image/png" in output.get("data", {})
        ]
        page = site.chapter(name)
        shown = [image["src"] for image in page.soup.select(".cell_output figure img")]
        assert len(shown) == len(stored)
        for png, source in zip(stored, shown, strict=True):
            assert source.endswith(".webp")
            ours = Image.open(page.path.parent / source).convert("RGBA")
            theirs = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
            assert ImageChops.difference(ours, theirs).getbbox() is None, source


def test_no_figure_is_stored_twice(site):
    images = list((site.folder / "_images").iterdir())
    assert images
    assert {path.suffix for path in images} <= {".webp", ".svg"}


def test_every_icon_of_a_page_is_in_the_small_font(site):
    sheet = (site.folder / "_static" / lighter.ONE_SHEET).read_text(encoding="utf-8")
    glyphs = TTFont(site.folder / "_static" / lighter.ICONS).getBestCmap()
    named = 0
    for page in site.pages.values():
        for icon in page.soup.select("[class*=fa-solid], .fas"):
            for name in icon["class"]:
                found = re.search(rf'\.{name}::?before[^{{]*{{content:"([^"]+)"', sheet)
                named += bool(found)
                assert not found or lighter.code_point(found[1].strip()) in glyphs, name
    assert named


def test_addresses_in_the_one_sheet_lead_to_files(site):
    static = site.folder / "_static"
    sheet = (static / lighter.ONE_SHEET).read_text(encoding="utf-8")
    addresses = re.findall(r"""url\(["']?(?!data:)([^"')?#]+)""", sheet)
    assert any("katex/fonts" in address for address in addresses)
    for address in addresses:  # a browser takes woff2, the first of a font's formats
        path = static / address
        assert path.is_file() or path.with_suffix(".woff2").is_file(), address
    assert "@import" not in sheet


def test_a_page_asks_for_one_sheet(site):
    for page in site.pages.values():
        if page.soup.find("article"):
            sheets = [link["href"] for link in page.soup.select("link[rel=stylesheet]")]
            assert sum(lighter.ONE_SHEET in sheet for sheet in sheets) == 1
            assert not [sheet for sheet in sheets if lighter.IN_ONE_SHEET.search(sheet)]


@pytest.mark.parametrize(
    ("sheet", "left"),
    [
        ("p{color:red}", "p{color:red}"),
        (".used{color:red}", ".used{color:red}"),
        (".gone{color:red}", ""),
        (".used.gone{color:red}", ""),
        (".gone .used,p .used{color:red}", "p .used{color:red}"),
        (".used:not(.gone){color:red}", ".used:not(.gone){color:red}"),
        (":is(.gone,.used){color:red}", ":is(.gone,.used){color:red}"),
        (".bs-tooltip-top{color:red}", ".bs-tooltip-top{color:red}"),
        ("@media print{.gone{color:red}}", ""),
        ("@media print{.gone{color:red}p{color:red}}", "@media print{p{color:red}}"),
        ("@font-face{font-family:a}", "@font-face{font-family:a}"),
        ("@keyframes a{to{color:red}}", "@keyframes a{to{color:red}}"),
        ('a[href=".gone"]{color:red}', 'a[href=".gone"]{color:red}'),
    ],
)
def test_only_rules_that_no_element_can_meet_leave(sheet, left):
    rules = tinycss2.parse_stylesheet(sheet, **lighter.BARE)
    assert lighter.without_unused(rules, {"used", "p"}) == left


def test_a_sheet_from_a_folder_keeps_its_addresses(tmp_path):
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "a.css").write_text(
        """@import "../basic.css"; a{src:url(../f/x.woff2),url("b.png"),url(data:,),url(#c)}"""
    )
    (tmp_path / "basic.css").write_text("p{src:url('f.png')}")
    assert lighter.one_sheet(tmp_path, ["styles/a.css"]) == (
        """p{src:url('f.png')} a{src:url(f/x.woff2),url("styles/b.png"),url(data:,),url(#c)}"""
    )
