"""Claims about the explorer in a real browser: a page with no kernel shows what torch decodes."""

import numpy as np
import pytest
import torch
from browser import until
from built_site import ROOT
from playwright.sync_api import Page, expect

from vae_helpers.checkpoints import load_vae

CHAPTER = "notebooks/11_generation"
DIGIT = "canvas.live-digit"
# Read from a copy: the browser complains of a canvas that is read back again and again.
GREY = """() => {
  const copy = document.createElement("canvas");
  copy.width = copy.height = 28;
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(document.querySelector("canvas.live-digit"), 0, 0);
  return Array.from(context.getImageData(0, 0, 28, 28).data);
}"""


@pytest.fixture(scope="module")
def vae():
    """The shipped model with its weights as the page has them, in 16 bits."""
    return load_vae(ROOT / "data" / "vae.safetensors").half().float()


@pytest.fixture
def tab(open_tab, address) -> Page:
    tab, log = open_tab()
    tab.goto(f"{address}/{CHAPTER}.html")
    tab.locator(DIGIT).scroll_into_view_if_needed()
    yield tab
    assert log.complaints == []
    assert log.foreign(address) == []


def sliders(tab: Page) -> list:
    found = tab.locator(".live-slider input").all()
    assert len(found) == 4
    return found


def point(tab: Page) -> list[float]:
    """What the sliders say."""
    return [float(slider.input_value()) for slider in sliders(tab)]


def shows_what_torch_decodes(tab: Page, vae) -> None:
    """The sliders, the words and the picture are those of one point."""
    z = point(tab)
    words = ", ".join(f"{value:.2f}".replace("-", "−") for value in z)
    expect(tab.locator(DIGIT)).to_have_attribute("aria-label", f"Digit decoded at z = ({words})")
    rgba = np.array(tab.evaluate(GREY)).reshape(784, 4)
    assert (rgba[:, :3] == rgba[:, :1]).all()
    with torch.no_grad():
        x_mean = vae.decode(torch.tensor([z]))[0].double().numpy()
    # Torch adds in 32 bits: where 255 (1 − x) lies at a half, rounding may go either way.
    assert np.abs(rgba[:, 0] - 255 * (1 - x_mean)).max() <= 0.51
    for slider, value in zip(sliders(tab), z, strict=True):
        assert slider.get_attribute("aria-valuetext") == f"{value:.2f}".replace("-", "−")


def centre(locator) -> tuple[float, float]:
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_each_slider_moves_the_digit_by_mouse_and_by_key(tab, vae):
    shows_what_torch_decodes(tab, vae)
    for index, slider in enumerate(sliders(tab)):
        expect(slider).to_have_accessible_name("z" + "₁₂₃₄"[index])
        before = point(tab)
        x, y = centre(slider)
        tab.mouse.move(x, y)
        tab.mouse.down()
        tab.mouse.move(x + 60 - 40 * index, y, steps=4)
        tab.mouse.up()
        shows_what_torch_decodes(tab, vae)
        dragged = point(tab)
        assert dragged[index] != before[index]
        for _ in range(3):
            slider.press("ArrowLeft")
        shows_what_torch_decodes(tab, vae)
        assert point(tab)[index] == pytest.approx(dragged[index] - 0.03)
        assert [*point(tab)[:index], *point(tab)[index + 1 :]] == pytest.approx(
            [*before[:index], *before[index + 1 :]]
        )


def test_buttons_lead_to_means_to_draws_and_back(tab, vae):
    seen = set()
    for digit in "0123456789":
        tab.get_by_role("button", name=f"Mean of the digit {digit}").click()
        shows_what_torch_decodes(tab, vae)
        expect(tab.locator(".live-said")).to_contain_text(f"Mean of the digit {digit}: z = (")
        seen.add(tuple(point(tab)))
    assert len(seen) == 10
    tab.get_by_role("button", name="Random draw").click()
    shows_what_torch_decodes(tab, vae)
    assert tuple(point(tab)) not in seen
    tab.get_by_role("button", name="Back to z = 0").click()
    shows_what_torch_decodes(tab, vae)
    assert point(tab) == [0, 0, 0, 0]


