"""Claims about the live widgets of the built chapters: what a hand does, a page without a kernel
answers as torch would."""

import base64
import json
import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from browser import Log, served, until
from built_site import ROOT, Site
from live_page import STATE
from live_widgets import GREYS, TWO_FRAMES, check_digit, numbers, rounded_vae
from playwright.sync_api import Locator, Page

from vae_helpers.data import load_mnist
from vae_helpers.explorer import bundle
from vae_helpers.explorer.cloud import encode_means
from vae_helpers.linear_gaussian import LinearGaussian
from vae_helpers.networks import VAE
from vae_helpers.objectives import gaussian_log_likelihood, kl_divergence

ELBO, KL, GENERATION, DRAW = "04_elbo", "05_kl_term", "11_generation", "12_draw_a_digit"
CHAPTERS = (ELBO, KL, GENERATION, DRAW)

SUBSCRIPTS = str.maketrans("₁₂₃₄", "0123")
THUMB = 16  # CSS pixels, of a slider in Chromium
LIMIT = 3.0  # end of the sliders and of the map


@pytest.fixture(scope="module")
def vae() -> VAE:
    return rounded_vae()


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    return load_mnist("test")


@pytest.fixture
def open_chapter(site, open_tab):
    """Open a chapter, from disk unless at an address: `tab, log = open_chapter(GENERATION)`."""

    def opened(name: str, *, at: str | None = None, **options: object) -> tuple[Page, Log]:
        tab, log = open_tab(**options)
        tab.add_init_script(RECORD)
        tab.goto(f"{at or site.folder.as_uri()}/notebooks/{name}.html")
        return tab, log

    return opened


# Keeps what was drawn at random, and how long it took to draw each frame.
RECORD = """(() => {
    const [random, frame] = [Math.random, window.requestAnimationFrame];
    window.randoms = [];
    Math.random = () => window.randoms[window.randoms.push(random()) - 1];
    window.frameTimes = [];
    window.requestAnimationFrame = work => frame(now => {
        const start = performance.now();
        work(now);
        window.frameTimes.push(performance.now() - start);
    });
})()"""


def normals(tab: Page, count: int) -> list[float]:
    """The page's last draws from the prior, by the formula of Box and Muller."""
    uniform = tab.evaluate(f"randoms.slice({-2 * count})")
    return [
        math.sqrt(-2 * math.log(1 - first)) * math.cos(2 * math.pi * second)
        for first, second in zip(uniform[::2], uniform[1::2], strict=True)
    ]


def stored(site: Site, chapter: str) -> dict:
    """The state of the widgets that a page holds."""
    return json.loads(site.chapter(chapter).soup.find("script", type=STATE).string)["state"]


def widget(site: Site, chapter: str, name: str) -> dict:
    """One of our widgets in it, by the name of its class; bytes are decoded."""
    models = stored(site, chapter).values()
    (model,) = (m for m in models if m["state"].get("_anywidget_id", "").endswith("." + name))
    buffers = {b["path"][0]: base64.b64decode(b["data"]) for b in model.get("buffers", [])}
    return model["state"] | buffers


# The explorer: sliders

EXPLORER = """async () => {{
    await ({frames})();
    const all = selector => Array.from(document.querySelectorAll(selector));
    const [digit, point] = [...all("canvas.live-digit"), ...all(".live-point")];
    return {{
        shown: all(".live-slider output").map(each => each.textContent),
        spoken: all(".live-slider input").map(each => each.getAttribute("aria-valuetext")),
        values: all(".live-slider input").map(each => Number(each.value)),
        label: digit.getAttribute("aria-label"),
        greys: ({greys})(digit),
        axes: all(".live-axes select").map(each => Number(each.value)),
        place: [point.style.left, point.style.top].map(each => parseFloat(each) / 100),
    }};
}}"""


VALUES = """() => Array.from(
    document.querySelectorAll(".live-slider input"), each => Number(each.value))"""


