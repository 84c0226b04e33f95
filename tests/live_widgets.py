"""What the tests of the live widgets share: what a browser shows, and what torch says it should."""

import re
from pathlib import Path

import torch
from torch import Tensor

from vae_helpers.checkpoints import load_vae
from vae_helpers.networks import VAE

WEIGHTS = Path(__file__).resolve().parents[1] / "data" / "vae.safetensors"
# Read from a copy: a canvas that is read often complains, and may be drawn in another way then.
GREYS = """canvas => {
    const copy = new OffscreenCanvas(28, 28).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, 28, 28);
    return Array.from({ length: 784 }, (_, i) => {
        const [red, green, blue, opacity] = data.subarray(4 * i);
        return red === green && red === blue && opacity === 255 ? red : NaN;
    });
}"""
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def rounded_vae() -> VAE:
    """The shipped VAE as a page has it.

    A page holds the weights in 16 bits, each rounded to 11 binary digits: that moves a grey by
    less than one level, but not by nothing. JavaScript counts with them in 64 bits, so torch does.
    """
    return load_vae(WEIGHTS).half().double()


def numbers(text: str) -> list[float]:
    """The numbers with a point in a text that has true minus signs."""
    return [float(word) for word in re.findall(r"-?\d+\.\d+", text.replace("−", "-"))]


def check_digit(vae: VAE, z: list[float], levels: Tensor) -> None:
    """Claim that these grey levels are the digit that torch decodes at z."""
    with torch.no_grad():
        x_mean = vae.decode(torch.tensor([z], dtype=torch.double))[0]
    # One level, because halves may be rounded the other way. False for what is no grey, a NaN.
    assert (levels - (255 * (1 - x_mean)).round()).abs().max() <= 1
