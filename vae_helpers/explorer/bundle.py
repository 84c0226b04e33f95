"""Join the JavaScript modules: a browser gets one text, a reader and a test small files.

The modules keep to a few rules, so that joining them is no more than dropping words:

- imports stand at the top, one a line: ``import { a, b } from "./network.js";``
- exports are ``export function``, ``export const`` or ``export class`` and a name
- a name at the top level of a file is used in no other file
- comments start with ``//``, at the start of a line or after a space; no text runs over several
  lines, and no regular expression holds a quotation mark

Comments, and spaces that mean nothing, do not go along: they would be a sixth of what is sent. A
file that breaks a rule is an error that names the file and the line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent

WIDGETS = {
    "vae_helpers.explorer.densities.GapFigure": "gap",
    "vae_helpers.explorer.densities.KLFigure": "kl",
    "vae_helpers.explorer.latent.LatentCanvas": "latent",
    "vae_helpers.explorer.pad.DigitPad": "pad",
}
"""Our widgets: the name of the Python class, and of the JavaScript file that draws it."""

IMPORT = re.compile(r'import \{ ([\w$, ]+) \} from "\./(\w+)\.js";')
EXPORT = re.compile(r"export (?:async )?(?:function\*?|const|class) ([\w$]+)")
NAME = re.compile(r"(?:export )?(?:async )?(?:function\*?|const|let|var|class) ([\w$]+)")

TEXT = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)""")
COMMENT = re.compile(r"(?:^|\s)//.*")
SPACE = re.compile(r"\s*([=<>?:,;(){}\[\]|&!*%])\s*|(?<![+-])\s*([+-])\s*(?![+-])")


def widget_module(entry: str, *, folder: Path = FOLDER) -> str:
    """Return the ES module that anywidget loads: the file and all that it imports.

    Args:
        entry: name of a widget's file, such as ``latent`` for ``latent.js``; the file exports
            ``renderLatent``.
        folder: where the files are.

    Returns:
        A module whose default export has the function ``render``.

    Raises:
        ValueError: there is no such file, it exports no such function, or a file breaks a rule.
    """
    text = _joined([entry], folder)
    return f"{text}export default{{render:{_render(entry)}}};\n"


def page_script(models: Collection[str] = WIDGETS, *, folder: Path = FOLDER) -> str:
    """Return the classic script that brings the widgets of a page to life.

    It is no module, because browsers load those from no ``file://`` address.

    Args:
        models: names of the page's models; of our widgets the script holds those alone.
        folder: where the files are.

    Raises:
        ValueError: a file breaks a rule.
    """
    held = {name: file for name, file in WIDGETS.items() if name in models}
    text = _joined(["page", *held.values()], folder)
    widgets = ",".join(f'"{name}":{_render(file)}' for name, file in held.items())
    return f'(()=>{{\n"use strict";\n{text}startPage(document,{{{widgets}}});\n}})();\n'


def style_sheet(*, folder: Path = FOLDER) -> str:
    """Return the widgets' style sheet without its comments and without spaces that mean nothing."""
    text = re.sub(r"/\*.*?\*/", "", (folder / "explorer.css").read_text("utf-8"), flags=re.DOTALL)
    return re.sub(r"\s*([{},;])\s*|(?<=:)\s+", r"\1", text).strip() + "\n"


def page_models(*, folder: Path = FOLDER) -> set[str]:
    """Return the names of the models that a page can show: our widgets, and those of ipywidgets.

    The latter are the keys of the object MODELS in ``page.js``, one a line.

    Raises:
        ValueError: ``page.js`` has no such object.
    """
    text = (folder / "page.js").read_text("utf-8")
    found = re.search(r"^const MODELS = \{\n(.*?)^\};", text, flags=re.DOTALL | re.MULTILINE)
    if not found:
        raise ValueError(
            "page.js has no object MODELS: expected `const MODELS = {` and one model a line. "
            "The build reads the names of the models there."
        )
    return {*WIDGETS, *re.findall(r"^ *(\w+):", found[1], flags=re.MULTILINE)}


def _render(entry: str) -> str:
    """The function that draws a widget, by the name of its file."""
    return "startPage" if entry == "page" else f"render{entry.capitalize()}"


def _joined(entries: Sequence[str], folder: Path) -> str:
    """Return the files and what they import, each once, before what needs it; no import is left."""
    texts: dict[str, str] = {}
    exports: dict[str, set[str]] = {}
    owners: dict[str, str] = {}
    visiting: list[str] = []

    def visit(name: str, asked_by: str) -> None:
        if name in texts:
            return
        path = folder / f"{name}.js"
        if not path.is_file():
            raise ValueError(
                f"{asked_by}: expected a file {path.name}; found none. Check the name."
            )
        if name in visiting:
            circle = " → ".join([*visiting[visiting.index(name) :], name])
            raise ValueError(
                f"{asked_by}: expected imports that run one way; found the circle {circle}. "
                "Move what both need into a third file."
            )
        visiting.append(name)
        exports[name], lines, head = set(), [], True
        for number, raw in enumerate(path.read_text("utf-8").splitlines(), start=1):
            line, place = _squeezed(raw), f"{path.name}, line {number}"
            if not line:
                continue
            imported = IMPORT.fullmatch(raw)
            if imported and head:
                visit(imported[2], place)
                if unknown := {n.strip() for n in imported[1].split(",")} - exports[imported[2]]:
                    raise ValueError(
                        f"{place}: expected names that {imported[2]}.js exports; "
                        f"found {', '.join(sorted(unknown))}. Export them there."
                    )
                continue
            head = False
            exported = EXPORT.match(raw)
            if re.match(r"\s*(import|export)\b", raw) and not exported:
                raise ValueError(
                    f'{place}: expected `import {{ a }} from "./file.js";` at the top, or '
                    f"`export function`, `const` or `class`; found {raw.strip()!r}. Write it so."
                )
            if "/*" in line or re.search("[\"'`]", TEXT.sub("", line)):
                raise ValueError(
                    f"{place}: expected comments with // and texts that end on their line; "
                    f"found {raw.strip()!r}. Write it so."
                )
            if named := NAME.match(raw):
                if named[1] in owners:
                    raise ValueError(
                        f"{place}: expected a name of its own at the top level; found {named[1]}, "
                        f"which is in {owners[named[1]]} too. Rename one."
                    )
                owners[named[1]] = path.name
            if exported:
                exports[name].add(exported[1])
                line = line.removeprefix("export ")
            lines.append(line)
        visiting.pop()
        texts[name] = "\n".join(lines)

    for entry in entries:
        visit(entry, "the bundle")
        if _render(entry) not in exports[entry]:
            raise ValueError(
                f"{entry}.js: expected `export function {_render(entry)}`; "
                f"found {', '.join(sorted(exports[entry])) or 'no export'}. Export it."
            )
    return "".join(f"{text}\n" for text in texts.values())


def _squeezed(line: str) -> str:
    """The line without its comment, and without spaces about signs where they mean nothing."""
    parts = TEXT.split(line)  # code and texts by turns
    for index in range(0, len(parts), 2):
        code = COMMENT.sub("", parts[index])
        if code != parts[index]:
            return "".join([*parts[:index], SPACE.sub(r"\1\2", code)]).strip()
        parts[index] = SPACE.sub(r"\1\2", code)
    return "".join(parts).strip()