@dataclass
class Explorer:
    """What chapter 11's explorer shows."""

    tab: Page
    vae: VAE

    def point(self) -> list[float]:
        """The latent point; sliders, digit and map agree on it, and the digit is torch's."""
        now = self.tab.evaluate(EXPLORER.format(frames=TWO_FRAMES, greys=GREYS))
        assert now["shown"] == now["spoken"]
        z = [float(text.replace("−", "-")) for text in now["shown"]]
        assert len(z) == 4
        assert now["values"] == pytest.approx(z, abs=1e-9)
        assert numbers(now["label"]) == z
        check_digit(self.vae, z, torch.tensor(now["greys"]))
        left, top = now["place"]
        x, y = (z[latent] for latent in now["axes"])
        assert [left, 1 - top] == pytest.approx([0.5 + v / (2 * LIMIT) for v in (x, y)], abs=1e-4)
        return z

    def slider(self, latent: int) -> Locator:
        """One of the sliders, by its name."""
        return self.tab.get_by_role("slider", name=f"z{'₁₂₃₄'[latent]}", exact=True)

    def drag(self, latent: int, goal: float) -> None:
        """Take a slider with the mouse and pull it to a value; on the way the digit moves."""
        slider, mouse = self.slider(latent), self.tab.mouse
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        before = self.point()
        start, end = (
            box["x"] + THUMB / 2 + (box["width"] - THUMB) * (0.5 + value / (2 * LIMIT))
            for value in (before[latent], goal)
        )
        y = box["y"] + box["height"] / 2
        mouse.move(start, y)
        mouse.down()
        mouse.move((start + end) / 2, y, steps=3)
        halfway = (before[latent] + goal) / 2
        assert self.point()[latent] == pytest.approx(halfway, abs=0.03)  # a pixel is 0.01
        mouse.move(end, y, steps=3)
        mouse.up()

    def press(self, button: str) -> None:
        """Press a button from the keyboard."""
        self.tab.get_by_role("button", name=button, exact=True).press("Enter")

    def said(self) -> str:
        """What a screen reader was last told."""
        return self.tab.locator(".live-said").inner_text()


def test_a_slider_dragged_with_the_mouse_moves_its_latent_alone_and_the_digit_follows(
    address, open_chapter, vae
):
    tab, log = open_chapter(GENERATION, at=address)
    explorer = Explorer(tab, vae)
    for latent, goal in enumerate([-2.0, 2.2, -1.3, 1.7]):
        z = explorer.point()
        explorer.drag(latent, goal)
        moved = explorer.point()
        assert moved[latent] == pytest.approx(goal, abs=0.03)
        z[latent] = moved[latent]
        assert moved == z
    assert log.complaints == []
    assert log.foreign(address) == []


def test_a_slider_moved_with_keys_moves_its_latent_alone_and_the_digit_follows(
    address, open_chapter, vae
):
    tab, log = open_chapter(GENERATION, at=address)
    explorer = Explorer(tab, vae)
    z = explorer.point()
    for latent in range(4):
        explorer.slider(latent).focus()
        for keys, goal in [
            (["ArrowRight"] * 2, z[latent] + 0.02),
            (["Home"], -LIMIT),
            (["PageUp"], -LIMIT + 0.6),  # a tenth of the way
            (["End", "ArrowDown"], LIMIT - 0.01),
        ]:
            for key in keys:
                tab.keyboard.press(key)
            z[latent] = round(goal, 2)
            assert explorer.point() == z
    assert log.complaints == []


# The explorer: buttons


def test_a_button_leads_to_the_mean_of_each_digit(open_chapter, vae, digits):
    tab, log = open_chapter(GENERATION)
    explorer = Explorer(tab, vae)
    images, labels = digits
    mu = encode_means(vae, images.double(), labels)
    for digit in range(10):
        name = f"Mean of the digit {digit}"
        tab.get_by_role("button", name=name).click()
        # The sliders show two digits, and the page has the mean by the unrounded model.
        expected = mu[labels == digit].mean(0)
        np.testing.assert_allclose(explorer.point(), expected, rtol=0, atol=0.008)
        assert explorer.said().startswith(f"{name}: z = ")
        assert numbers(explorer.said()) == explorer.point()
    assert log.complaints == []


def test_buttons_lead_to_a_random_draw_from_the_prior_and_back_to_its_mean(open_chapter, vae):
    tab, log = open_chapter(GENERATION)
    explorer = Explorer(tab, vae)
    draws = []
    for _ in range(3):
        explorer.press("Random draw")
        draws.append(explorer.point())
        expected = np.clip(normals(tab, 4), -LIMIT, LIMIT)
        np.testing.assert_allclose(draws[-1], expected, rtol=0, atol=0.005 + 1e-9)  # two digits
    assert len(set(map(tuple, draws))) == 3
    explorer.press("Back to z = 0")
    assert explorer.point() == [0, 0, 0, 0]
    assert explorer.said() == "Mean of the prior: z = (0.00, 0.00, 0.00, 0.00)"
    assert log.complaints == []