def test_the_point_on_the_map_is_dragged_and_moved_by_keys(tab, vae):
    tab.get_by_role("button", name="Back to z = 0").click()
    handle = tab.get_by_role("slider", name="Point on the map")
    x, y = centre(handle)
    width = tab.locator(".live-plane").bounding_box()["width"]
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + width / 6, y - width / 3, steps=5)  # the plane is 6 wide
    tab.mouse.up()
    shows_what_torch_decodes(tab, vae)
    assert point(tab) == pytest.approx([1, 2, 0, 0], abs=0.05)  # a CSS pixel is 0.02
    tab.get_by_label("Latent variable across").select_option("z₄")
    handle.press("ArrowRight")
    handle.press("Shift+ArrowDown")
    shows_what_torch_decodes(tab, vae)
    assert point(tab) == pytest.approx([1, 1.5, 0, 0.05], abs=0.05)
    expect(handle).to_have_attribute("aria-valuetext", "z₄ = 0.05, z₂ = 1.50")


def test_play_walks_from_one_digit_to_the_other(tab, vae):
    ends = []
    for digit in "17":
        tab.get_by_role("button", name=f"Mean of the digit {digit}").click()
        ends.append(point(tab))
    tab.get_by_label("Walk from the digit").select_option("1")
    tab.get_by_label("to the digit", exact=True).select_option("7")
    tab.get_by_role("button", name="Play").click()
    expect(tab.get_by_role("button", name="Stop")).to_be_visible()
    tab.wait_for_timeout(1000)  # ms, of 3000
    assert point(tab) not in ends
    expect(tab.get_by_role("button", name="Play")).to_be_visible()
    shows_what_torch_decodes(tab, vae)
    assert point(tab) == ends[1]
    expect(tab.locator(".live-said")).to_contain_text("Walked from 1 to 7")


def test_a_finger_scrolls_by_the_map_and_drags_by_the_point(open_tab, served_site):
    tab, _ = open_tab(width=360, has_touch=True, is_mobile=True)
    tab.goto(f"{served_site}/{CHAPTER}.html")
    handle = tab.get_by_role("slider", name="Point on the map")
    assert handle.evaluate("e => getComputedStyle(e).touchAction") == "none"
    plane = tab.locator(".live-plane")
    assert plane.evaluate("e => getComputedStyle(e).touchAction") == "auto"
    plane.scroll_into_view_if_needed()
    plane.tap(position={"x": 20, "y": 20})
    assert point(tab)[0] < -2
    assert point(tab)[1] > 2


@pytest.mark.parametrize("width", [320, 360])
def test_on_a_phone_nothing_sticks_out_and_all_can_be_pressed(open_tab, served_site, width):
    tab, _ = open_tab(width=width)
    tab.goto(f"{served_site}/{CHAPTER}.html")
    live = tab.locator(".live").first
    edge = live.bounding_box()["x"] + live.bounding_box()["width"]
    for pressed in live.locator("button, select, input").all():
        box = pressed.bounding_box()
        assert box["x"] + box["width"] <= edge + 0.5
        assert min(box["width"], box["height"]) >= 24  # CSS pixels


def test_without_scripts_a_line_stands_in_place_of_the_explorer(open_tab, address):
    tab, _ = open_tab(java_script_enabled=False)
    tab.goto(f"{address}/{CHAPTER}.html")
    expect(tab.locator(".live-off")).to_be_visible()
    assert tab.locator("canvas").count() == 0


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ('"path":["decoder"],"data":"', '"path":["decoder"],"data":"AAAA', "expected 106464 bytes"),
        ('"sizes":[4,', '"sizes":[5,', "expected"),
        ('"mean_labels":"0123456789"', '"mean_labels":"01234"', "expected"),
        ('{"state":{', '{"state":{{', "state is damaged"),
        ('"model_id": "model-', '"model_id": "lost-', "state is missing"),
    ],
)
def test_a_damaged_page_says_so(open_tab, site, tmp_path, good, bad, said):
    text = (site.folder / f"{CHAPTER}.html").read_text(encoding="utf-8")
    assert text.count(good) == 1
    damaged = site.folder / f"{CHAPTER}_damaged.html"
    damaged.write_text(text.replace(good, bad), encoding="utf-8")
    try:
        tab, log = open_tab()
        tab.goto(damaged.as_uri())
        until(tab, "document.querySelector('.live-error') !== null")
        expect(tab.get_by_role("alert")).to_contain_text(said)
        assert log.complaints == []
    finally:
        damaged.unlink()
