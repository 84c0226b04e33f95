"""Claims about the live widgets' Python side: what a browser is given is what torch has."""

import base64
import copy
import json
import math
import struct
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
import traitlets
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vae_helpers.checkpoints import load_vae
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.data import load_mnist
from vae_helpers.explorer import DigitPad, LatentExplorer, bundle
from vae_helpers.explorer.cloud import MOST_POINTS, encode_means, pack_cloud
from vae_helpers.explorer.densities import GapFigure, KLFigure
from vae_helpers.explorer.latent import LatentCanvas
from vae_helpers.explorer.live import check_vae, float_slider, pack_floats, pack_network, widths
from vae_helpers.networks import VAE

WEIGHTS = Path(__file__).resolve().parents[1] / "data" / "vae.safetensors"


@pytest.fixture(scope="module")
def vae():
    return load_vae(WEIGHTS)


@pytest.fixture(scope="module")
def digits():
    images, labels = load_mnist("test")
    return images[:2000], labels[:2000]


def unpacked(content: bytes, count: int) -> np.ndarray:
    """The numbers of `pack_floats`, read back bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in content)
    tails = 24 * math.ceil(count / 4)
    halves = [
        int(bits[6 * i : 6 * i + 6] + bits[tails + 10 * i : tails + 10 * i + 10], 2)
        for i in range(count)
    ]
    return np.frombuffer(struct.pack(f"<{count}H", *halves), "<f2").astype(np.float32)


# pack_floats, pack_network


@given(st.lists(st.floats(-65504, 65504), min_size=1, max_size=40))
def test_packed_numbers_are_the_nearest_16_bit_floats(values):
    content = pack_floats(torch.tensor(values))
    assert len(content) == 3 * math.ceil(len(values) / 4) + math.ceil(10 * len(values) / 8)
    expected = torch.tensor(values).to(torch.float16).float().numpy()
    np.testing.assert_array_equal(unpacked(content, len(values)), expected)


@given(st.floats(-65504, 65504))
def test_packing_rounds_by_at_most_a_2048th_and_near_zero_by_less_than_a_ten_millionth(value):
    (found,) = unpacked(pack_floats(torch.tensor([value])), 1)
    assert abs(found - value) <= abs(value) / 2047 + 6e-8


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 65520, -1e6])
def test_numbers_that_16_bits_cannot_hold_are_refused(value):
    with pytest.raises(ValueError, match=r"at most 65504 in size; found .*\. Train"):
        pack_floats(torch.tensor([1.0, value]))


def test_a_network_is_packed_layer_by_layer_weight_then_bias(vae):
    layers = [layer for layer in vae.decoder.modules() if isinstance(layer, nn.Linear)]
    values = [v.detach().flatten() for layer in layers for v in (layer.weight, layer.bias)]
    expected = torch.cat(values).to(torch.float16).float().numpy()
    found = unpacked(pack_network(vae.decoder), len(expected))
    np.testing.assert_array_equal(found, expected)
    assert widths(vae.decoder) == [4, 32, 64, 784]
    assert widths(vae.encoder) == [784, 64, 32, 8]


# check_vae


def with_decoder(decoder: nn.Module) -> VAE:
    vae = VAE(latent_dim=2, hidden=(8,), pixels=16)
    vae.decoder = decoder
    return vae


def spoilt(value: float) -> VAE:
    vae = VAE(latent_dim=2, hidden=(8,), pixels=16)
    with torch.no_grad():
        vae.encoder.layers[2].bias[3] = value
    return vae


class Doubled(nn.Module):
    """The right layers, and twice the result."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 16))

    def forward(self, z):
        return torch.sigmoid(2 * self.layers(z))


