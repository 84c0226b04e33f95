"""Claims about the explorer and about what all live widgets share, on the side of Python."""

import copy
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets
from hypothesis import given
from hypothesis import strategies as st

from vae_helpers.checkpoints import load_vae
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.data import load_mnist
from vae_helpers.explorer import DigitPad, LatentExplorer, bundle
from vae_helpers.explorer.cloud import MOST_POINTS
from vae_helpers.explorer.densities import GapFigure, KLFigure
from vae_helpers.explorer.latent import LatentCanvas
from vae_helpers.explorer.live import check_vae, pack_floats
from vae_helpers.networks import VAE

WEIGHTS = Path(__file__).resolve().parents[1] / "data" / "vae.safetensors"


@pytest.fixture(scope="module")
def vae():
    return load_vae(WEIGHTS)


@pytest.fixture(scope="module")
def digits():
    images, labels = load_mnist("test")
    return images[:2000], labels[:2000]


def unpacked(content: bytes) -> np.ndarray:
    """The numbers of `pack_floats`, read back."""
    high, low = np.frombuffer(content, np.uint8).reshape(2, -1).astype(np.uint16)
    return (high << 8 | low).view(np.float16).astype(np.float32)


# What all widgets share


@given(st.lists(st.floats(-65504, 65504), min_size=1, max_size=40))
def test_packed_numbers_are_the_nearest_16_bit_floats(values):
    expected = torch.tensor(values).to(torch.float16).float().numpy()
    np.testing.assert_array_equal(unpacked(pack_floats(torch.tensor(values))), expected)


def test_every_widget_is_in_the_list_with_its_file_and_brings_its_script_and_style_along():
    for widget in (DigitPad, GapFigure, KLFigure, LatentCanvas):
        assert widget.script == bundle.WIDGETS[f"{widget.__module__}.{widget.__name__}"]
    figure = KLFigure()
    assert figure._esm == bundle.widget_module("kl")
    assert figure._css == bundle.style_sheet()


# LatentExplorer


def test_the_widget_is_a_box_of_the_canvas_and_one_slider_a_latent(vae):
    explorer = LatentExplorer(vae, limit=2.5)
    assert explorer.children == (explorer.canvas, *explorer.sliders)
    assert [s.description for s in explorer.sliders] == ["z₁", "z₂", "z₃", "z₄"]
    assert {(s.value, s.min, s.max) for s in explorer.sliders} == {(0, -2.5, 2.5)}
    assert explorer.canvas.limit == 2.5


@pytest.fixture(scope="module")
def shared(vae):
    return LatentExplorer(vae)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_the_kernel_sets_z_and_the_sliders_and_the_canvas_follow(shared, z):
    shared.z = z
    assert shared.z == z
    assert [slider.value for slider in shared.sliders] == z
    assert [getattr(shared.canvas, f"z{i}") for i in (1, 2, 3, 4)] == z


def test_a_slider_that_moves_is_read_as_z_and_observers_hear_of_it_once(vae):
    explorer = LatentExplorer(vae)
    heard = []
    explorer.observe(lambda change: heard.append(change["new"]), names="z")
    explorer.sliders[2].value = 1.25
    assert explorer.z == [0, 0, 1.25, 0]
    # Sent by the kernel as well, each message would pull the point back while a hand drags it.
    assert explorer.canvas.z3 == 0.0, "the link moves it, in the browser alone"
    explorer.z = [1, 2, 3, -3]
    explorer.sliders[0].value = 0.9999999999999996  # as JupyterLab's slider answers
    assert heard == [[0, 0, 1.25, 0], [1, 2, 3, -3]]


def test_z_may_be_a_tensor_and_starts_there_to_two_digits_as_the_sliders_show(vae):
    z = torch.tensor([1.5, -0.5, 2.0, -2.0])
    explorer = LatentExplorer(vae, z=z + 0.004)
    assert explorer.z == z.tolist()
    assert repr(explorer) == "LatentExplorer(z=[1.5, -0.5, 2.0, -2.0])"


@pytest.mark.parametrize(
    "z",
    [torch.zeros(3), torch.zeros(1, 4), [3.1, 0, 0, 0], [0, 0, 0, math.nan], [-math.inf, 0, 0, 0]],
)
def test_a_point_of_another_shape_or_beyond_the_limit_is_refused(vae, z):
    with pytest.raises(ValueError, match=r"z must be 4 numbers within ±3; found .*\. Give"):
        LatentExplorer(vae, z=z)
    explorer = LatentExplorer(vae)
    with pytest.raises((ValueError, traitlets.TraitError)):
        explorer.z = z.tolist() if isinstance(z, torch.Tensor) else z
    assert explorer.z == [0, 0, 0, 0]