WALK = 3000  # milliseconds from one digit to the other


@pytest.mark.parametrize(("motion", "pictures"), [("no-preference", 24), ("reduce", 8)])
def test_play_walks_straight_from_one_digit_to_another_or_jumps_where_motion_is_unwanted(
    open_chapter, vae, motion, pictures
):
    tab, log = open_chapter(GENERATION, reduced_motion=motion)
    explorer = Explorer(tab, vae)
    start, end = [], []
    for digit, place in (("4", start), ("9", end)):
        explorer.press(f"Mean of the digit {digit}")
        place += explorer.point()
    tab.get_by_role("combobox", name="Walk from the digit").select_option("4")
    tab.get_by_role("combobox", name="to the digit", exact=True).select_option("9")
    tab.clock.install(time=0)
    tab.clock.pause_at(1)
    explorer.press("Play")
    tab.clock.run_for(40)  # the first frames
    assert tab.get_by_role("button", name="Stop", exact=True).is_visible()
    seen = []
    for _ in range(24):
        seen.append(tab.evaluate(VALUES))
        tab.clock.run_for(WALK / 24)
    assert tab.evaluate(VALUES) == end
    tab.clock.resume()
    assert explorer.point() == end
    assert tab.get_by_role("button", name="Play", exact=True).is_visible()
    assert explorer.said().startswith("Walked from 4 to 9: z = ")
    # On the straight line, and no further back than the frame before, or the jump.
    far = np.array(end) - start
    times = (np.array(seen) - start) @ far / (far @ far)
    np.testing.assert_allclose(seen, start + times[:, None] * far, rtol=0, atol=0.015)
    late = np.arange(24) / 24 - times
    assert late.max() < 1 / pictures
    assert late.min() > -0.03
    assert len(set(map(tuple, seen))) == pictures
    assert log.complaints == []


def test_a_hand_on_a_slider_ends_the_walk(open_chapter, vae):
    tab, _ = open_chapter(GENERATION)
    explorer = Explorer(tab, vae)
    explorer.press("Mean of the digit 3")
    start = explorer.point()
    explorer.press("Play")  # from 3 to 8
    until(tab, f"({VALUES})()[0] !== {start[0]}")
    explorer.slider(1).press("Home")
    tab.get_by_role("button", name="Play", exact=True).wait_for()
    here = explorer.point()
    assert here[1] == -LIMIT
    tab.wait_for_timeout(100)  # ms
    assert explorer.point() == here


# The explorer: the map


@pytest.fixture
def on_the_map(open_chapter, vae):
    """The explorer with a map of z₃ across and z₁ up, at a point of its own."""
    tab, log = open_chapter(GENERATION)
    explorer = Explorer(tab, vae)
    tab.get_by_role("combobox", name="Latent variable across").select_option("z₃")
    tab.get_by_role("combobox", name="Latent variable up").select_option("z₁")
    tab.locator(".live-plane").scroll_into_view_if_needed()
    explorer.point()
    yield explorer
    assert log.complaints == []


def on_screen(tab: Page, across: float, up: float) -> tuple[float, float]:
    """Where the map has a point, in pixels of the screen."""
    box = tab.locator(".live-plane").bounding_box()
    x, y = (0.5 + value / (2 * LIMIT) for value in (across, up))
    return box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"]


def test_the_point_of_the_map_is_dragged_and_only_the_two_latents_of_the_map_move(on_the_map):
    tab, z = on_the_map.tab, on_the_map.point()
    tab.mouse.move(*on_screen(tab, z[2], z[0]))
    tab.mouse.down()
    for across, up in [(-1.5, 0.5), (-2.0, -1.0)]:
        tab.mouse.move(*on_screen(tab, across, up), steps=4)
        # A pixel is 0.02.
        assert on_the_map.point() == pytest.approx([up, z[1], across, z[3]], abs=0.03)
    tab.mouse.up()
    here = on_the_map.point()
    tab.mouse.move(*on_screen(tab, 0, 0))
    assert on_the_map.point() == here, "it follows a mouse that let go"
    assert here[1::2] == z[1::2]


def test_the_point_stops_at_the_edge_of_the_map(on_the_map):
    tab, z = on_the_map.tab, on_the_map.point()
    tab.mouse.move(*on_screen(tab, z[2], z[0]))
    tab.mouse.down()
    tab.mouse.move(*on_screen(tab, 3.6, -3.4), steps=4)
    tab.mouse.up()
    assert on_the_map.point() == [-LIMIT, z[1], LIMIT, z[3]]


