"""Claims about the live widgets of the built chapters: what a hand does, a page without a kernel
answers as torch would."""

import base64
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from browser import until
from built_site import Site
from live_page import STATE, VIEW
from live_widgets import GREYS, TWO_FRAMES, check_digit, numbers, rounded_vae
from PIL import Image
from playwright.sync_api import Locator, Page

from vae_helpers.data import load_mnist
from vae_helpers.explorer.cloud import MOST_POINTS
from vae_helpers.linear_gaussian import LinearGaussian
from vae_helpers.networks import VAE
from vae_helpers.objectives import gaussian_log_likelihood, kl_to_prior

ELBO, KL, GENERATION, DRAW = "04_elbo", "05_kl_term", "11_generation", "12_draw_a_digit"
CHAPTERS = (ELBO, KL, GENERATION, DRAW)

THUMB = 16  # CSS pixels, of a slider in Chromium
LIMIT = 3.0  # end of the sliders and of the map
TWO_DIGITS, FOUR_DIGITS = 0.005 + 1e-6, 0.00005 + 1e-9  # after the point, rounded


@pytest.fixture(scope="module")
def vae() -> VAE:
    return rounded_vae()


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    return load_mnist("test")


@pytest.fixture
def open_chapter(site, open_tab):
    """Open a chapter, from disk unless at an address; it must go without complaints."""
    logs = []

    def opened(name: str, *, at: str | None = None, **options: object) -> Page:
        tab, log = open_tab(**options)
        logs.append((log, at or site.folder.as_uri()))
        tab.goto(f"{at or site.folder.as_uri()}/notebooks/{name}.html")
        return tab

    yield opened
    for log, address in logs:
        assert log.complaints == []
        assert log.foreign(address) == []


def stored(site: Site, chapter: str, name: str) -> dict:
    """The state of one of our widgets that a page holds, by the name of its class."""
    models = json.loads(site.chapter(chapter).soup.find("script", type=STATE).string)["state"]
    states = [model["state"] for model in models.values()]
    (state,) = (s for s in states if s.get("_anywidget_id", "").endswith("." + name))
    return state


def pulled(tab: Page, slider: Locator, start: float, goal: float) -> Iterator[float]:
    """Take a slider with the mouse and pull it; yield where it should be, half way and there."""
    slider.scroll_into_view_if_needed()
    low, high = (float(slider.get_attribute(name)) for name in ("min", "max"))
    box = slider.bounding_box()

    def place(value: float) -> tuple[float, float]:
        across = THUMB / 2 + (box["width"] - THUMB) * (value - low) / (high - low)
        return box["x"] + across, box["y"] + box["height"] / 2

    tab.mouse.move(*place(start))
    tab.mouse.down()
    for value in ((start + goal) / 2, goal):
        tab.mouse.move(*place(value), steps=3)
        yield value
    tab.mouse.up()


class Finger:
    """A finger on a tab with a touch screen."""

    def __init__(self, tab: Page):
        self.session = tab.context.new_cdp_session(tab)

    def swipe(self, *places: tuple[float, float]) -> None:
        """Put down, move through these places, and lift; one place is a tap."""
        for kind, (x, y) in zip(["touchStart"] + ["touchMove"] * 99, places, strict=False):
            self._send(kind, [{"x": x, "y": y}])
        self._send("touchEnd", [])

    def _send(self, kind: str, points: list[dict[str, float]]) -> None:
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


# The explorer

EXPLORER = f"""async () => {{
    await ({TWO_FRAMES})();
    const all = selector => Array.from(document.querySelectorAll(selector));
    const [digit, point] = [...all("canvas.live-digit"), ...all(".live-point")];
    return {{
        shown: all(".live-slider [type=number]").map(each => each.value),
        spoken: all(".live-slider [type=range]").map(each => each.getAttribute("aria-valuetext")),
        values: all(".live-slider [type=range]").map(each => Number(each.value)),
        label: digit.getAttribute("aria-label"),
        greys: ({GREYS})(digit),
        axes: all(".live-axes select").map(each => Number(each.value)),
        place: [point.style.left, point.style.top].map(each => parseFloat(each) / 100),
    }};
}}"""


