"""The live widgets of a page: their state, their script, and what stands there without scripts.

MyST-NB puts the widgets' state, as the notebook stores it, into the page's head. Here it moves to
the end of the text, without the code that it carries for Jupyter: `explorer.js` has it all, once
for the site. A page that holds a widget which that script does not know is a warning.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from vae_helpers.explorer.bundle import page_models, page_script, style_sheet

logger = logging.getLogger(__name__)

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
OPENING = f'<script type="{VIEW}">'
WITHOUT_SCRIPTS = (
    '<noscript><p class="live-off">This figure moves where the browser runs scripts. '
    "The printed figures beside it say the same.</p></noscript>"
)


def slim(stored: dict[str, Any]) -> dict[str, Any]:
    """The state that a page needs: no code, no style sheet, nothing that is not set."""
    models = {}
    for identity, model in stored["state"].items():
        kept = {
            name: value
            for name, value in model["state"].items()
            if value is not None and (not name.startswith("_") or name == "_anywidget_id")
        }
        models[identity] = {"model_name": model["model_name"], "state": kept}
        if buffers := model.get("buffers"):
            models[identity]["buffers"] = [
                {"path": buffer["path"], "data": buffer["data"]} for buffer in buffers
            ]
    return {"state": models}


def unknown_models(stored: dict[str, Any]) -> list[str]:
    """The names of the models that the page's script cannot draw."""
    names = {
        model["state"].get("_anywidget_id", model["model_name"])
        for model in stored["state"].values()
    }
    return sorted(names - page_models())


def bring_to_life(app: Sphinx, doctree: nodes.document) -> None:
    """Move the state to the end of the text, slim, and check that all of it can be drawn."""
    name = app.env.docname
    views = [node for node in doctree.findall(nodes.raw) if node.astext().startswith(OPENING)]
    files = app.env.nb_metadata[name].get("js_files", {})
    _, attributes = files.pop("ipywidgets_state", (None, {"body": '{"state": {}}'}))
    stored = json.loads(attributes["body"])
    for unknown in unknown_models(stored):
        logger.warning(
            "the page's script does not know the widget %s: expected one of %s. "
            "Add it to page.js, or show something else.",
            *(unknown, ", ".join(sorted(page_models()))),
            location=name,
        )
    for view in views:
        text = view.astext().removeprefix(OPENING).removesuffix("</script>")
        if json.loads(text)["model_id"] not in stored["state"]:
            logger.warning(
                "a widget has no state in the notebook, and would be blank: expected the state "
                "that an execution stores. Run `make notebooks`.",
                location=name,
            )
        view.append(nodes.Text(WITHOUT_SCRIPTS))
    if views:
        body = json.dumps(slim(stored), separators=(",", ":")).replace("<", r"\u003c")
        doctree += nodes.raw("", f'<script type="{STATE}">{body}</script>', format="html")
    app.env.metadata[name]["is_live"] = bool(views)


def write_assets(app: Sphinx) -> None:
    """Write the script and the style sheet; before the pages, which carry their checksums."""
    if app.builder.format == "html":
        folder = Path(app.outdir, "_static")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "explorer.js").write_text(page_script(), encoding="utf-8")
        (folder / "explorer.css").write_text(style_sheet(), encoding="utf-8")


def load_assets(app: Sphinx, name: str, *_: Any) -> None:
    """Load them on the pages that hold a widget, and on no other."""
    if app.env.metadata.get(name, {}).get("is_live"):
        app.add_js_file("explorer.js", loading_method="defer")
        app.add_css_file("explorer.css")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the above to Sphinx."""
    app.connect("doctree-read", bring_to_life)
    app.connect("builder-inited", write_assets)
    app.connect("html-page-context", load_assets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