def test_a_click_on_the_map_takes_the_point_there(on_the_map):
    tab, z = on_the_map.tab, on_the_map.point()
    tab.mouse.click(*on_screen(tab, -1.0, 2.0))
    assert on_the_map.point() == pytest.approx([2.0, z[1], -1.0, z[3]], abs=0.03)


def test_the_point_of_the_map_moves_with_the_arrow_keys(on_the_map):
    tab, z = on_the_map.tab, on_the_map.point()
    mark = tab.get_by_role("slider", name="Point on the map")
    mark.focus()
    for key, latent, step in [
        ("ArrowRight", 2, 0.05),
        ("ArrowUp", 0, 0.05),
        ("Shift+ArrowLeft", 2, -0.5),
        ("Shift+ArrowDown", 0, -0.5),
    ]:
        tab.keyboard.press(key)
        z[latent] = round(z[latent] + step, 2)
        assert on_the_map.point() == z
        said = mark.get_attribute("aria-valuetext").replace("−", "-")
        assert said == f"z₃ = {z[2]:.2f}, z₁ = {z[0]:.2f}"


def test_a_finger_taps_the_map_and_drags_the_point_but_scrolls_elsewhere(open_chapter, vae):
    tab, _ = open_chapter(GENERATION, width=360, has_touch=True, is_mobile=True)
    explorer, hand = Explorer(tab, vae), Finger(tab)
    tab.locator(".live-plane").scroll_into_view_if_needed()
    z = explorer.point()
    hand.swipe(on_screen(tab, -1.0, 1.5))
    assert explorer.point() == pytest.approx([-1.0, 1.5, *z[2:]], abs=0.03)
    hand.swipe(on_screen(tab, -1.0, 1.5), on_screen(tab, 0, 0), on_screen(tab, 1.0, -2.0))
    here = explorer.point()
    assert here == pytest.approx([1.0, -2.0, *z[2:]], abs=0.03)
    before = tab.evaluate("scrollY")
    hand.swipe(on_screen(tab, -2.5, -2.0), on_screen(tab, -2.5, 0), on_screen(tab, -2.5, 2.0))
    until(tab, f"scrollY > {before}")
    assert explorer.point() == here


# The pad

SHOWN_DIGITS = 0.005 + 1e-6  # two digits after the point, rounded from 64 bits
PAD = """async () => {{
    await ({frames})();
    await ({frames})(); // in the first frame the ink is read, in the next its digit drawn
    const pad = document.querySelector(".live-pad");
    const rows = pad.querySelectorAll(".live-numbers tr");
    return {{
        canvases: Array.from(pad.querySelectorAll(".live-pair canvas"), {greys}),
        q: pad.querySelector("svg").getAttribute("aria-label"),
        result: pad.querySelector(".live-result").textContent,
        rows: Object.fromEntries(Array.from(rows, ({{ children }}) =>
            [children[0].textContent, children[2].textContent])),
        point: ["left", "top"].map(side =>
            parseFloat(pad.querySelector(".live-point").style[side]) / 100),
    }};
}}"""


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


@dataclass
class Pad:
    """What chapter 12's pad shows."""

    tab: Page
    vae: VAE
    epsilon: list[float]

    def read(self) -> dict:
        return self.tab.evaluate(PAD.format(frames=TWO_FRAMES, greys=GREYS))

    def image(self) -> torch.Tensor:
        """The pixels that the encoder gets, ``(1, D)``; all that is shown is torch's for them."""
        now = self.read()
        x = (255 - torch.tensor(now["canvases"][:1]).double()) / 255
        with torch.no_grad():
            mu, logvar = self.vae.encode(x)
            sigma = (0.5 * logvar).exp()
            z = mu + sigma * torch.tensor([self.epsilon]).double()
            x_mean = self.vae.decode(z)
        kl = kl_divergence(mu, logvar).item()
        log_likelihood = gaussian_log_likelihood(x, x_mean, sigma2=self.vae.sigma2).item()
        shown = numbers(now["q"])
        expected = torch.stack([mu[0], sigma[0], z[0]], 1).flatten()  # μ, σ, z of each latent
        np.testing.assert_allclose(shown, expected, rtol=0, atol=SHOWN_DIGITS)
        rows = {name: numbers(text)[0] for name, text in now["rows"].items()}
        expected = {
            "SSE": (x - x_mean).square().sum().item(),
            "log p(x|z)": log_likelihood,
            "KL(q ‖ p)": kl,
            "ELBO": log_likelihood - kl,
        }
        assert rows == pytest.approx(expected, abs=SHOWN_DIGITS)
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

    def draw(self, *strokes: list[tuple[float, float]]) -> None:
        """Draw strokes with the mouse."""
        for stroke in strokes:
            first, *others = self.places(stroke)
            self.tab.mouse.move(*first)
            self.tab.mouse.down()
            for place in others:
                self.tab.mouse.move(*place, steps=4)
            self.tab.mouse.up()