UNFIT = {
    "a string": ("vae", r"found str\. Build"),
    "another module": (nn.Linear(2, 2), r"found Linear\. Build"),
    "17 latents": (VAE(latent_dim=17), r"at most 16 latents; found latent_dim = 17\. Train"),
    "no square": (VAE(pixels=10), r"square images; found 10 pixels.*\. Use"),
    "a tanh": (
        with_decoder(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 16), nn.Sigmoid())),
        r"the decoder must be linear layers.*; found Linear, Tanh, Linear, Sigmoid\. Build",
    ),
    "tanh in all layers": (VAE(activation="tanh"), r"found Linear, Tanh, Linear, Tanh, Linear"),
    "labels": (ConditionalVAE(), r"found 794 and 14 inputs\. A VAE that is also given labels"),
    "a convolution": (with_decoder(nn.Conv2d(1, 1, 3)), r"found Conv2d\. Build"),
    "no bias": (
        with_decoder(nn.Sequential(nn.Linear(2, 16, bias=False), nn.Sigmoid())),
        r"must have a bias; found none\. Build",
    ),
    "no sigmoid": (
        with_decoder(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 16))),
        r"the decoder must compute .*; found values that differ by .*\. Build",
    ),
    "twice the result": (with_decoder(Doubled()), r"the decoder must compute"),
    "NaN": (spoilt(math.nan), r"bias of linear layer 2 of the encoder .*; found nan\. Train"),
    "infinity": (spoilt(math.inf), r"bias of linear layer 2 of the encoder .*; found inf\. Train"),
    "too large": (spoilt(7e4), r"at most 65504 in size; found 70000\. Train"),
}


@pytest.mark.parametrize("wrong", UNFIT)
def test_a_model_that_a_browser_cannot_run_is_refused(wrong):
    vae, said = UNFIT[wrong]
    with pytest.raises(ValueError, match=said):
        check_vae(vae)


@pytest.mark.parametrize(
    "vae",
    [
        VAE(latent_dim=1, hidden=()),
        VAE(latent_dim=16, hidden=(9, 8, 7), pixels=25),
        VAE(latent_dim=2).double(),
        VAE(latent_dim=2, sigma2=None),
        with_decoder(nn.Sequential(nn.Linear(2, 16), nn.Sigmoid())),
    ],
    ids=["no hidden layer", "three", "double precision", "Bernoulli", "a sigmoid among the layers"],
)
def test_every_other_model_is_taken(vae):
    explorer = LatentExplorer(vae)
    assert len(explorer.sliders) == vae.latent_dim
    assert explorer.z == [0.0] * vae.latent_dim


# LatentExplorer


def test_the_widget_is_a_box_of_the_canvas_and_one_slider_a_latent(vae):
    explorer = LatentExplorer(vae, limit=2.5)
    assert explorer.children == (explorer.canvas, *explorer.sliders)
    assert [s.description for s in explorer.sliders] == ["z₁", "z₂", "z₃", "z₄"]
    assert {(s.value, s.min, s.max) for s in explorer.sliders} == {(0, -2.5, 2.5)}
    assert explorer.get_state()["_model_name"] == "VBoxModel"


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_the_kernel_sets_z_and_the_sliders_and_the_canvas_follow(vae, z):
    explorer = shared_explorer(vae)
    explorer.z = z
    assert explorer.z == z
    assert [slider.value for slider in explorer.sliders] == z
    assert [getattr(explorer.canvas, f"z{i}") for i in (1, 2, 3, 4)] == z


_explorers = {}


def shared_explorer(vae):
    return _explorers.setdefault(id(vae), LatentExplorer(vae))


def test_a_slider_that_moves_is_read_as_z_and_observers_hear_of_it(vae):
    explorer = LatentExplorer(vae)
    heard = []
    explorer.observe(lambda change: heard.append(change["new"]), names="z")
    explorer.sliders[2].value = 1.25
    assert explorer.z == [0, 0, 1.25, 0]
    explorer.z = [1, 2, 3, -3]
    assert heard == [[0, 0, 1.25, 0], [1, 2, 3, -3]], "each move is heard of once"


def test_the_rounding_of_a_browsers_slider_moves_nothing(vae):
    explorer = LatentExplorer(vae)
    explorer.z = [1, 0, 0, 0]
    heard = []
    explorer.observe(lambda change: heard.append(change["new"]), names="z")
    explorer.sliders[0].value = 0.9999999999999996  # as JupyterLab's slider answers
    assert heard == []