def test_the_presets_are_torchs_means_of_the_classes_to_16_bits(vae, digits):
    images, labels = (each[digits[1] != 4] for each in digits)
    canvas = LatentExplorer(vae, images=images, labels=labels).canvas
    assert canvas.mean_labels == "012356789", "only classes that occur have a mean"
    with torch.no_grad():
        mu, _ = vae.encode(images)
    means = torch.stack([mu[labels == int(digit)].mean(0) for digit in canvas.mean_labels])
    # Half a step of 16 bits is at most 2^-11 of a number.
    found = unpacked(canvas.means).reshape(9, 4)
    np.testing.assert_allclose(found, means.numpy(), rtol=2**-11, atol=1e-6)


def test_the_cloud_is_the_first_means_to_a_byte_also_of_a_model_in_double_precision(vae, digits):
    double, (images, labels) = copy.deepcopy(vae).double(), digits
    canvas = LatentExplorer(double, images=images.double(), labels=labels).canvas
    with torch.no_grad():
        mu = vae.encode(images)[0][:MOST_POINTS].numpy()
    scale = canvas.cloud_scale
    points = np.frombuffer(canvas.cloud, np.int8).reshape(MOST_POINTS, 4) * scale
    np.testing.assert_allclose(points, mu, atol=scale * 0.501, rtol=0)
    assert scale == pytest.approx(np.abs(mu).max() / 127)
    assert canvas.cloud_labels == "".join(map(str, labels[:MOST_POINTS].tolist()))


def test_no_text_of_a_widget_holds_its_weights(vae, digits):
    explorer = LatentExplorer(vae, images=digits[0], labels=digits[1])
    assert max(len(repr(widget)) for widget in (explorer, explorer.canvas)) < 80


# What is refused

CHANGED = VAE()
CHANGED.decoder = torch.nn.Linear(4, 784)
PLAIN = r"as VAE\(\.\.\.\) builds it, with no hook; found"
SIZE = r"at most 65504 in size; found .*\. Train"
BLACK, ONE = torch.zeros(2, 784), torch.tensor([1])
REFUSALS = [
    (lambda vae: pack_floats(torch.tensor([1.0, math.nan])), SIZE),
    (lambda vae: pack_floats(torch.tensor([1.0, 65520])), SIZE),
    (lambda vae: pack_floats(torch.tensor([1.0, -1e6])), SIZE),
    (lambda vae: check_vae("vae"), rf"{PLAIN} str\. Build"),
    (lambda vae: check_vae(ConditionalVAE()), rf"{PLAIN} ConditionalVAE\. Build"),
    (lambda vae: check_vae(VAE(activation="tanh")), rf"{PLAIN} one with tanh.*\. Build"),
    (lambda vae: check_vae(CHANGED), rf"{PLAIN} one .*changed since\. Build"),
    (lambda vae: check_vae(VAE(latent_dim=17)), r"16 latents; found latent_dim = 17\. Train"),
    (lambda vae: check_vae(VAE(pixels=10)), r"square images; found 10 pixels.*\. Use"),
    (lambda vae: LatentExplorer(vae, limit=math.inf), r"positive and finite; found inf\. Try"),
    (lambda vae: LatentExplorer(vae, images=BLACK), r"together; found no labels\. Pass"),
    (lambda vae: LatentExplorer(vae, labels=ONE), r"together; found no images\. Pass"),
    (lambda vae: LatentExplorer(vae, images=torch.zeros(1, 9), labels=ONE), r"\(B, 784\)"),
    (lambda vae: LatentExplorer(vae, images=BLACK, labels=ONE), "one an image; found 1"),
    (lambda vae: LatentExplorer(vae, images=BLACK[:1], labels=ONE * 10), "in 0 to 9; found"),
]


@pytest.mark.parametrize(("make", "said"), REFUSALS)
def test_what_a_browser_cannot_run_or_show_is_refused(vae, make, said):
    with pytest.raises(ValueError, match=said):
        make(vae)


# The JavaScript


def test_a_name_at_the_top_level_of_a_file_is_used_in_no_other_file():
    declared = r"^(?:export )?(?:async )?(?:function\*?|const|let|class) ([\w$]+)"
    texts = [path.read_text("utf-8") for path in bundle.FOLDER.glob("*.js")]
    names = [name for text in texts for name in re.findall(declared, text, re.MULTILINE)]
    assert len(names) == len(set(names)) > 50
