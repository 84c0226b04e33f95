"""Claims about the live figures and the pad in a real browser: what a hand does, a page shows."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from browser import until
from ipywidgets.embed import embed_data

from vae_helpers.checkpoints import load_vae
from vae_helpers.data import load_mnist
from vae_helpers.explorer import DigitPad, GapExplorer, KLExplorer
from vae_helpers.explorer.bundle import page_script, style_sheet
from vae_helpers.linear_gaussian import LinearGaussian
from vae_helpers.objectives import gaussian_log_likelihood, kl_divergence

ROOT = Path(__file__).resolve().parents[1]
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Live figures</title>
<style>body {{ background: {paper}; color: {ink}; margin: 1rem auto; max-width: 46rem }}
html {{ --pst-color-background: {paper}; --pst-color-text-base: {ink} }}
{css}</style></head><body><main><h1>Live figures</h1>{views}</main>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<script>{script}</script></body></html>"""
THEMES = {"light": {"paper": "#fff", "ink": "#222832"}, "dark": {"paper": "#14171a", "ink": "#ddd"}}


@pytest.fixture(scope="module")
def vae():
    return load_vae(ROOT / "data" / "vae.safetensors")


@pytest.fixture(scope="module")
def images():
    return load_mnist("test")


@pytest.fixture(scope="module")
def write(vae, images, tmp_path_factory):
    """Write the three widgets into a page, as the build does; `damage` changes their state."""
    model = LinearGaussian(torch.tensor([[1.5]]), torch.tensor([0.5]), 0.5)
    gap = GapExplorer(model, torch.tensor([3.0]), mu=0.9, sigma=0.7)
    boxes = [KLExplorer(), gap, DigitPad(vae, *images)]
    data = json.dumps(embed_data(views=boxes, drop_defaults=False))

    def written(theme="light", damage=lambda states: None) -> str:
        held = json.loads(data)
        states = held["manager_state"]["state"].values()
        damage({s["state"].get("_anywidget_id", "").rpartition(".")[2]: s["state"] for s in states})
        kind = '<script type="application/vnd.jupyter.widget-view+json">{}</script>'
        page = PAGE.format(
            **THEMES[theme],
            theme=theme,
            css=style_sheet(),
            script=page_script(),
            views="".join(kind.format(json.dumps(view)) for view in held["view_specs"]),
            state=json.dumps(held["manager_state"]).replace("</", "<\\/"),
        )
        path = tmp_path_factory.mktemp("page") / "index.html"
        path.write_text(page, encoding="utf-8")
        return path.as_uri()

    return written


@pytest.fixture
def open_page(open_tab, write):
    """Open the page, and wait until the last of its figures is drawn."""

    def opened(*, theme="light", **options):
        tab, log = open_tab(theme=theme, **options)
        tab.goto(write(theme))
        until(tab, "document.querySelectorAll('.live-figure[aria-label]').length === 3")
        return tab, log

    return opened


def frames(tab) -> None:
    """Let two frames pass: in the first the ink is read, in the second what it gives is drawn."""
    tab.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => "
        "requestAnimationFrame(() => requestAnimationFrame(done))))"
    )


def numbers(text: str) -> list[float]:
    """The numbers in a text that has true minus signs and numbered latents."""
    return [float(n) for n in re.findall(r"-?\d+\.\d+", text.replace("−", "-"))]


def table(tab, index: int) -> dict[str, float]:
    """The rows of a figure's table."""
    rows = tab.locator(".live-numbers").nth(index).locator("tr").all()
    return {row.locator("th").inner_text(): numbers(row.inner_text())[-1] for row in rows}


def seen(tab) -> torch.Tensor:
    """The pixels that the encoder sees, (1, D), read from a copy of the canvas."""
    levels = tab.evaluate(
        """() => {
            const seen = document.querySelector(".live-pair canvas");
            const copy = document.createElement("canvas");
            [copy.width, copy.height] = [28, 28];
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(seen, 0, 0);
            const { data } = context.getImageData(0, 0, 28, 28);
            return Array.from({ length: 784 }, (_, i) => 255 - data[4 * i]);
        }"""
    )
    return torch.tensor([levels]) / 255