@dataclass
class Explorer:
    """What chapter 11's explorer shows."""

    tab: Page
    vae: VAE

    def point(self) -> list[float]:
        """The latent point; sliders, digit and map agree on it, and the digit is torch's."""
        now = self.tab.evaluate(EXPLORER)
        assert now["shown"] == [text.replace("−", "-") for text in now["spoken"]]
        z = [float(text) for text in now["shown"]]
        assert now["values"] == pytest.approx(z, abs=1e-9)
        assert numbers(now["label"]) == z
        check_digit(self.vae, z, torch.tensor(now["greys"]))
        left, top = now["place"]
        x, y = (z[latent] for latent in now["axes"])
        assert [left, 1 - top] == pytest.approx([0.5 + v / (2 * LIMIT) for v in (x, y)], abs=1e-4)
        return z

    def on_screen(self, across: float, up: float) -> tuple[float, float]:
        """Where the map has a point, in pixels of the screen."""
        box = self.tab.locator(".live-plane").bounding_box()
        x, y = (0.5 + value / (2 * LIMIT) for value in (across, up))
        return box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"]


@pytest.fixture
def open_explorer(open_chapter, vae):
    return lambda **options: Explorer(open_chapter(GENERATION, **options), vae)


def test_a_slider_moves_its_latent_alone_by_mouse_and_by_keys_and_the_digit_follows(
    address, open_explorer
):
    explorer = open_explorer(at=address)
    tab = explorer.tab
    for latent, goal in enumerate([-2.0, 2.2, -1.3, 1.7]):
        slider = tab.get_by_role("slider", name=f"z{'₁₂₃₄'[latent]}", exact=True)
        z = explorer.point()
        for value in pulled(tab, slider, z[latent], goal):
            z[latent] = pytest.approx(value, abs=0.03)  # a pixel is 0.01
            assert explorer.point() == z
        z = explorer.point()
        for keys, end in [
            (["ArrowRight"] * 2, z[latent] + 0.02),
            (["Home"], -LIMIT),
            (["PageUp"], -LIMIT + 0.6),  # a tenth of the way
            (["End", "ArrowDown"], LIMIT - 0.01),
        ]:
            for key in keys:
                slider.press(key)
            z[latent] = round(end, 2)
            assert explorer.point() == z


def test_a_number_can_be_typed_and_stays_within_the_limits(open_explorer):
    explorer = open_explorer()
    z = explorer.point()
    field = explorer.tab.get_by_role("spinbutton", name="z₂ in digits", exact=True)
    for typed, shown in [("-1.234", -1.23), ("0.5", 0.5), ("7", LIMIT), ("", LIMIT)]:
        field.fill(typed)
        field.press("Tab")
        z[1] = shown
        assert explorer.point() == z


def test_the_buttons_move_the_point_from_the_keyboard_and_say_so(open_explorer, vae, digits):
    explorer = open_explorer()
    images, labels = digits
    with torch.no_grad():
        mu = vae.encode(images.double())[0]
    said = explorer.tab.locator(".live-said")
    for button, name, expected in [
        ("Mean of the digit 4", "Mean of the digit 4", mu[labels == 4].mean(0)),
        ("Play", "Walked from 3 to 8", mu[labels == 8].mean(0)),
        ("Back to z = 0", "Mean of the prior", torch.zeros(4)),
    ]:
        explorer.tab.get_by_role("button", name=button, exact=True).press("Enter")
        explorer.tab.get_by_text(f"{name}: z = ").wait_for(state="attached")
        # The sliders show two digits, and the page has the mean by the unrounded model.
        np.testing.assert_allclose(explorer.point(), expected, rtol=0, atol=0.008)
        assert numbers(said.inner_text()) == explorer.point()


def test_on_the_map_a_mouse_and_arrow_keys_move_only_the_two_latents_that_it_shows(open_explorer):
    explorer = open_explorer()
    tab = explorer.tab
    tab.get_by_role("combobox", name="Latent variable across").select_option("z₃")
    tab.get_by_role("combobox", name="Latent variable up").select_option("z₁")
    tab.locator(".live-plane").scroll_into_view_if_needed()
    z = explorer.point()
    tab.mouse.move(*explorer.on_screen(2.0, 2.0))  # the point comes to the mouse
    tab.mouse.down()
    for across, up in [(2.0, 2.0), (-1.5, 0.5), (-2.0, -1.0)]:
        tab.mouse.move(*explorer.on_screen(across, up), steps=4)
        # A pixel is 0.02.
        assert explorer.point() == pytest.approx([up, z[1], across, z[3]], abs=0.03)
    tab.mouse.up()
    z = explorer.point()
    tab.mouse.move(*explorer.on_screen(0, 0))
    assert explorer.point() == z, "it follows a mouse that let go"
    mark = tab.get_by_role("slider", name="Point on the map")
    for key, latent, step in [("Shift+ArrowRight", 2, 0.5), ("ArrowDown", 0, -0.05)]:
        mark.press(key)
        z[latent] = round(z[latent] + step, 2)
        assert explorer.point() == z
    said = mark.get_attribute("aria-valuetext").replace("−", "-")
    assert said == f"z₃ = {z[2]:.2f}, z₁ = {z[0]:.2f}"