@pytest.fixture
def open_pad(open_chapter, vae, site):
    """Open chapter 12: `pad, log = open_pad()`."""

    def opened(**options: object) -> tuple[Pad, Log]:
        tab, log = open_chapter(DRAW, **options)
        return Pad(tab, vae, widget(site, DRAW, "DigitPad")["epsilon"]), log

    return opened


SEVEN = [(0.2, 0.2), (0.75, 0.2), (0.4, 0.85)]
BAR = [(0.35, 0.5), (0.75, 0.5)]


def test_the_encoder_reads_what_the_mouse_draws_as_torch_does(address, open_pad):
    pad, log = open_pad(at=address)
    pad.draw(SEVEN)
    seven = pad.image()
    pad.draw(BAR)
    crossed = pad.image()
    assert 40 < seven.sum() < crossed.sum() - 3 < 160, "a digit of MNIST has an ink of 100"
    pad.draw([(0.1, 0.9)])  # a dot, far away
    assert not torch.equal(pad.image(), crossed)
    assert log.complaints == []
    assert log.foreign(address) == []


def test_a_small_digit_in_a_corner_is_seen_as_a_large_one_in_the_middle(open_pad):
    pad, _ = open_pad()
    pad.draw([(0.7 + 0.25 * x, 0.05 + 0.25 * y) for x, y in SEVEN])
    ink = pad.image().reshape(28, 28)
    rows, columns = (ink.sum(axis) for axis in (1, 0))
    assert max((rows > 0).sum(), (columns > 0).sum()) == 20
    places = torch.arange(28)
    centres = [((each * places).sum() / ink.sum()).item() for each in (rows, columns)]
    assert centres == pytest.approx([14, 14], abs=0.51)


def test_a_cleared_pad_shows_no_numbers_and_says_what_to_do(open_pad):
    pad, log = open_pad()
    pad.draw(SEVEN)
    seven = pad.image()
    pad.tab.get_by_role("button", name="Clear the pad").click()
    now = pad.read()
    assert now["canvases"] == [[255] * 784] * 2
    assert now["q"] == "No image, no q(z|x)"
    assert now["result"] == "Draw a digit, or take a test digit."
    assert now["rows"] == {}
    assert not pad.tab.locator(".live-pad .live-point").is_visible()
    pad.draw(SEVEN)
    assert torch.equal(pad.image(), seven), "a stroke was left over"
    assert log.complaints == []


def test_a_test_digit_is_seen_by_the_encoder_as_it_is_in_mnist(open_pad, digits):
    pad, log = open_pad()
    images, labels = digits
    for digit in range(10):
        pad.tab.get_by_role("button", name=f"Test digit {digit}").press("Enter")
        assert torch.equal(pad.image()[0].float(), images[labels == digit][0])
    assert log.complaints == []


def test_a_new_sample_moves_z_and_leaves_q(open_pad):
    pad, log = open_pad()
    pad.draw(SEVEN)
    x, before = pad.image(), pad.read()
    pad.tab.get_by_role("button", name="New sample").click()
    pad.epsilon = normals(pad.tab, 4)
    assert torch.equal(pad.image(), x)
    after = pad.read()
    assert after["q"] != before["q"]
    assert after["rows"]["KL(q ‖ p)"] == before["rows"]["KL(q ‖ p)"]
    assert log.complaints == []


def test_a_finger_draws_on_the_pad(open_pad):
    pad, log = open_pad(width=360, has_touch=True, is_mobile=True)
    stroke = pad.places([(0.3 + 0.1 * math.cos(t), 0.2 + 0.1 * t) for t in range(7)])
    before = pad.tab.evaluate("scrollY")
    Finger(pad.tab).swipe(*stroke)
    assert 20 < pad.image().sum() < 120
    assert pad.tab.evaluate("scrollY") == before, "the page scrolls under the finger"
    assert log.complaints == []
