"""Claims about the sliders: what a person sees is what torch decodes."""

import io
import math

import matplotlib.image
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_helpers.explorer import digit_png, latent_sliders
from vae_helpers.networks import VAE


@pytest.fixture(scope="module")
def vae():
    """A model whose pictures change plainly with z, as those of a trained one do."""
    torch.manual_seed(0)
    vae = VAE()
    with torch.no_grad():
        vae.decoder.layers[-1].weight.mul_(50)
    return vae


def grey(png: bytes) -> np.ndarray:
    """The red channel, (224, 224), in 0 to 255, after claiming that the picture is grey."""
    rgba = np.rint(255 * matplotlib.image.imread(io.BytesIO(png), format="png")).astype(int)
    assert (rgba[..., :3] == rgba[..., :1]).all()
    assert (rgba[..., 3] == 255).all()
    return rgba[..., 0]


# digit_png


def test_a_pixel_becomes_a_square_of_eight_with_ink_black_on_one_scale():
    image = torch.linspace(0, 1, 784)
    picture = grey(digit_png(image))
    assert picture.shape == (224, 224)
    blocks = picture.reshape(28, 8, 28, 8)
    assert (blocks == blocks[:, :1, :, :1]).all()
    # The table of the colour map and the picture have 256 levels each: one level from either.
    np.testing.assert_allclose(
        blocks[:, 0, :, 0].ravel(), 255 * (1 - image.numpy()), atol=2, rtol=0
    )


def test_the_scale_does_not_hang_on_the_image():
    assert set(grey(digit_png(torch.full((784,), 0.5))).ravel()) <= {127, 128}
    assert set(grey(digit_png(torch.zeros(784))).ravel()) == {255}
    assert set(grey(digit_png(torch.ones(784))).ravel()) == {0}


# latent_sliders


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_moving_the_sliders_shows_what_torch_decodes(vae, z):
    picture, *sliders = latent_sliders(vae).children
    for slider, value in zip(sliders, z, strict=True):
        slider.value = value
    assert picture.value == digit_png(vae.decode(torch.tensor([z]))[0].detach())


def test_each_slider_moves_a_latent_of_its_own(vae):
    pictures = {latent_sliders(vae).children[0].value}
    for index in range(4):
        picture, *sliders = latent_sliders(vae).children
        sliders[index].value = 2.0
        z = torch.zeros(1, 4)
        z[0, index] = 2
        assert picture.value == digit_png(vae.decode(z)[0].detach())
        assert sliders[index].description == f"z{index + 1}"
        pictures.add(picture.value)
    assert len(pictures) == 5, "a slider left the picture as it was"


def test_there_is_a_slider_a_latent_and_they_start_at_the_mean_of_the_prior():
    picture, *sliders = latent_sliders(VAE(latent_dim=2), limit=2.5).children
    assert [(s.value, s.min, s.max) for s in sliders] == [(0, -2.5, 2.5)] * 2
    assert picture.format == "png"


def test_the_first_picture_is_that_of_the_point_given(vae):
    z = torch.tensor([1.25, -0.5, 3.0, -3.0])  # two digits after the point, as a slider shows
    picture, *sliders = latent_sliders(vae, z=z).children
    assert [slider.value for slider in sliders] == z.tolist()
    assert picture.value == digit_png(vae.decode(z[None])[0].detach())


def test_what_a_slider_says_is_what_the_picture_shows(vae):
    picture, *sliders = latent_sliders(vae, z=torch.tensor([0.123456, 0, 0, 0])).children
    shown = torch.tensor([[slider.value for slider in sliders]])
    assert picture.value == digit_png(vae.decode(shown)[0].detach())


def test_a_model_in_double_precision_decodes_too():
    vae = VAE().double()
    picture, *sliders = latent_sliders(vae).children
    sliders[0].value = 1.5
    z = torch.tensor([[1.5, 0, 0, 0]], dtype=torch.float64)
    assert picture.value == digit_png(vae.decode(z)[0].detach())


@pytest.mark.parametrize(
    "z",
    [
        torch.zeros(3),
        torch.zeros(1, 4),
        torch.tensor(0.0),
        torch.tensor([3.1, 0, 0, 0]),
        torch.tensor([0, 0, 0, math.nan]),
        torch.tensor([-math.inf, 0, 0, 0]),
    ],
)
def test_a_point_of_another_shape_or_beyond_the_limit_is_refused(vae, z):
    with pytest.raises(ValueError, match=r"shape \(4,\) and values within ±3.0; found .*\. Clamp"):
        latent_sliders(vae, z=z)