def test_a_finger_taps_the_map_and_drags_the_point_but_scrolls_elsewhere(open_explorer):
    explorer = open_explorer(width=360, has_touch=True, is_mobile=True)
    tab, hand, at = explorer.tab, Finger(explorer.tab), explorer.on_screen
    tab.locator(".live-plane").scroll_into_view_if_needed()
    z = explorer.point()
    hand.swipe(at(-1.0, 1.5))
    assert explorer.point() == pytest.approx([-1.0, 1.5, *z[2:]], abs=0.03)
    hand.swipe(at(-1.0, 1.5), at(0, 0), at(1.0, -2.0))
    here = explorer.point()
    assert here == pytest.approx([1.0, -2.0, *z[2:]], abs=0.03)
    before = tab.evaluate("scrollY")
    hand.swipe(at(-2.5, -2.0), at(-2.5, 0), at(-2.5, 2.0))
    until(tab, f"scrollY > {before}")
    assert explorer.point() == here


def test_the_cloud_on_the_map_is_where_the_encoder_puts_test_digits(open_explorer, vae, digits):
    images, labels = (each[:MOST_POINTS] for each in digits)
    with torch.no_grad():
        mu = vae.encode(images.double())[0]
    canvas = open_explorer().tab.locator(".live-plane canvas")
    png = canvas.evaluate("each => each.toDataURL()").partition(",")[2]
    picture = np.array(Image.open(io.BytesIO(base64.b64decode(png))))
    size = len(picture)
    x, y = (((0.5 + side * mu[:, k] / (2 * LIMIT)) * size).int() for k, side in ((0, 1), (1, -1)))
    inside = (torch.stack([x, y]) > 20).all(0) & (torch.stack([x, y]) < size - 20).all(0)
    # Each class stands there as nine digits first; the others are squares of six pixels.
    nth = torch.stack([(labels[: k + 1] == labels[k]).sum() for k in range(len(labels))])
    squares = inside & (nth > 9)
    assert squares.sum() > 1000
    ink = picture[y[squares], x[squares]]
    assert (ink[:, 3] > 128).all()
    common = set()
    for digit in range(10):
        colours, counts = np.unique(ink[labels[squares] == digit], axis=0, return_counts=True)
        common.add(tuple(colours[counts.argmax()]))
    assert len(common) == 10, "a colour for each digit"


# The pad

PAD = f"""async () => {{
    await ({TWO_FRAMES})();
    await ({TWO_FRAMES})(); // in the first frame the ink is read, in the next its digit drawn
    const pad = document.querySelector(".live-pad");
    const rows = pad.querySelectorAll(".live-numbers tr");
    return {{
        canvases: Array.from(pad.querySelectorAll(".live-pair canvas"), {GREYS}),
        q: pad.querySelector("svg").getAttribute("aria-label"),
        result: pad.querySelector(".live-result").textContent,
        rows: Object.fromEntries(Array.from(rows, ({{ children }}) =>
            [children[0].textContent, children[2].textContent])),
        point: ["left", "top"].map(side =>
            parseFloat(pad.querySelector(".live-point").style[side]) / 100),
    }};
}}"""