def test_a_slider_tells_the_canvas_in_the_browser_alone(vae):
    # Sent by the kernel as well, each message would pull the point back while a hand drags it.
    explorer = LatentExplorer(vae)
    explorer.sliders[0].value = 1.0
    assert explorer.canvas.z1 == 0.0


def test_quantile_sliders_say_how_much_of_the_prior_lies_below(vae):
    explorer = LatentExplorer(vae, units="quantile", z=[0.5, 0, -1, 1])
    shown = [slider.value for slider in explorer.sliders]
    assert shown == pytest.approx([0.6914625, 0.5, 0.1586553, 0.8413447])
    assert [explorer.canvas.u1, explorer.canvas.u3] == [shown[0], shown[2]]
    assert explorer.sliders[0].description == "Φ(z₁)"
    for slider in explorer.sliders:
        slider.value = 0.01
    assert explorer.z == pytest.approx([NormalDist().inv_cdf(0.01)] * 4)
    explorer.z = [explorer.limit] * 4
    assert [slider.value for slider in explorer.sliders] == pytest.approx([0.99] * 4)


def test_z_may_be_a_tensor_and_starts_there_to_two_digits_as_the_sliders_show(vae):
    z = torch.tensor([1.5, -0.5, 3.0, -3.0])
    explorer = LatentExplorer(vae, z=z)
    assert explorer.z == z.tolist()
    assert LatentExplorer(vae, z=z.clamp(-2, 2) + 0.004).z == [1.5, -0.5, 2.0, -2.0]
    assert repr(explorer) == "LatentExplorer(z=[1.5, -0.5, 3.0, -3.0])"


@pytest.mark.parametrize(
    "z",
    [
        torch.zeros(3),
        torch.zeros(1, 4),
        torch.tensor(0.0),
        [3.1, 0, 0, 0],
        [0, 0, 0, math.nan],
        [-math.inf, 0, 0, 0],
    ],
)
def test_a_point_of_another_shape_or_beyond_the_limit_is_refused(vae, z):
    said = r"z must be 4 numbers within ±3; found .*\. Give"
    with pytest.raises(ValueError, match=said):
        LatentExplorer(vae, z=z)
    explorer = LatentExplorer(vae)
    with pytest.raises((ValueError, traitlets.TraitError)):
        explorer.z = z.tolist() if isinstance(z, torch.Tensor) else z
    assert explorer.z == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"units": "sigma"}, r'"sd" or "quantile"; found \'sigma\'\. Leave'),
        ({"limit": 0.0}, r"positive and finite; found 0.0\. Try"),
        ({"limit": math.inf}, r"positive and finite; found inf\. Try"),
        ({"images": torch.zeros(2, 784)}, r"go together; found no labels\. Pass"),
        ({"labels": torch.zeros(2)}, r"go together; found no images\. Pass"),
        ({"images": torch.zeros(2, 9), "labels": torch.zeros(2).long()}, r"\(B, 784\)"),
        ({"images": torch.zeros(2, 784), "labels": torch.zeros(2)}, r"found float|found Tensor"),
        ({"images": torch.zeros(2, 784), "labels": [1, 2]}, r"found list\. Pass"),
        ({"images": torch.zeros(2, 784), "labels": torch.tensor([1])}, r"shape \(1,\)\. Pass"),
        ({"images": torch.zeros(2, 784), "labels": torch.tensor([1, 10])}, r"from 0 to 9"),
        ({"images": torch.zeros(2, 784), "labels": torch.tensor([-1, 1])}, r"from 0 to 9"),
    ],
)
def test_bad_options_are_refused(vae, options, said):
    with pytest.raises(ValueError, match=said):
        LatentExplorer(vae, **options)


def test_the_presets_are_torchs_means_of_the_classes_to_16_bits(vae, digits):
    images, labels = digits
    canvas = LatentExplorer(vae, images=images, labels=labels).canvas
    assert canvas.mean_labels == "0123456789"
    with torch.no_grad():
        mu, _ = vae.encode(images)
    means = torch.stack([mu[labels == digit].mean(0) for digit in range(10)])
    # Half a step of 16 bits is at most 2^-11 of a number.
    found = unpacked(canvas.means, 40).reshape(10, 4)
    np.testing.assert_allclose(found, means.numpy(), rtol=2**-11, atol=1e-6)


