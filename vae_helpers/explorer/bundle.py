"""Join the JavaScript modules: a browser gets one text, a reader and a test small files.

Imports, the word `export` and comments are dropped, and no more. So imports stand at the top, one
a line, and run one way; a name at the top level of a file is used in no other file; and a space
before ``//`` makes a comment wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

FOLDER = Path(__file__).parent

WIDGETS = {
    "vae_helpers.explorer.densities.GapFigure": "gap",
    "vae_helpers.explorer.densities.KLFigure": "kl",
    "vae_helpers.explorer.latent.LatentCanvas": "latent",
    "vae_helpers.explorer.pad.DigitPad": "pad",
}
"""Our widgets: the name of the Python class, and of the JavaScript file that draws it."""

IMPORT = re.compile(r'^import .* from "\./(\w+)\.js";\n', re.MULTILINE)
DROPPED = re.compile(rf"{IMPORT.pattern}|^export |^ *//.*\n| //.*$|^\n", re.MULTILINE)


def widget_module(file: str) -> str:
    """Return the ES module that anywidget loads: ``latent`` exports `renderLatent`, and so on."""
    return f"{_joined([file])}export default {{ render: {_render(file)} }};\n"


def page_script(models: Collection[str] = WIDGETS) -> str:
    """Return the classic script that brings the widgets of these models, and no other, to life.

    It is no module, because browsers load those from no ``file://`` address.
    """
    held = {name: file for name, file in WIDGETS.items() if name in models}
    widgets = ", ".join(f'"{name}": {_render(file)}' for name, file in held.items())
    text = _joined(["page", *held.values()])
    return f'(() => {{\n"use strict";\n{text}startPage(document, {{ {widgets} }});\n}})();\n'


def style_sheet() -> str:
    """Return the widgets' style sheet without its comments."""
    text = (FOLDER / "explorer.css").read_text("utf-8")
    return re.sub(r"\s*/\*.*?\*/", "", text, flags=re.DOTALL)


def page_models() -> set[str]:
    """Return the names of the models that a page can show: our widgets, and those of ipywidgets."""
    text = (FOLDER / "page.js").read_text("utf-8")
    table = re.search(r"const MODELS = \{\n(.*?)^\};", text, flags=re.DOTALL | re.MULTILINE)
    return {*WIDGETS, *re.findall(r"^ *(\w+):", table[1], flags=re.MULTILINE)}


def _render(file: str) -> str:
    return f"render{file.capitalize()}"


def _joined(files: Collection[str]) -> str:
    """Return the files and what they import, each once, before what needs it."""
    texts: dict[str, str] = {}

    def add(file: str) -> None:
        if file in texts:
            return
        text = (FOLDER / f"{file}.js").read_text("utf-8")
        for imported in IMPORT.findall(text):
            add(imported)
        texts[file] = DROPPED.sub("", text)

    for file in files:
        add(file)
    return "".join(texts.values())
