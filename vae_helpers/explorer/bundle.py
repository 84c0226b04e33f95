"""Join the JavaScript modules: a browser gets one text, a reader and a test small files.

The modules keep to a few rules, so that joining them is no more than dropping words:

- imports stand at the top, one a line: ``import { a, b } from "./network.js";``
- exports are ``export function``, ``export const`` or ``export class`` and a name
- a name at the top level of a file is used in no other file
- comments have lines of their own, with ``//``; no text runs over several lines

A file that breaks a rule is an error that names the file and the line.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent

IMPORT = re.compile(r'import \{ ([\w$, ]+) \} from "\./(\w+)\.js";')
EXPORT = re.compile(r"export (?:async )?(?:function\*?|const|class) ([\w$]+)")
NAME = re.compile(r"(?:export )?(?:async )?(?:function\*?|const|let|var|class) ([\w$]+)")


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
    text = _joined(entry, f"render{entry.capitalize()}", folder)
    return f"{text}export default {{ render: render{entry.capitalize()} }};\n"


def page_script(*, folder: Path = FOLDER) -> str:
    """Return the classic script that brings the widgets of a page to life.

    It is no module, because browsers load those from no ``file://`` address.

    Raises:
        ValueError: a file breaks a rule.
    """
    text = _joined("page", "startPage", folder)
    return f'(() => {{\n"use strict";\n{text}startPage(document);\n}})();\n'


def style_sheet(*, folder: Path = FOLDER) -> str:
    """Return the widgets' style sheet without its comments and indentation."""
    text = re.sub(r"/\*.*?\*/", "", (folder / "explorer.css").read_text("utf-8"), flags=re.DOTALL)
    return "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip())


def page_models(*, folder: Path = FOLDER) -> set[str]:
    """Return the names of the models that `page_script` knows: ``_anywidget_id`` or model name.

    They are the keys of the objects WIDGETS and MODELS in ``page.js``, one a line.

    Raises:
        ValueError: ``page.js`` has no such object.
    """
    text = (folder / "page.js").read_text("utf-8")
    names: set[str] = set()
    for name in ("WIDGETS", "MODELS"):
        found = re.search(
            rf"^(?:export )?const {name} = \{{\n(.*?)^\}};", text, flags=re.DOTALL | re.MULTILINE
        )
        if not found:
            raise ValueError(
                f"page.js has no object {name}: expected `const {name} = {{` and one model a line. "
                "The build reads the names of the models there."
            )
        names |= set(re.findall(r'^ *"?([\w.]+)"?(?=:|,$)', found[1], flags=re.MULTILINE))
    return names


def _joined(entry: str, function: str, folder: Path) -> str:
    """Return the file and what it imports, each once, before what needs it; no import is left."""
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
            line, place = raw.strip(), f"{path.name}, line {number}"
            if not line or line.startswith("//"):
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
                    f"`export function`, `const` or `class`; found {line!r}. Write it so."
                )
            if "/*" in line or line.count("`") % 2:
                raise ValueError(
                    f"{place}: expected comments with // on lines of their own and no text over "
                    f"several lines; found {line!r}. Split it."
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

    visit(entry, "the bundle")
    if function not in exports[entry]:
        raise ValueError(
            f"{entry}.js: expected `export function {function}`; "
            f"found {', '.join(sorted(exports[entry])) or 'no export'}. Export it."
        )
    return "".join(f"{text}\n" for text in texts.values())