def test_only_classes_that_occur_have_a_mean(vae, digits):
    images, labels = digits
    some = (labels == 3) | (labels == 7)
    canvas = LatentExplorer(vae, images=images[some], labels=labels[some]).canvas
    assert canvas.mean_labels == "37"


def test_the_cloud_is_the_first_means_to_a_byte(vae, digits):
    mu = encode_means(vae, *digits)
    cloud, scale, labels = pack_cloud(mu, digits[1])
    points = np.frombuffer(cloud, np.int8).reshape(-1, 4) * scale
    assert len(points) == len(labels) == MOST_POINTS
    np.testing.assert_allclose(points, mu[:MOST_POINTS].numpy(), atol=scale * 0.501, rtol=0)
    assert scale == mu[:MOST_POINTS].abs().max().item() / 127
    assert labels == "".join(str(label.item()) for label in digits[1][:MOST_POINTS])


def test_a_model_in_double_precision_is_encoded_too(vae, digits):
    double = copy.deepcopy(vae).double()
    canvas = LatentExplorer(double, images=digits[0].double(), labels=digits[1]).canvas
    assert len(canvas.cloud) == 4 * MOST_POINTS


def test_no_text_of_a_widget_holds_its_weights(vae, digits):
    explorer = LatentExplorer(vae, images=digits[0], labels=digits[1])
    for widget in (explorer, explorer.canvas):
        assert len(repr(widget)) < 80


def test_the_live_parts_of_the_explorers_page_are_small(vae, digits, gzipped):
    canvas = LatentExplorer(vae, images=digits[0], labels=digits[1]).canvas
    state = canvas.get_state()
    held = {name: value for name, value in state.items() if not name.startswith("_")}
    for name in ("decoder", "means", "cloud"):
        held[name] = base64.b64encode(held[name]).decode()
    code = gzipped(bundle.page_script([canvas._anywidget_id])) + gzipped(bundle.style_sheet())
    assert code + gzipped(json.dumps(held)) <= 120_000  # bytes


def test_the_code_of_a_page_is_small_even_with_two_large_widgets(gzipped):
    held = [name for name, file in bundle.WIDGETS.items() if file in ("latent", "pad")]
    assert len(held) == 2
    assert gzipped(bundle.page_script(held)) + gzipped(bundle.style_sheet()) <= 15_000  # bytes


def test_every_widget_is_in_the_list_with_its_file():
    widgets = {
        f"{widget.__module__}.{widget.__name__}": widget.script
        for widget in (DigitPad, GapFigure, KLFigure, LatentCanvas)
    }
    assert widgets == bundle.WIDGETS


def test_a_slider_has_a_name_a_step_and_a_value_of_so_many_digits():
    slider = float_slider("μ", value=0.5, low=-1, high=2, step=0.1, digits=1)
    assert (slider.description, slider.readout_format) == ("μ", ".1f")
    assert (slider.value, slider.min, slider.max, slider.step) == (0.5, -1, 2, 0.1)


# bundle: the joiner


@pytest.fixture
def modules(tmp_path):
    """Write JavaScript files of these names and contents; return their folder."""

    def write(**contents: str) -> Path:
        for name, content in contents.items():
            (tmp_path / f"{name}.js").write_text(content, encoding="utf-8")
        return tmp_path

    return write


A = "// First.\nexport const a = 1;\nfunction inner() {\n  // Why.\n  return a;\n}\n"
B = 'import { a } from "./a.js";\n\nexport function renderB() {\n  return a; // one\n}\n'


def test_what_is_imported_comes_first_once_and_without_the_words(modules):
    folder = modules(a=A, b='import { a } from "./a.js";\n' + B)
    assert bundle.widget_module("b", folder=folder) == (
        "const a=1;\nfunction inner(){\nreturn a;\n}\nfunction renderB(){\nreturn a;\n}\n"
        "export default{render:renderB};\n"
    )