@dataclass
class Pad:
    """What chapter 12's pad shows."""

    tab: Page
    vae: VAE
    epsilon: list[float]

    def image(self) -> torch.Tensor:
        """The pixels that the encoder gets, ``(1, D)``; all that is shown is torch's for them."""
        now = self.tab.evaluate(PAD)
        x = (255 - torch.tensor(now["canvases"][:1]).double()) / 255
        with torch.no_grad():
            mu, logvar = self.vae.encode(x)
            sigma = (0.5 * logvar).exp()
            z = mu + sigma * torch.tensor([self.epsilon]).double()
            x_mean = self.vae.decode(z)
        kl = kl_to_prior(mu, logvar).item()
        log_likelihood = gaussian_log_likelihood(x, x_mean, sigma2=self.vae.sigma2).item()
        expected = torch.stack([mu[0], sigma[0], z[0]], 1).flatten()  # μ, σ, z of each latent
        np.testing.assert_allclose(numbers(now["q"]), expected, rtol=0, atol=TWO_DIGITS)
        rows = {name: numbers(text)[0] for name, text in now["rows"].items()}
        expected = {
            "SSE": (x - x_mean).square().sum().item(),
            "log p(x|z)": log_likelihood,
            "KL(q ‖ p)": kl,
            "ELBO": log_likelihood - kl,
        }
        assert rows == pytest.approx(expected, abs=TWO_DIGITS)
        assert now["result"].replace("−", "-") == f"ELBO = {rows['ELBO']:.2f} nats"
        check_digit(self.vae, z[0].tolist(), torch.tensor(now["canvases"][1]))
        left, top = now["point"]
        assert [left, 1 - top] == pytest.approx((0.5 + mu[0, :2] / (2 * LIMIT)).tolist(), abs=1e-4)
        return x

    def places(self, stroke: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Places on the paper, each from 0 to 1, in pixels of the screen."""
        paper = self.tab.locator(".live-paper")
        paper.scroll_into_view_if_needed()
        box = paper.bounding_box()
        return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]

    def draw(self, stroke: list[tuple[float, float]]) -> torch.Tensor:
        """Draw a stroke with the mouse, and return the image."""
        first, *others = self.places(stroke)
        self.tab.mouse.move(*first)
        self.tab.mouse.down()
        for place in others:
            self.tab.mouse.move(*place, steps=4)
        self.tab.mouse.up()
        return self.image()

    def press(self, button: str) -> None:
        """Press a button from the keyboard."""
        self.tab.get_by_role("button", name=button).press("Enter")


@pytest.fixture
def open_pad(open_chapter, vae, site):
    epsilon = stored(site, DRAW, "DigitPad")["epsilon"]
    return lambda **options: Pad(open_chapter(DRAW, **options), vae, epsilon)


SEVEN = [(0.2, 0.2), (0.75, 0.2), (0.4, 0.85)]
BAR = [(0.35, 0.5), (0.75, 0.5)]


def test_the_encoder_reads_what_the_mouse_draws_as_torch_does(address, open_pad):
    pad = open_pad(at=address)
    seven = pad.draw(SEVEN)
    crossed = pad.draw(BAR)
    assert 40 < seven.sum() < crossed.sum() - 3 < 160, "a digit of MNIST has an ink of 100"
    dotted = pad.draw([(0.1, 0.9)])
    assert not torch.equal(dotted, crossed)


def test_the_pad_is_cleared_and_takes_test_digits_and_a_stroke_then_starts_anew(open_pad, digits):
    pad = open_pad()
    images, labels = digits
    seven = pad.draw(SEVEN)
    for digit in (0, 8):
        pad.press(f"Test digit {digit}")
        assert torch.equal(pad.image()[0].float(), images[labels == digit][0]), "as it is in MNIST"
    assert torch.equal(pad.draw(SEVEN), seven), "it starts on clean paper"
    pad.press("Clear the pad")
    now = pad.tab.evaluate(PAD)
    assert now["canvases"] == [[255] * 784] * 2
    assert (now["q"], now["rows"]) == ("No image, no q(z|x)", {})
    assert now["result"] == "Draw a digit, or take a test digit."
    assert not pad.tab.locator(".live-pad .live-point").is_visible()
    assert torch.equal(pad.draw(SEVEN), seven), "a stroke was left over"


def test_a_new_sample_moves_z_and_leaves_q(open_pad):
    pad = open_pad()
    x, before = pad.image(), pad.tab.evaluate(PAD)
    pad.tab.evaluate("Math.random = () => 0.75")  # the draw is √(2 log 4) cos(3π / 2) = 0
    pad.press("New sample")
    pad.epsilon = [0.0] * 4
    assert torch.equal(pad.image(), x)
    assert pad.tab.evaluate(PAD)["q"] != before["q"]


def test_a_finger_draws_on_the_pad_and_scrolls_beside_it(open_pad):
    pad = open_pad(width=360, has_touch=True, is_mobile=True)
    stroke = pad.places([(0.3 + 0.1 * math.cos(t), 0.2 + 0.1 * t) for t in range(7)])
    before = pad.tab.evaluate("scrollY")
    pad.press("Clear the pad")
    Finger(pad.tab).swipe(*stroke)
    drawing = pad.image()
    assert 20 < drawing.sum() < 120
    assert pad.tab.evaluate("scrollY") == before, "the page scrolls under the finger"
    below, above = pad.places([(0.5, 1.5), (0.5, 0.5)])
    Finger(pad.tab).swipe(below, ((below[0] + above[0]) / 2, (below[1] + above[1]) / 2), above)
    until(pad.tab, f"scrollY > {before}")
    assert torch.equal(pad.image(), drawing)


# The figures of one latent variable

FIGURE = f"""async () => {{
    await ({TWO_FRAMES})();
    const rows = document.querySelectorAll(".live-numbers tr");
    return {{
        sliders: [...document.querySelectorAll("[type=range]")].map(each => each.value),
        label: document.querySelector("svg.live-figure").getAttribute("aria-label"),
        result: document.querySelector(".live-result").textContent,
        rows: Object.fromEntries(Array.from(rows, ({{ children }}) =>
            [children[0].textContent, children[2].textContent])),
    }};
}}"""


def read_figure(tab: Page) -> tuple[torch.Tensor, torch.Tensor, dict[str, float], list[float]]:
    """μ and σ, ``(1, 1)``, the numbers of the table, and those of the line above it."""
    now = tab.evaluate(FIGURE)
    mu, sigma = (torch.tensor([[float(value)]]).double() for value in now["sliders"])
    assert numbers(now["label"])[:2] == pytest.approx([mu.item(), sigma.item()], abs=TWO_DIGITS)
    rows = {name: numbers(text)[0] for name, text in now["rows"].items()}
    return mu, sigma, rows, numbers(now["result"])


def moved_figure(tab: Page) -> Iterator[tuple]:
    """What a figure shows when both sliders are moved by keys, and one with the mouse."""
    mean, width = (tab.get_by_role("slider", name=name, exact=True) for name in "μσ")
    for slider, key in [(mean, "PageDown"), (width, "PageUp"), (mean, "End"), (width, "Home")]:
        slider.press(key)
        yield read_figure(tab)
    for value in pulled(tab, mean, 3.0, -2.0):
        assert float(mean.input_value()) == pytest.approx(value, abs=0.04)  # steps of 0.05
        yield read_figure(tab)


def test_the_divergence_on_the_page_is_its_closed_form_and_an_area(address, open_chapter):
    tab = open_chapter(KL, at=address)
    seen = set()
    for mu, sigma, rows, line in moved_figure(tab):
        expected = kl_to_prior(mu, 2 * sigma.log()).item()
        assert rows["Sum"] == line[-1] == pytest.approx(expected, abs=FOUR_DIGITS)
        assert rows["Area"] == pytest.approx(expected, abs=2 * FOUR_DIGITS)  # by trapezoids
        seen.add(rows["Sum"])
    assert len(seen) == 6


def test_elbo_and_gap_on_the_page_are_the_models_and_add_up_to_log_p(address, open_chapter, site):
    tab = open_chapter(ELBO, at=address)
    state = stored(site, ELBO, "GapFigure")
    w, b, x = (torch.tensor(state[name]).double() for name in ("w", "b", "x"))
    model = LinearGaussian(w[:, None], b, state["sigma2"])
    log_p = model.log_marginal(x[None]).item()
    seen = set()
    for mu, sigma, rows, line in moved_figure(tab):
        elbo, gap = (part(x[None], mu, sigma**2).item() for part in (model.elbo, model.gap))
        assert rows["ELBO"] == pytest.approx(elbo, abs=FOUR_DIGITS)
        assert rows["KL(q ‖ p(z | x))"] == pytest.approx(gap, abs=FOUR_DIGITS)
        assert rows["ELBO + gap"] == rows["log p(x)"] == pytest.approx(log_p, abs=FOUR_DIGITS)
        assert line == [rows["ELBO"], rows["KL(q ‖ p(z | x))"], rows["ELBO + gap"]]
        seen.add(rows["ELBO"])
    assert len(seen) == 6
    tab.get_by_role("button", name="Set q to the posterior").press("Enter")
    mu, sigma, rows, _ = read_figure(tab)
    assert rows["KL(q ‖ p(z | x))"] == 0
    mean, covariance = model.posterior(x[None])
    expected = [mean.item(), covariance.sqrt().item()]
    assert [mu.item(), sigma.item()] == pytest.approx(expected, abs=TWO_DIGITS)


# Without scripts


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_without_scripts_a_static_figure_stands_before_each_widget_and_a_line_in_its_place(
    open_chapter, chapter
):
    tab = open_chapter(chapter, java_script_enabled=False)
    views = tab.locator(f'.cell_output:has(script[type="{VIEW}"])')
    assert views.count() == 1
    assert views.inner_text().strip() == (
        "This figure moves where the browser runs scripts. "
        "A printed figure above shows one state of it."
    )
    assert views.locator(".live-off").is_visible()
    figure = tab.locator(f'xpath=//script[@type="{VIEW}"]/preceding::figure[1]')
    assert figure.locator("figcaption").is_visible()
    figure.scroll_into_view_if_needed()
    assert figure.locator("img").is_visible()
    # Neither parts of a widget, nor places for one that stay empty.
    assert tab.locator(".live, .live-error, article canvas").count() == 0
