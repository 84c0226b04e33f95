"""The live widgets of a page: their state, their script, and what stands there without scripts.

MyST-NB puts the widgets' state, as the notebook stores it, into the page's head. Here it moves to
the end of the text, without the code that it may carry for Jupyter: a script with the code of just
this page's widgets is loaded instead. A page with a widget that no script draws is a warning.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from vae_helpers.explorer.bundle import WIDGETS, page_models, page_script, style_sheet

logger = logging.getLogger(__name__)

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
KEPT = ("path", "data")  # of a buffer
OPENING = f'<script type="{VIEW}">'
WITHOUT_SCRIPTS = (
    '<noscript><p class="live-off">This figure moves where the browser runs scripts. '
    "A printed figure above shows one state of it.</p></noscript>"
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
            models[identity]["buffers"] = [{key: each[key] for key in KEPT} for each in buffers]
    return {"state": models}


def bring_to_life(app: Sphinx, doctree: nodes.document) -> None:
    """Move the state to the end of the text, slim, and check that all of it can be drawn."""
    name = app.env.docname
    views = [node for node in doctree.findall(nodes.raw) if node.astext().startswith(OPENING)]
    # Where MyST-NB 1.4 keeps it: left there, it would hold up the head of the page.
    files = app.env.nb_metadata[name].get("js_files", {})
    _, attributes = files.pop("ipywidgets_state", (None, {"body": '{"state": {}}'}))
    stored = json.loads(attributes["body"])
    states = stored["state"].values()  # of our widgets, and of those of ipywidgets
    models = {model["state"].get("_anywidget_id", model["model_name"]) for model in states}
    for unknown in sorted(models - page_models()):
        logger.warning(
            "no script of the page draws the widget %s: expected one of %s. "
            "Add it to WIDGETS in bundle.py or to MODELS in page.js, or show something else.",
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
    app.env.metadata[name]["live_models"] = sorted(models) if views else None


def load_assets(app: Sphinx, name: str, *_: Any) -> None:
    """Load script and style sheet on the pages that hold a widget, and on no other.

    The files are written before the page, which carries their checksums.
    """
    models = app.env.metadata.get(name, {}).get("live_models")
    if models is None:
        return
    files = [file for widget, file in WIDGETS.items() if widget in models]
    script = "-".join(["explorer", *files]) + ".js"
    folder = Path(app.outdir, "_static")
    (folder / script).write_text(page_script(models), encoding="utf-8")
    (folder / "explorer.css").write_text(style_sheet(), encoding="utf-8")
    app.add_js_file(script, loading_method="defer")
    app.add_css_file("explorer.css")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the above to Sphinx."""
    app.connect("doctree-read", bring_to_life)
    app.connect("html-page-context", load_assets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