SQUEEZED = {
    "a = b + c;": "a=b+c;",
    "a - -b + +c": "a- -b+ +c",
    'a = "b = c"; // "d"': 'a="b = c";',
    "a = `b ${c + d} // e`;": "a=`b ${c + d} // e`;",
    "return [-a, 'b // c'];  // d's": "return[-a,'b // c'];",
    'x.split(", ") / 2 // "y"': 'x.split(", ")/ 2',
    "for (const a of [b]) if (a in c) continue;": "for(const a of[b])if(a in c)continue;",
    "  // a comment": "",
    'const page = "http://x/y";': 'const page="http://x/y";',
}


@pytest.mark.parametrize("line", SQUEEZED)
def test_a_line_loses_its_comment_and_its_needless_spaces(modules, line):
    folder = modules(b=f"export function renderB() {{\n{line}\n}}\n")
    head, *body, _, _ = bundle.widget_module("b", folder=folder).splitlines()
    assert head == "function renderB(){"
    assert body == ([SQUEEZED[line]] if SQUEEZED[line] else [])


def test_the_pages_script_is_classic_and_leaves_no_name_behind(modules):
    folder = modules(
        page="export function startPage(doc, widgets) {\n  doc.title;\n}\n",
        latent="export function renderLatent() {}\n",
    )
    head = '(()=>{\n"use strict";\nfunction startPage(doc,widgets){\ndoc.title;\n}\n'
    assert bundle.page_script(["FloatSliderModel"], folder=folder) == (
        head + "startPage(document,{});\n})();\n"
    )
    name = "vae_helpers.explorer.latent.LatentCanvas"
    assert bundle.page_script([name], folder=folder) == (
        head + "function renderLatent(){}\n"
        f'startPage(document,{{"{name}":renderLatent}});\n}})();\n'
    )


BREACHES = {
    "no such file": (B.replace("./a.js", "./z.js"), r"b\.js, line 1: expected a file z\.js"),
    "an unknown name": (B.replace("{ a }", "{ a, q }"), r"b\.js, line 1: .* found q\. Export"),
    "an import of another form": ("import x from './a.js';\n" + B, r"b\.js, line 1: .*Write"),
    "an import further down": (B + 'import { a } from "./a.js";\n', r"b\.js, line 6: .*Write"),
    "a default export": (B + "export default renderB;\n", r"b\.js, line 6: .*Write"),
    "a list of exports": (B + "export { a };\n", r"b\.js, line 6: .*Write"),
    "a name of another file": (B + "const inner = 1;\n", r"b\.js, line 6: .*inner.*a\.js.*Rename"),
    "the same name twice": (B + "const q = 1;\nconst q = 1;\n", r"b\.js, line 7: .*Rename"),
    "a comment over lines": (B + "/* x */\n", r"b\.js, line 6: .*Write"),
    "a text over lines": (B + "const q = `x\ny`;\n", r"b\.js, line 6: .*Write"),
    "a quotation mark in a pattern": (B + "const q = /[']/;\n", r"b\.js, line 6: .*Write"),
    "a circle": ('import { renderB } from "./b.js";\n' + B, r"b\.js, line 1: .*b → b.*Move"),
    "no render function": ("export const b = 1;\n", r"b\.js: expected `export function renderB`"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_of_the_rules_names_file_and_line(modules, breach):
    text, said = BREACHES[breach]
    with pytest.raises(ValueError, match=said):
        bundle.widget_module("b", folder=modules(a=A, b=text))


def test_the_models_of_the_page_are_read_from_its_script(modules):
    text = "const MODELS = {\n  D: null,\n  E: renderE,\n  // x\n};\n"
    assert bundle.page_models(folder=modules(page=text)) == {*bundle.WIDGETS, "D", "E"}
    with pytest.raises(ValueError, match="no object MODELS"):
        bundle.page_models(folder=modules(page=text.replace("MODELS", "OTHERS")))


def test_the_style_sheet_keeps_all_but_comments_and_space(modules):
    folder = modules()
    text = "/* a\nb */\n.x :is(b, i),\n.y > p {\n  margin: 0 1px; /* c */\n}\n"
    (folder / "explorer.css").write_text(text)
    assert bundle.style_sheet(folder=folder) == ".x :is(b,i),.y > p{margin:0 1px;}\n"