def draw(tab, *strokes) -> None:
    """Draw strokes with the mouse; a point is a place on the pad, from 0 to 1 each way."""
    tab.locator(".live-paper").scroll_into_view_if_needed()
    box = tab.locator(".live-paper").bounding_box()
    for stroke in strokes:
        for k, (x, y) in enumerate(stroke):
            tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
            if k == 0:
                tab.mouse.down()
        tab.mouse.up()
    frames(tab)


def q_shown(tab) -> tuple[list[float], ...]:
    """Mean, width and sample of each latent, as the pad says them."""
    said = numbers(tab.locator(".live-pad .live-figure").get_attribute("aria-label"))
    return said[0::3], said[1::3], said[2::3]


def agrees_with_torch(tab, vae) -> None:
    """Claim that the pad shows what torch computes for the pixels and the sample on the page."""
    x = seen(tab)
    mean, width, sample = q_shown(tab)
    with torch.no_grad():
        mu, logvar = vae.encode(x)
        x_mean = vae.decode(torch.tensor([sample]))
    # Two digits are shown, and weights of 16 bits move the second: by 0.002 at the most.
    np.testing.assert_allclose(mean, mu[0], atol=0.008, rtol=0)
    np.testing.assert_allclose(width, torch.exp(0.5 * logvar)[0], atol=0.008, rtol=0)
    shown = table(tab, 2)
    assert shown["KL(q ‖ p)"] == pytest.approx(kl_divergence(mu, logvar).item(), abs=0.05)
    # The sample was read with two digits: that moves the squared error by some hundredths.
    expected = gaussian_log_likelihood(x, x_mean, sigma2=vae.sigma2).item()
    assert shown["log p(x|z)"] == pytest.approx(expected, abs=0.3)
    assert shown["SSE"] == pytest.approx(-expected - 392 * math.log(math.pi), abs=0.3)
    elbo = shown["log p(x|z)"] - shown["KL(q ‖ p)"]
    assert shown["ELBO"] == pytest.approx(elbo, abs=0.011)  # two roundings


SEVEN = [(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)]
BAR = [(0.4, 0.5), (0.75, 0.5)]


def test_a_digit_drawn_with_the_mouse_is_encoded_as_torch_encodes_its_pixels(open_page, vae):
    tab, log = open_page()
    draw(tab, SEVEN)
    agrees_with_torch(tab, vae)
    x = seen(tab).reshape(28, 28)
    assert 40 < x.sum() < 160, "a seven of MNIST has an ink of 90, give or take"
    assert log.complaints == []


def test_two_strokes_are_one_digit_and_a_test_digit_is_none_to_draw_on(open_page, vae):
    tab, _ = open_page()
    draw(tab, SEVEN)
    once = seen(tab)
    draw(tab, BAR)
    assert seen(tab).sum() > once.sum() + 5
    tab.get_by_role("button", name="Test digit 8").click()
    draw(tab, SEVEN)
    assert torch.equal(seen(tab), once)


def test_a_finger_draws_on_the_pad_and_scrolls_beside_it(open_page, vae):
    tab, _ = open_page(width=360, has_touch=True, is_mobile=True)
    tab.locator(".live-paper").scroll_into_view_if_needed()
    box = tab.locator(".live-paper").bounding_box()
    hand = tab.context.new_cdp_session(tab)

    def swipe(places):
        for kind, point in [("touchStart", places[0]), *(("touchMove", p) for p in places[1:])]:
            touch = {"type": kind, "touchPoints": [{"x": point[0], "y": point[1]}]}
            hand.send("Input.dispatchTouchEvent", touch)
        hand.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        frames(tab)

    before, x = tab.evaluate("scrollY"), box["x"] + box["width"] / 2
    swipe([(x, box["y"] + t * box["height"]) for t in np.linspace(0.8, 0.2, 20)])
    assert tab.evaluate("scrollY") == before
    assert 20 < seen(tab).sum() < 100, "an upright stroke is a one"
    agrees_with_torch(tab, vae)
    below = box["y"] + box["height"] + 100
    swipe([(x, y) for y in np.linspace(below, below - 300, 20)])
    until(tab, f"scrollY !== {before}")


