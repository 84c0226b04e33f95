"""Claims about the exact model: each closed form against one computed in another way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions
from torch.distributions import MultivariateNormal, Normal

from vae_helpers.linear_gaussian import LinearGaussian

# float64 keeps 16 digits. The terms here reach 1e4 and the condition numbers 1e3, so that two
# ways to compute one number agree to about 1e-11 of the largest term.
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def eye(n: int) -> torch.Tensor:
    return torch.eye(n, dtype=torch.float64)


def randn(*shape: int, g: torch.Generator) -> torch.Tensor:
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def covariances(*shape: int, g: torch.Generator) -> torch.Tensor:
    """Random symmetric matrices with eigenvalues from 0.05 up."""
    root = randn(*shape, g=g)
    return root @ root.mT / shape[-1] + 0.05 * eye(shape[-1])


def toy(seed: int, *, pixels: int = 4, latents: int = 2, batch: int = 3, sigma2: float = 0.3):
    """A random model and images that it did not draw, ``(B, D)``."""
    g = seeded(seed)
    model = LinearGaussian(randn(pixels, latents, g=g), randn(pixels, g=g), sigma2)
    return model, 2 * randn(batch, pixels, g=g)


def marginal(model: LinearGaussian) -> MultivariateNormal:
    """N(b, WWᵀ + σ²I), from nothing but W, b and σ²."""
    return MultivariateNormal(model.b, model.W @ model.W.T + model.sigma2 * eye(len(model.b)))


def log_joint(model: LinearGaussian, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """log p(x, z) for every pair of an image and a z, ``(B, number of z)``, by its definition."""
    x_mean = z @ model.W.T + model.b
    likelihood = Normal(x_mean, math.sqrt(model.sigma2)).log_prob(x[:, None]).sum(-1)
    return Normal(0.0, 1.0).log_prob(z).sum(-1) + likelihood


models = st.builds(
    toy,
    st.integers(0, 10_000),
    pixels=st.integers(1, 6),
    latents=st.integers(1, 4),
    batch=st.integers(1, 4),
    sigma2=st.floats(0.01, 10),
)
seeds = st.integers(0, 10_000)


# log_marginal and the posterior


@given(models)
def test_log_marginal_is_that_of_torch_distributions(case):
    model, x = case
    expected = marginal(model).log_prob(x)  # (B,)
    # σ² down to 0.01 lets terms and condition numbers reach 1e4: twelve digits are left.
    torch.testing.assert_close(model.log_marginal(x), expected, rtol=1e-9, atol=1e-9)


@given(models, seeds)
def test_posterior_is_the_joint_over_the_marginal_at_every_z(case, seed):
    model, x = case
    mean, covariance = model.posterior(x)
    z = randn(5, model.latent_dim, g=seeded(seed))
    posterior = MultivariateNormal(mean[:, None], covariance).log_prob(z)  # (B, 5)
    by_bayes = log_joint(model, x, z) - model.log_marginal(x)[:, None]
    # The joint reaches 1e5 nats at σ² = 0.01, and a difference keeps its absolute error.
    torch.testing.assert_close(posterior, by_bayes, rtol=1e-9, atol=1e-8)


# elbo and gap


def elbo_by_distributions(model, x, mu, cov):
    """E_q[log p(x|z)] − KL: the first term of torch's moments, the KL of torch's formula."""
    q = MultivariateNormal(mu, cov)
    prior = MultivariateNormal(torch.zeros_like(mu[0]), eye(len(mu[0])))
    # Pixel d of Wz + b is N(w_d·μ + b_d, w_dᵀSw_d) under q.
    pixel_variance = torch.einsum("dk,...kl,dl->...d", model.W, cov, model.W)
    squared_error = (x - mu @ model.W.T - model.b) ** 2 + pixel_variance  # (B, D), its expectation
    log_p = -squared_error / (2 * model.sigma2) - 0.5 * math.log(2 * math.pi * model.sigma2)
    return log_p.sum(-1) - distributions.kl_divergence(q, prior)


@given(models, seeds)
def test_elbo_and_gap_are_those_of_torch_distributions_for_every_gaussian_q(case, seed):
    model, x = case
    B, L, g = len(x), model.latent_dim, seeded(seed)
    mu, shared, each = randn(B, L, g=g), covariances(L, L, g=g), covariances(B, L, L, g=g)
    posterior = MultivariateNormal(*model.posterior(x))
    for cov, matrix in [(shared, shared), (each, each), (shared.diagonal(),) * 2]:
        matrix = torch.diag(matrix) if matrix.ndim == 1 else matrix
        elbo, gap = model.elbo(x, mu, cov), model.gap(x, mu, cov)
        # At σ² = 0.01 the terms reach 1e5, of which fifteen digits are right.
        expected = elbo_by_distributions(model, x, mu, matrix)
        torch.testing.assert_close(elbo, expected, rtol=1e-10, atol=1e-9)
        expected = distributions.kl_divergence(MultivariateNormal(mu, matrix), posterior)
        torch.testing.assert_close(gap, expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(elbo + gap, model.log_marginal(x), **EXACT)


# mean_field and the optimal encoder


@given(models)
def test_mean_field_and_encode_have_the_posterior_mean_and_one_over_its_precisions_diagonal(case):
    model, x = case
    mean, variances = model.mean_field(x)
    posterior_mean, covariance = model.posterior(x)
    torch.testing.assert_close(mean, posterior_mean, **EXACT)
    precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    torch.testing.assert_close(variances, 1 / precision.diagonal(), **EXACT)
    mu, logvar = model.encode(x)
    assert torch.equal(mu, mean)
    torch.testing.assert_close(logvar.exp(), variances.expand_as(mu), **EXACT)


@given(models, st.floats(0.02, 3), st.booleans())
def test_no_other_diagonal_q_has_a_higher_elbo_than_mean_field(case, step, up):
    model, x = case
    mean, variances = model.mean_field(x)
    best = model.elbo(x, mean, variances)
    for one in (step if up else -step) * eye(model.latent_dim):
        # Steps of 0.02 in ln s or in μ/s cost at least 1e-4 nats, far above the rounding.
        assert (model.elbo(x, mean, variances * one.exp()) < best).all()
        assert (model.elbo(x, mean + one * variances.sqrt(), variances) < best).all()


# sample, decode and log_likelihood


def test_samples_are_the_decoded_z_and_noise_and_come_from_the_generator_alone():
    model, _ = toy(6)
    state = torch.get_rng_state()
    x, z = model.sample(5, generator=seeded(1))
    assert torch.equal(torch.get_rng_state(), state)
    g = seeded(1)
    assert torch.equal(z, randn(5, 2, g=g))  # the ancestor first
    expected = model.decode(z) + model.sigma2**0.5 * randn(5, 4, g=g)
    torch.testing.assert_close(x, expected, **EXACT)


def test_decode_is_linear_with_the_columns_of_W_and_b_at_the_origin():
    model, _ = toy(0)
    at_zero, *units = model.decode(torch.cat([torch.zeros(1, 2), torch.eye(2)]).double())
    assert torch.equal(at_zero, model.b)
    torch.testing.assert_close(torch.stack(units).T - model.b[:, None], model.W, **EXACT)


@given(models, seeds)
def test_log_likelihood_is_that_of_torch_distributions_for_any_number_of_samples(case, seed):
    model, x = case
    z = randn(5, len(x), model.latent_dim, g=seeded(seed))  # (K, B, L)
    expected = Normal(model.decode(z), math.sqrt(model.sigma2)).log_prob(x).sum(-1)
    torch.testing.assert_close(model.log_likelihood(x, z), expected, **EXACT)
    torch.testing.assert_close(model.log_likelihood(x, z[0]), expected[0], **EXACT)


# fit


def data(seed: int, *, n: int = 40) -> torch.Tensor:
    """Correlated data of five pixels with a mean, ``(N, 5)``."""
    g = seeded(seed)
    return randn(n, 5, g=g) @ randn(5, 5, g=g) + 3 * randn(5, g=g)


@given(seeds, st.integers(1, 4), st.sampled_from([1e-3, 1e-2, 1e-1, 1.0]))
def test_no_perturbation_of_a_fit_raises_the_likelihood(seed, latents, size):
    x, g = data(seed), seeded(seed + 1)
    model = LinearGaussian.fit(x, latents)
    best = marginal(model).log_prob(x).sum()
    W, b, sigma2 = model.W, model.b, model.sigma2
    dW, db = size * randn(5, latents, g=g), size * randn(5, g=g)
    for other in [
        (W + dW, b, sigma2),
        (W, b + db, sigma2),
        (W, b, sigma2 * (1 + size)),
        (W, b, sigma2 / (1 + size)),
        (W + dW, b + db, sigma2 * (1 + size)),
    ]:
        # At an optimum a step costs about its square; 1e-9 is the rounding of a sum of 1e3.
        assert marginal(LinearGaussian(*other)).log_prob(x).sum() <= best + 1e-9


@given(seeds, st.integers(1, 4))
def test_a_fit_keeps_mean_and_covariance_of_the_data_in_its_plane_and_the_noise_outside(
    seed, latents
):
    x = data(seed)
    model = LinearGaussian.fit(x, latents)
    torch.testing.assert_close(model.b, x.mean(0), **EXACT)
    # The singular values of the centred data, descending: another route than eigenvalues.
    _, singular, directions = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    variances = singular.square() / len(x)
    assert model.sigma2 == pytest.approx(variances[latents:].mean().item(), rel=1e-9)
    variances[latents:] = model.sigma2
    # WWᵀ alone is compared: W itself is one of many, up to a rotation or a sign.
    expected = directions.T @ torch.diag(variances) @ directions
    found = model.W @ model.W.T + model.sigma2 * eye(5)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@given(seeds)
def test_a_fit_has_orthogonal_columns_so_that_its_encoder_is_exact(seed):
    x = data(seed)
    model = LinearGaussian.fit(x, 3)
    gram = model.W.T @ model.W
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), **EXACT)
    gap = model.gap(x, *model.mean_field(x))
    torch.testing.assert_close(gap, torch.zeros_like(gap), rtol=0, atol=1e-9)


@pytest.mark.parametrize("pixels", range(2, 15))
def test_a_fit_survives_data_without_a_preferred_direction(pixels):
    # Both ends of every axis: all eigenvalues are equal, so W is zero up to rounding. Some kept
    # eigenvalues come out a rounding below the mean of the others (for 5, 9, 10 pixels here).
    x = torch.cat([eye(pixels), -eye(pixels)])
    for latents in range(1, pixels):
        model = LinearGaussian.fit(x, latents)
        assert model.sigma2 == pytest.approx(1 / pixels)
        assert model.W.abs().max() < 1e-7


def test_a_fit_takes_the_fewest_samples_that_leave_noise_and_float32():
    assert LinearGaussian.fit(data(0, n=4).float(), 2).W.dtype == torch.float64


# What is refused, and what the message says

SMALL = LinearGaussian(torch.ones(3, 2), torch.ones(3), 1.0)
IMAGES = [torch.ones(2, 3), *(torch.ones(*shape).double() for shape in [(3,), (2, 4), (2, 2, 3)])]
MU, LINE = torch.zeros(2, 2).double(), torch.arange(9.0)[:, None] * torch.tensor([0.3, -1.1, 0.7])
SHAPES = [((3,), (3,)), ((2, 3), (3,)), ((3, 2), (3, 1)), ((3, 0), (3,))]
VARIANCE = r"sigma2 must be positive and finite; found .*\. It is a variance"
WEIGHTS = r"W must have shape \(D, L\) and b shape \(D,\); found .*\. Give W a row"
IMAGE = r"x must have shape \(B, 3\) and type float64; found .*x\.double\(\)"
COUNT = r"latent_dim must be a whole number of at least 1; found .*\. Use a few"
NOISE = r"leave no variance to the noise: expected σ² > 0, .*; found σ² = .*\. Use fewer"
NUMBERS = r"finite numbers of shape \(N, D\); found shape .* others\. Give one image a row"


@pytest.mark.parametrize(
    ("use", "values", "message"),
    [
        (lambda s: LinearGaussian(torch.ones(3, 2), torch.ones(3), s), [0, -1, math.nan], VARIANCE),
        (lambda shapes: LinearGaussian(*map(torch.ones, shapes), 1.0), SHAPES, WEIGHTS),
        (SMALL.log_marginal, IMAGES, IMAGE),
        (SMALL.encode, IMAGES, IMAGE),
        (lambda x: SMALL.elbo(x, MU, eye(2)), IMAGES, IMAGE),
        (lambda x: SMALL.gap(x, MU, eye(2)), IMAGES, IMAGE),
        (lambda latents: LinearGaussian.fit(data(0), latents), [0, True, 2.0], COUNT),
        (lambda latents: LinearGaussian.fit(data(0), latents), [5, 6], NOISE),
        (lambda n: LinearGaussian.fit(data(0, n=n), 2), [1, 2, 3], NOISE),
        (lambda x: LinearGaussian.fit(x, 1), [torch.zeros(9, 3), LINE, LINE + 5], NOISE),
        (lambda x: LinearGaussian.fit(x, 1), [torch.ones(5), LINE * math.nan], NUMBERS),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_found_and_the_repair(use, values, message):
    for value in values:
        with pytest.raises(ValueError, match=message):
            use(value)
