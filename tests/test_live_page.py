"""Claims about `pages/live_page.py`: a page holds what its widgets need, and nothing unknown."""

import json
import re
from pathlib import Path

import live_page
import nbformat
import pytest
from bs4 import BeautifulSoup
from built_site import build
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_site import book_of_one_page

SLIDER = {
    "model_name": "FloatSliderModel",
    "model_module": "@jupyter-widgets/controls",
    "state": {"_model_name": "FloatSliderModel", "value": 0.5, "tooltip": None},
}
CANVAS = {
    "model_name": "AnyModel",
    "state": {
        "_esm": "export default {}",
        "_css": ".live {}",
        "_anywidget_id": "vae_helpers.explorer.latent.LatentCanvas",
        "label": "</script><b>",
    },
    "buffers": [{"path": ["decoder"], "data": "AAAA", "encoding": "base64"}],
}


def notebook(folder: Path, models: dict) -> Path:
    """A book of one notebook that stores these models and shows the first."""
    source = book_of_one_page(folder, "# A page\n\nText.\n")
    data = {live_page.VIEW: {"model_id": "model-0", "version_major": 2, "version_minor": 0}}
    output = new_output("display_data", {**data, "text/plain": "Slider()"})
    cell = new_code_cell("slider", outputs=[output], execution_count=1)
    made = new_notebook(cells=[new_markdown_cell("# A page\n\nText."), cell])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.metadata.widgets = {live_page.STATE: {"state": models, "version_major": 2}}
    (source / "book" / "page.md").unlink()
    nbformat.write(made, source / "book" / "page.ipynb")
    return source


def test_a_page_holds_its_state_and_loads_the_script(tmp_path):
    models = {"model-0": SLIDER, "model-1": CANVAS}
    run = build(notebook(tmp_path / "source", models), tmp_path / "output")
    assert run.returncode == 0, run.stdout[-3000:]
    page = tmp_path / "output" / "_build" / "html" / "book" / "page.html"
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    (stored,) = soup.find_all("script", type=live_page.STATE)
    assert json.loads(stored.string)["state"] == {
        "model-0": {"model_name": "FloatSliderModel", "state": {"value": 0.5}},
        "model-1": {
            "model_name": "AnyModel",
            "state": {"_anywidget_id": CANVAS["state"]["_anywidget_id"], "label": "</script><b>"},
            "buffers": [{"path": ["decoder"], "data": "AAAA"}],
        },
    }
    assert "<" not in stored.string, "a text of the state could end the script"
    assert stored.find_parent("article"), "it is in the text, and does not hold up the page's head"
    (script,) = soup.find_all("script", src=re.compile("explorer"))
    assert script.has_attr("defer")
    assert script.get("type") is None, "browsers load no modules from file:// addresses"
    text = (page.parent / script["src"].split("?")[0]).read_text(encoding="utf-8")
    assert "renderLatent" in text
    assert "renderGap" not in text, "the code of a widget that the page does not hold"
    (sheet,) = soup.find_all("link", href=re.compile("explorer"))
    assert (page.parent / sheet["href"].split("?")[0]).is_file()


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"model-0": SLIDER | {"model_name": "TextModel"}}, ["TextModel", "bundle.py"]),
        ({"model-1": SLIDER}, ["no state in the notebook", "make notebooks"]),
    ],
    ids=["an unknown model", "another model's state"],
)
def test_a_page_with_a_widget_that_would_be_blank_fails_the_build(tmp_path, models, said):
    source = notebook(tmp_path / "source", models)
    run = build(source, tmp_path / "output")
    assert run.returncode != 0
    words = " ".join(run.stdout.split())
    for word in said:
        assert word in words