def test_a_test_digit_is_taken_by_keyboard_and_seen_as_it_is(open_page, vae, images):
    tab, _ = open_page()
    for digit in (3, 9):
        tab.get_by_role("button", name=f"Test digit {digit}").focus()
        tab.keyboard.press("Enter")
        frames(tab)
        assert torch.equal(seen(tab)[0], images[0][images[1] == digit][0])
        agrees_with_torch(tab, vae)


def test_a_new_sample_moves_z_and_leaves_q(open_page, vae):
    tab, _ = open_page()
    mean, width, sample = q_shown(tab)
    tab.get_by_role("button", name="New sample").click()
    frames(tab)
    assert q_shown(tab)[:2] == (mean, width)
    assert q_shown(tab)[2] != sample
    agrees_with_torch(tab, vae)


def test_a_cleared_pad_says_what_to_do(open_page):
    tab, _ = open_page()
    tab.get_by_role("button", name="Clear the pad").click()
    frames(tab)
    assert seen(tab).sum() == 0
    assert tab.get_by_text("Draw a digit, or take a test digit.").is_visible()
    assert tab.locator(".live-numbers").nth(2).locator("tr").count() == 0
    assert not tab.locator(".live-pad .live-point").is_visible()


def test_the_kl_figure_follows_the_keys_and_its_area_is_its_formula(open_page):
    tab, _ = open_page()
    for name, key, times in [("μ", "ArrowLeft", 7), ("σ", "ArrowRight", 11)]:
        slider = tab.get_by_role("slider", name=name).first
        slider.focus()
        for _ in range(times):
            tab.keyboard.press(key)
    frames(tab)
    mu, sigma = 1 - 7 * 0.05, 0.5 + 11 * 0.05
    expected = 0.5 * (mu**2 + sigma**2 - 1 - math.log(sigma**2))
    shown = table(tab, 0)
    assert shown["Sum"] == pytest.approx(expected, abs=6e-5)
    assert shown["Area"] == pytest.approx(expected, abs=6e-5)
    assert f"{expected:.4f} nats" in tab.locator(".live-result").first.inner_text()


def test_the_gap_closes_at_the_posterior_and_opens_when_a_slider_moves(open_page):
    tab, _ = open_page()
    assert table(tab, 1)["KL(q ‖ p(z | x))"] == pytest.approx(0.9429, abs=6e-5)  # chapter 4
    tab.get_by_role("button", name="Set q to the posterior").click()
    frames(tab)
    shown = table(tab, 1)
    assert shown["KL(q ‖ p(z | x))"] == 0
    assert shown["ELBO"] == shown["ELBO + gap"] == shown["log p(x)"] == -2.5611
    means = tab.get_by_role("slider", name="μ").nth(1)
    assert means.get_attribute("aria-valuetext") == "1.36"
    means.press("End")
    frames(tab)
    shown = table(tab, 1)
    assert shown["KL(q ‖ p(z | x))"] > 1
    assert shown["ELBO + gap"] == shown["log p(x)"] == -2.5611


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [360, 1280])
def test_figures_fit_the_page_are_legible_and_shut_nobody_out(open_page, theme, width):
    tab, log = open_page(theme=theme, width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    sizes = tab.evaluate(
        """() => Array.from(document.querySelectorAll(".live-figure text"), (text) =>
            parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)"""
    )
    assert len(sizes) > 30
    assert min(sizes) >= 11  # px
    assert Axe().run(tab).response["violations"] == []
    assert log.complaints == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda s: s["GapFigure"].update(w=[1, 2]), "model is damaged: expected finite w, b, x"),
        (
            lambda s: s["DigitPad"].update(image=[1]),
            "image is damaged: expected 784 greys, found 1",
        ),
        (lambda s: s["DigitPad"].update(epsilon=[]), "noise is damaged: expected 4 numbers"),
        (lambda s: s["DigitPad"].update(digit_labels="01"), "test digits is damaged: expected 784"),
        (lambda s: s["DigitPad"].update(encoder_sizes=[784, 8]), "numbers are damaged"),
    ],
)
def test_a_damaged_state_is_said_in_its_place(open_tab, write, damage, words):
    tab, _ = open_tab()
    tab.goto(write(damage=damage))
    until(tab, "document.querySelector('[role=alert]')")
    assert words in tab.get_by_role("alert").inner_text()
