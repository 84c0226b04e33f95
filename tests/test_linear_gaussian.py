"""Claims about the exact model: each closed form against one computed in another way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions
from torch.distributions import MultivariateNormal, Normal

from vae_helpers import objectives
from vae_helpers.linear_gaussian import LinearGaussian

# float64 keeps 16 digits. The terms here reach 1e4 and the condition numbers 1e3, so that two
# ways to compute one number agree to about 1e-11 of the largest term.
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def generator(seed: int) -> torch.Generator:
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
    g = generator(seed)
    model = LinearGaussian(randn(pixels, latents, g=g), randn(pixels, g=g), sigma2)
    return model, 2 * randn(batch, pixels, g=g)


def orthogonal_toy(seed: int, *, batch: int = 3):
    """The same with orthogonal columns of W, where a diagonal q can be the posterior."""
    model, x = toy(seed, pixels=5, latents=3, batch=batch)
    columns = torch.linalg.qr(model.W).Q * torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
    return LinearGaussian(columns, model.b, model.sigma2), x


def grid(model: LinearGaussian, *, points: int, half_width: float) -> tuple[torch.Tensor, float]:
    """The points of a regular grid over z, ``(points^L, L)``, and the volume of one cell."""
    axis = torch.linspace(-half_width, half_width, points, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * model.latent_dim).reshape(-1, model.latent_dim)
    return z, (2 * half_width / (points - 1)) ** model.latent_dim


def log_joint(model: LinearGaussian, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """log p(x, z) for every pair of an image and a z, ``(B, number of z)``, by its definition."""
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    x_mean = z @ model.W.T + model.b
    return prior + Normal(x_mean, math.sqrt(model.sigma2)).log_prob(x[:, None]).sum(-1)


def joint_moments(model: LinearGaussian) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of (z, x), from which the posterior follows by conditioning."""
    D, L = model.W.shape
    mean = torch.cat([torch.zeros(L, dtype=torch.float64), model.b])
    mixing = torch.zeros(L + D, L + D, dtype=torch.float64)  # (z, x) = mixing (z, ε) + mean
    mixing[:L, :L], mixing[L:, :L] = eye(L), model.W
    mixing[L:, L:] = math.sqrt(model.sigma2) * eye(D)
    return mean, mixing @ mixing.T


models = st.builds(
    toy,
    st.integers(0, 10_000),
    pixels=st.integers(1, 6),
    latents=st.integers(1, 4),
    batch=st.integers(1, 4),
    sigma2=st.floats(0.01, 10),
)
seeds = st.integers(0, 10_000)
# Grids out to ±9 about a posterior no wider than the prior: outside is less than 1e-15 of the
# mass. For analytic integrands the error falls as exp(−2π²s²/h²); s is the posterior's smallest
# standard deviation and h the spacing, and s > 2h below.
GRIDS = [(1, 4001), (2, 401)]


# log_marginal


@given(models)
def test_log_marginal_is_that_of_torch_distributions(case):
    model, x = case
    covariance = model.W @ model.W.T + model.sigma2 * eye(model.pixels)
    expected = MultivariateNormal(model.b, covariance).log_prob(x)
    # σ² down to 0.01 lets terms and condition numbers reach 1e4: twelve digits are left.
    torch.testing.assert_close(model.log_marginal(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("latents", "points"), GRIDS)
def test_log_marginal_is_the_integral_of_the_joint_over_a_grid(latents, points):
    model, x = toy(1, latents=latents)
    z, cell = grid(model, points=points, half_width=9)
    integral = log_joint(model, x, z).logsumexp(-1) + math.log(cell)
    torch.testing.assert_close(model.log_marginal(x), integral, **EXACT)


def test_log_marginal_of_one_pixel_and_one_latent_by_hand():
    model = LinearGaussian(torch.tensor([[2.0]]), torch.tensor([1.0]), 0.5)  # x ~ N(1, 4.5)
    expected = -0.5 * (2**2 / 4.5 + math.log(2 * math.pi * 4.5))
    found = model.log_marginal(torch.tensor([[3.0]], dtype=torch.float64))
    assert found.tolist() == pytest.approx([expected], abs=1e-14)


def test_log_marginal_takes_images_as_large_as_those_of_the_book():
    g = generator(0)
    model, x = LinearGaussian(randn(784, 4, g=g), randn(784, g=g), 0.5), randn(2, 784, g=g)
    covariance = model.W @ model.W.T + 0.5 * eye(784)
    expected = MultivariateNormal(model.b, covariance).log_prob(x)
    torch.testing.assert_close(model.log_marginal(x), expected, **EXACT)


def test_log_marginal_is_one_value_an_image_that_no_other_image_changes():
    model, x = toy(0, batch=5)
    alone = [model.log_marginal(row[None]) for row in x]
    assert model.log_marginal(x).shape == (5,)
    torch.testing.assert_close(model.log_marginal(x), torch.cat(alone), **EXACT)


# posterior


@given(models)
def test_posterior_is_the_joint_gaussian_conditioned_on_the_image(case):
    model, x = case
    L = model.latent_dim
    mean, joint = joint_moments(model)
    gain = torch.linalg.solve(joint[L:, L:], joint[L:, :L]).T  # (L, D)
    found_mean, found_covariance = model.posterior(x)
    torch.testing.assert_close(found_mean, (x - mean[L:]) @ gain.T, **EXACT)
    expected = joint[:L, :L] - gain @ joint[L:, :L]
    torch.testing.assert_close(found_covariance, expected, **EXACT)


@given(models, seeds)
def test_posterior_is_the_joint_over_the_marginal_at_every_z(case, seed):
    model, x = case
    mean, covariance = model.posterior(x)
    z = randn(5, model.latent_dim, g=generator(seed))
    posterior = MultivariateNormal(mean[:, None], covariance).log_prob(z)  # (B, 5)
    by_bayes = log_joint(model, x, z) - model.log_marginal(x)[:, None]
    # The joint reaches 1e5 nats at σ² = 0.01, and a difference keeps its absolute error.
    torch.testing.assert_close(posterior, by_bayes, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(("latents", "points"), GRIDS)
def test_posterior_has_the_moments_that_a_grid_gives(latents, points):
    model, x = toy(2, latents=latents, batch=1)
    z, _ = grid(model, points=points, half_width=9)
    weight = log_joint(model, x, z).softmax(-1)[0]  # (number of z,)
    mean, covariance = model.posterior(x)
    torch.testing.assert_close(mean[0], weight @ z, **EXACT)
    spread = (z - weight @ z).T @ (weight[:, None] * (z - weight @ z))
    torch.testing.assert_close(covariance, spread, **EXACT)


# elbo and gap


def elbo_by_distributions(model, x, mu, cov):
    """E_q[log p(x|z)] − KL: the first term of torch's moments, the KL of torch's formula."""
    q = MultivariateNormal(mu, cov)
    prior = MultivariateNormal(torch.zeros(model.latent_dim, dtype=torch.float64), eye(len(cov.mT)))
    kl = distributions.kl_divergence(q, prior)
    # Pixel d of Wz + b is N(w_d·μ + b_d, w_dᵀSw_d) under q.
    pixel_mean = torch.einsum("dl,bl->bd", model.W, mu) + model.b
    pixel_variance = torch.einsum("dk,...kl,dl->...d", model.W, cov, model.W)
    squared_error = (x - pixel_mean) ** 2 + pixel_variance  # (B, D), its expectation
    log_p = -squared_error / (2 * model.sigma2) - 0.5 * math.log(2 * math.pi * model.sigma2)
    return log_p.sum(-1) - kl


@given(seeds, st.integers(1, 4), st.integers(1, 6), st.floats(0.01, 10))
def test_elbo_is_its_definition_for_full_batched_and_diagonal_q(seed, latents, pixels, sigma2):
    model, x = toy(seed, latents=latents, pixels=pixels, sigma2=sigma2)
    g = generator(seed + 1)
    mu, diagonal = randn(3, latents, g=g), 0.05 + torch.rand(latents, generator=g).double()
    full, batched = covariances(latents, latents, g=g), covariances(3, latents, latents, g=g)
    for cov, matrices in [
        (full, full.expand(3, -1, -1)),
        (batched, batched),
        (diagonal, torch.diag(diagonal).expand(3, -1, -1)),
    ]:
        found = model.elbo(x, mu, cov)
        assert found.shape == (3,)
        expected = torch.cat(
            [
                elbo_by_distributions(model, x[[i]], mu[[i]], matrices[i]).reshape(1)
                for i in range(3)
            ]
        )
        # At σ² = 0.01 the terms reach 1e5, of which fifteen digits are right.
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-9)


def test_elbo_is_the_expectation_that_a_grid_gives():
    model, x = toy(3, latents=2, batch=1)
    mu, cov = randn(1, 2, g=generator(4)), covariances(2, 2, g=generator(5))
    z, cell = grid(model, points=601, half_width=12)
    log_q = MultivariateNormal(mu[0], cov).log_prob(z)
    integral = (log_q.exp() * (log_joint(model, x, z)[0] - log_q)).sum() * cell
    torch.testing.assert_close(model.elbo(x, mu, cov)[0], integral, **EXACT)


@given(models, seeds)
def test_elbo_plus_gap_is_log_marginal_for_every_q(case, seed):
    model, x = case
    B, L = len(x), model.latent_dim
    g = generator(seed)
    mu, shared, each = randn(B, L, g=g), covariances(L, L, g=g), covariances(B, L, L, g=g)
    for cov in (shared, each, shared.diagonal()):
        elbo, gap, exact = model.elbo(x, mu, cov), model.gap(x, mu, cov), model.log_marginal(x)
        torch.testing.assert_close(elbo + gap, exact, **EXACT)


@given(models, seeds)
def test_gap_is_the_kl_of_torch_distributions_to_the_posterior(case, seed):
    model, x = case
    g = generator(seed)
    mu, cov = randn(len(x), model.latent_dim, g=g), covariances(*[model.latent_dim] * 2, g=g)
    expected = distributions.kl_divergence(
        MultivariateNormal(mu, cov), MultivariateNormal(*model.posterior(x))
    )
    torch.testing.assert_close(model.gap(x, mu, cov), expected, rtol=1e-9, atol=1e-9)


@given(models, seeds)
def test_gap_is_never_negative_and_positive_off_the_posterior(case, seed):
    model, x = case
    g = generator(seed)
    mu, cov = randn(len(x), model.latent_dim, g=g), covariances(*[model.latent_dim] * 2, g=g)
    # Random q are no posterior to ten digits, and only there could rounding reach zero.
    assert (model.gap(x, mu, cov) > 0).all()


@given(models)
def test_gap_is_zero_at_the_posterior_and_elbo_is_log_marginal(case):
    model, x = case
    mean, covariance = model.posterior(x)
    gap = model.gap(x, mean, covariance)
    # Zero to the rounding of tr(C⁻¹C) with condition numbers up to 1e3.
    torch.testing.assert_close(gap, torch.zeros(len(x), dtype=torch.float64), rtol=0, atol=1e-11)
    torch.testing.assert_close(
        model.elbo(x, mean, covariance), model.log_marginal(x), rtol=1e-10, atol=1e-9
    )


# mean_field and the optimal encoder


@given(models)
def test_mean_field_has_the_posterior_mean_and_one_over_the_diagonal_of_its_precision(case):
    model, x = case
    mean, variances = model.mean_field(x)
    posterior_mean, covariance = model.posterior(x)
    torch.testing.assert_close(mean, posterior_mean, **EXACT)
    precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    torch.testing.assert_close(variances, 1 / precision.diagonal(), **EXACT)
    assert variances.shape == (model.latent_dim,)
    assert (variances <= covariance.diagonal() * (1 + 1e-12)).all()  # up to rounding


@given(models, st.floats(0.02, 3), st.booleans())
def test_no_other_diagonal_q_has_a_higher_elbo_than_mean_field(case, step, up):
    model, x = case
    mean, variances = model.mean_field(x)
    best = model.elbo(x, mean, variances)
    step = step if up else -step
    for latent in range(model.latent_dim):
        one = torch.zeros(model.latent_dim, dtype=torch.float64)
        one[latent] = step
        # Steps of 0.02 in ln s or in μ/s cost at least 1e-4 nats, far above the rounding.
        assert (model.elbo(x, mean, variances * one.exp()) < best).all()
        assert (model.elbo(x, mean + one * variances.sqrt(), variances) < best).all()


@given(models)
def test_the_gradient_of_the_elbo_vanishes_at_mean_field(case):
    model, x = case
    mean, variances = model.mean_field(x)
    mean, logvar = mean.requires_grad_(), variances.log().requires_grad_()
    model.elbo(x, mean, logvar.exp()).sum().backward()
    # Terms as large as ‖x‖ ‖W‖ / σ², up to 1e4, cancel to twelve digits.
    for grad in (mean.grad, logvar.grad):
        torch.testing.assert_close(grad, torch.zeros_like(grad), rtol=0, atol=1e-8)


@given(models)
def test_mean_field_costs_nothing_or_more_by_what_the_determinants_say(case):
    model, x = case
    gap = model.gap(x, *model.mean_field(x))
    _, covariance = model.posterior(x)
    # At the optimum the KL is ½ (Σ log Λ_ll − log det Λ): Hadamard's inequality.
    precision = torch.linalg.inv(covariance)
    expected = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    torch.testing.assert_close(gap, expected.expand(len(x)), **EXACT)
    assert (gap >= -1e-11).all()  # up to rounding


def test_mean_field_costs_much_where_the_columns_of_W_are_nearly_parallel():
    W = torch.tensor([[1.0, 1.0], [1.0, 0.9], [0.9, 1.0]])
    model = LinearGaussian(W, torch.zeros(3), 0.01)
    assert (
        model.gap(torch.ones(2, 3).double(), *model.mean_field(torch.ones(2, 3).double())).min() > 1
    )


@given(seeds)
def test_mean_field_costs_nothing_where_the_columns_of_W_are_orthogonal(seed):
    model, x = orthogonal_toy(seed)
    mean, variances = model.mean_field(x)
    torch.testing.assert_close(torch.diag(variances), model.posterior(x)[1], **EXACT)
    torch.testing.assert_close(model.elbo(x, mean, variances), model.log_marginal(x), **EXACT)


@given(models)
def test_encode_gives_mean_field_as_mu_and_logvar_of_every_image(case):
    model, x = case
    mu, logvar = model.encode(x)
    mean, variances = model.mean_field(x)
    assert mu.shape == logvar.shape == (len(x), model.latent_dim)
    assert torch.equal(mu, mean)
    torch.testing.assert_close(logvar.exp(), variances.expand_as(mu), **EXACT)


def sampled_elbo(model, x, *, samples: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard error of objectives.elbo for every image, each ``(B,)``."""
    repeated = x.repeat(samples, 1)
    parts = objectives.elbo(model, repeated, generator=generator(0)).elbo.reshape(samples, len(x))
    return parts.mean(0), parts.std(0) / math.sqrt(samples)


@pytest.mark.parametrize("seed", range(5))
def test_the_elbo_of_objectives_on_this_model_agrees_with_the_exact_one(seed):
    model, x = toy(seed, pixels=5, latents=3)
    mean, error = sampled_elbo(model, x)
    # Four standard errors: fifteen images miss them by chance once in a thousand choices of
    # seeds, and the seeds are fixed.
    assert ((mean - model.elbo(x, *model.mean_field(x))).abs() < 4 * error).all()


@pytest.mark.parametrize("seed", range(5))
def test_with_orthogonal_columns_the_elbo_of_objectives_is_log_marginal_in_expectation(seed):
    model, x = orthogonal_toy(seed)
    mean, error = sampled_elbo(model, x)
    assert ((mean - model.log_marginal(x)).abs() < 4 * error).all()  # as above


@pytest.mark.parametrize("k", [1, 2, 10, 100, 1000])
def test_the_importance_weighted_bound_of_objectives_agrees_with_log_marginal(k):
    model, x = toy(0, pixels=5, latents=3, sigma2=4.0)
    precision = model.posterior(x)[1].inverse()
    tails = torch.linalg.eigvalsh(2 * precision - precision.diagonal().diag())
    assert (tails > 0).all()  # else the weights have no variance, and no error bar holds
    repeated = x.repeat(400, 1)
    bound = objectives.importance_weighted_bound(model, repeated, k=k, generator=generator(0))
    # The mean weight is p(x) without bias, for every K.
    ratio = (bound.reshape(400, len(x)) - model.log_marginal(x)).exp()
    error = ratio.std(0) / math.sqrt(400)
    assert ((ratio.mean(0) - 1).abs() < 4 * error).all()


@pytest.mark.parametrize("k", [1, 3, 50])
def test_with_orthogonal_columns_every_importance_weight_is_the_marginal_likelihood(k):
    model, x = orthogonal_toy(1)
    bound = objectives.importance_weighted_bound(model, x, k=k)
    torch.testing.assert_close(bound, model.log_marginal(x), **EXACT)


# sample, decode and reparameterize


def test_samples_have_the_moments_of_the_joint():
    model, _ = toy(6, pixels=3, latents=2)
    n = 200_000
    x, z = model.sample(n, generator=generator(7))
    mean, covariance = joint_moments(model)
    found = torch.cat([z, x], 1)
    # Standard errors of a mean √(C_ii / n), of a covariance √((C_ii C_jj + C_ij²) / n); five
    # numbers and fifteen are within 4.5 of them but for one choice of seeds in 7,000.
    variances = covariance.diagonal()
    assert ((found.mean(0) - mean).abs() < 4.5 * (variances / n).sqrt()).all()
    error = ((variances[:, None] * variances + covariance.square()) / n).sqrt()
    assert ((found.T.cov() - covariance).abs() < 4.5 * error).all()


def test_samples_are_the_decoded_z_and_noise_scaled_by_the_standard_deviation():
    model, _ = toy(6)
    x, z = model.sample(5, generator=generator(1))
    g = generator(1)
    assert torch.equal(z, randn(5, 2, g=g))  # the ancestor first
    noise = randn(5, 4, g=g)
    expected = z @ model.W.T + model.b + model.sigma2**0.5 * noise
    torch.testing.assert_close(x, expected, **EXACT)


def test_samples_score_on_average_minus_the_entropy_of_the_model():
    model, _ = toy(6)
    n = 50_000
    x, _ = model.sample(n, generator=generator(8))
    covariance = model.W @ model.W.T + model.sigma2 * eye(model.pixels)
    # log p(x) = −entropy + (D − χ²_D) / 2, with the standard deviation √(D / 2).
    error = math.sqrt(model.pixels / 2 / n)
    entropy = MultivariateNormal(model.b, covariance).entropy()
    assert abs(model.log_marginal(x).mean() + entropy) < 4 * error


@given(models, st.integers(1, 5))
def test_every_method_gives_the_shapes_that_its_docstring_says(case, n):
    model, image = case
    D, L, B = model.pixels, model.latent_dim, len(image)
    assert model.W.shape == (D, L)
    x, z = model.sample(n)
    assert (x.shape, z.shape) == ((n, D), (n, L))
    mean, covariance = model.posterior(image)
    assert (mean.shape, covariance.shape) == ((B, L), (L, L))
    mu, logvar = model.encode(image)
    z = model.reparameterize(mu, logvar)
    assert (z.shape, model.decode(z).shape) == ((B, L), (B, D))
    assert {t.dtype for t in (x, z, mean, mu, logvar, model.decode(z))} == {torch.float64}


def test_decode_is_linear_with_the_columns_of_W_and_b_at_the_origin():
    model, _ = toy(0)
    at_zero, *units = model.decode(torch.cat([torch.zeros(1, 2), torch.eye(2)]).double())
    assert torch.equal(at_zero, model.b)
    torch.testing.assert_close(torch.stack(units).T - model.b[:, None], model.W, **EXACT)


def test_an_axis_of_samples_may_lead_in_what_is_decoded_and_reparameterized():
    model, x = toy(0)
    mu, logvar = (t.expand(5, 3, 2) for t in model.encode(x))  # (K, B, L)
    z = model.reparameterize(mu, logvar, generator=generator(0))
    assert len(z.unique()) == 30
    expected = torch.stack([model.decode(one) for one in z])
    assert expected.shape == (5, 3, 4)
    torch.testing.assert_close(model.decode(z), expected, **EXACT)


def test_reparameterize_scales_the_noise_by_the_standard_deviation_and_shifts_it():
    model, _ = toy(0)
    mu, logvar = torch.tensor([[1.0, -3.0]]).double(), torch.tensor([[4.0, 1.0]]).double().log()
    noise = randn(1, 2, g=generator(1))
    z = model.reparameterize(mu, logvar, generator=generator(1))
    scale = torch.tensor([[2.0, 1.0]]).double()
    torch.testing.assert_close(z, mu + scale * noise, **EXACT)


def test_noise_is_standard_normal_and_new_for_every_image_latent_and_call():
    model, _ = toy(0)
    zeros, g = torch.zeros(50_000, 2).double(), generator(2)
    noise = torch.cat([model.reparameterize(zeros, zeros, generator=g) for _ in range(2)], 1)
    assert len(noise.unique()) == 200_000
    # The standard error of each moment is at most √2 / √50,000 = 0.0063.
    torch.testing.assert_close(noise.T.cov(), eye(4), rtol=0, atol=0.028)
    assert noise.mean(0).abs().max() < 0.02


def test_sampling_repeats_under_a_seed_and_leaves_the_global_generator_alone():
    model, x = toy(0)
    state = torch.get_rng_state()
    for draw in (
        lambda g: torch.cat(model.sample(4, generator=g), 1),
        lambda g: model.reparameterize(*model.encode(x), generator=g),
    ):
        first, again, other = draw(generator(3)), draw(generator(3)), draw(generator(4))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_source_of_noise_is_given_by_name():
    model, x = toy(0)
    with pytest.raises(TypeError, match="positional"):
        model.sample(3, generator(0))
    with pytest.raises(TypeError, match="positional"):
        model.reparameterize(*model.encode(x), generator(0))


# fit


def total(model: LinearGaussian, x: torch.Tensor) -> float:
    """The data's log-likelihood by torch.distributions, from nothing but W, b and sigma2."""
    covariance = model.W @ model.W.T + model.sigma2 * eye(len(model.b))
    return MultivariateNormal(model.b, covariance).log_prob(x).sum().item()


def data(seed: int, *, pixels: int = 5, n: int = 40) -> torch.Tensor:
    """Correlated data with a mean, ``(N, D)``."""
    g = generator(seed)
    return randn(n, pixels, g=g) @ randn(pixels, pixels, g=g) + 3 * randn(pixels, g=g)


@given(seeds, st.integers(1, 4), st.sampled_from([1e-3, 1e-2, 1e-1, 1.0]))
def test_no_perturbation_of_a_fit_raises_the_likelihood(seed, latents, size):
    x, g = data(seed), generator(seed + 1)
    model = LinearGaussian.fit(x, latents)
    best = total(model, x)
    dW, db = randn(5, latents, g=g), randn(5, g=g)
    for W, b, sigma2 in [
        (model.W + size * dW, model.b, model.sigma2),
        (model.W, model.b + size * db, model.sigma2),
        (model.W, model.b, model.sigma2 * (1 + size)),
        (model.W, model.b, model.sigma2 / (1 + size)),
        (model.W + size * dW, model.b + size * db, model.sigma2 * (1 + size)),
    ]:
        # At an optimum a step costs about its square; 1e-9 is the rounding of a sum of 1e3.
        assert total(LinearGaussian(W, b, sigma2), x) <= best + 1e-9


def test_a_fit_is_a_stationary_point_of_the_likelihood():
    x = data(0)
    fit = LinearGaussian.fit(x, 2)
    W, b = fit.W.clone().requires_grad_(), fit.b.clone().requires_grad_()
    sigma2 = torch.tensor(fit.sigma2, dtype=torch.float64, requires_grad=True)
    MultivariateNormal(b, W @ W.T + sigma2 * eye(5)).log_prob(x).sum().backward()
    for gradient in (W.grad, b.grad, sigma2.grad):
        # Forty terms of at most 1e3 each cancel.
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-8)


@given(seeds, st.integers(1, 4))
def test_a_fit_has_the_mean_of_the_data_and_of_the_discarded_eigenvalues(seed, latents):
    x = data(seed)
    model = LinearGaussian.fit(x, latents)
    torch.testing.assert_close(model.b, x.mean(0), **EXACT)
    # The singular values of the centred data, descending: another route than eigenvalues.
    variances = torch.linalg.svdvals(x - x.mean(0)).square() / len(x)
    assert model.sigma2 == pytest.approx(variances[latents:].mean().item(), rel=1e-9)


@given(seeds, st.integers(1, 4))
def test_a_fit_keeps_the_covariance_of_the_data_in_its_plane_and_the_noise_outside(seed, latents):
    x = data(seed)
    model = LinearGaussian.fit(x, latents)
    _, singular, directions = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    variances = singular.square() / len(x)
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


@given(seeds)
def test_a_rotation_of_W_changes_neither_WWT_nor_the_likelihood(seed):
    x = data(seed)
    model = LinearGaussian.fit(x, 3)
    rotation = torch.linalg.qr(randn(3, 3, g=generator(seed + 1))).Q
    for turn in (rotation, torch.diag(torch.tensor([-1.0, 1.0, -1.0])).double()):
        turned = LinearGaussian(model.W @ turn, model.b, model.sigma2)
        torch.testing.assert_close(turned.W @ turned.W.T, model.W @ model.W.T, **EXACT)
        torch.testing.assert_close(turned.log_marginal(x), model.log_marginal(x), **EXACT)


def test_a_fit_recovers_the_model_that_made_the_data():
    truth, _ = toy(9, pixels=6, latents=2)
    n = 100_000
    x, _ = truth.sample(n, generator=generator(10))
    model = LinearGaussian.fit(x, 2)
    C = truth.W @ truth.W.T + truth.sigma2 * eye(6)
    variances = C.diagonal()
    # Errors as for samples above; the plane that fit picks adds nothing in first order. σ² is
    # the mean of n (D − L) squares.
    assert ((model.b - truth.b).abs() < 4.5 * (variances / n).sqrt()).all()
    error = ((variances[:, None] * variances + C.square()) / n).sqrt()
    assert ((model.W @ model.W.T - truth.W @ truth.W.T).abs() < 4.5 * error).all()
    assert abs(model.sigma2 / truth.sigma2 - 1) < 4 * math.sqrt(2 / (n * 4))


def test_a_fit_takes_the_fewest_samples_that_leave_noise_and_float32():
    x = data(0, n=4).float()
    assert LinearGaussian.fit(x, 2).W.dtype == torch.float64
    with pytest.raises(ValueError, match="more than"):
        LinearGaussian.fit(x, 3)


@pytest.mark.parametrize("pixels", range(2, 15))
def test_a_fit_survives_data_without_a_preferred_direction(pixels):
    # Both ends of every axis: all eigenvalues are equal, so W is zero up to rounding. Some kept
    # eigenvalues come out a rounding below the mean of the others (for 5, 9, 10 pixels here).
    x = torch.cat([eye(pixels), -eye(pixels)])
    for latents in range(1, pixels):
        model = LinearGaussian.fit(x, latents)
        assert model.sigma2 == pytest.approx(1 / pixels)
        assert model.W.abs().max() < 1e-7


# What is refused, and what the message says


def refused(expected: str, found: str, repair: str):
    return pytest.raises(ValueError, match=rf"(?s){expected}.*found .*{found}.*\. {repair}")


# float("inf") is equal to math.inf, but another object.
@pytest.mark.parametrize("sigma2", [0, -0.5, math.nan, math.inf, float("inf"), -math.inf])
def test_a_variance_that_is_not_positive_and_finite_is_refused(sigma2):
    with refused("sigma2 .*must be positive and finite", str(sigma2), "A model without noise"):
        LinearGaussian(torch.ones(3, 2), torch.ones(3), sigma2)


@pytest.mark.parametrize(
    ("W", "b"),
    [
        ((3,), (3,)),
        ((2, 3, 2), (2,)),
        ((2, 3), (3,)),
        ((3, 2), (2,)),
        ((3, 2), (3, 1)),
        ((3, 0), (3,)),
    ],
)
def test_weights_and_offsets_that_do_not_fit_are_refused(W, b):
    found = f"{tuple(W)} and {tuple(b)}".replace("(", r"\(").replace(")", r"\)")
    with refused(r"shape \(D, L\) and b shape \(D,\)", found, "Give W a row"):
        LinearGaussian(torch.ones(W), torch.ones(b), 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_and_offsets_that_are_not_finite_are_refused(value):
    for W, b in [(torch.tensor([[1.0], [value]]), torch.ones(2)), (torch.ones(2, 1), [value, 1])]:
        with refused("W and b must be finite", "NaN or infinity", "Look where"):
            LinearGaussian(W, torch.as_tensor(b), 1.0)


@pytest.mark.parametrize(
    "x",
    [
        torch.ones(2, 4),
        torch.ones(2, 3, dtype=torch.float64),
        torch.ones(2, 5, dtype=torch.float64),
        torch.ones(4, dtype=torch.float64),
        torch.ones(2, 2, 4, dtype=torch.float64),
        torch.ones(2, 4, 4, dtype=torch.float64),
        torch.ones(2, 4, dtype=torch.int64),
    ],
)
def test_images_of_another_shape_or_type_are_refused_everywhere(x):
    model, _ = toy(0)
    mu, cov = torch.zeros(2, 2).double(), eye(2)
    for use in (
        model.log_marginal,
        model.posterior,
        model.mean_field,
        model.encode,
        lambda x: model.elbo(x, mu, cov),
        lambda x: model.gap(x, mu, cov),
        lambda x: objectives.elbo(model, x),
    ):
        found = rf"\({x.shape[0]}.*\), {x.dtype}"
        with refused(r"x must have shape \(B, 4\) and type float64", found, "Convert it"):
            use(x)


@pytest.mark.parametrize(
    "mu",
    [
        torch.zeros(3, 2),
        torch.zeros(3, 3, dtype=torch.float64),
        torch.zeros(3, 1, dtype=torch.float64),
        torch.zeros(1, 2, dtype=torch.float64),
        torch.zeros(2, dtype=torch.float64),
    ],
)
def test_means_of_another_shape_or_type_are_refused(mu):
    model, x = toy(0)
    for use in (model.elbo, model.gap):
        found = rf"\({mu.shape[0]}.*\), {mu.dtype}"
        with refused(r"mu must have shape \(B, L\) = \(3, 2\) and type", found, "Convert it"):
            use(x, mu, eye(2))


SKEW = [[1.0, 0.1], [0.2, 1.0]]


@pytest.mark.parametrize(
    ("cov", "message"),
    [
        (eye(3), ("must have shape", r"\(3, 3\), torch.float64", "Convert it")),
        (torch.ones(3).double(), ("must have shape", r"\(3,\), torch.float64", "Convert it")),
        (torch.ones(3, 2).double(), ("must have shape", r"\(3, 2\), torch", "Convert it")),
        (torch.ones(()).double(), ("must have shape", r"\(\), torch.float64", "Convert it")),
        (eye(2).expand(2, 2, 2), ("must have shape", r"\(2, 2, 2\), torch", "Convert it")),
        (eye(2).expand(1, 3, 2, 2), ("must have shape", r"\(1, 3, 2, 2\)", "Convert it")),
        (torch.eye(2), ("type float64", r"\(2, 2\), torch.float32", "Convert it with cov.double")),
        (eye(2) * math.nan, ("must be finite", "NaN or infinity", "Look where")),
        (torch.tensor([1, math.inf]).double(), ("must be finite", "NaN", "Look where")),
        (torch.tensor(SKEW).double(), ("must be symmetric", r"by 1\.0e-01", r"Use \(S")),
        (torch.zeros(2, 2).double(), ("positive definite", r"from 0\.0e\+00", "Give every")),
        (torch.ones(2, 2).double(), ("positive definite", r"to 2\.0e\+00", "Give every")),
        (-eye(2), ("positive definite", r"from -1\.0e\+00 to -1\.0e\+00", "Give every")),
        (torch.tensor([1.0, 0.0]).double(), ("positive definite", r"from 0\.0", "Give every")),
        (torch.tensor([1.0, -1.0]).double(), ("positive definite", "from -1", "Give every")),
        (torch.stack([eye(2), eye(2), -eye(2)]), ("positive definite", "from -1", "Give every")),
    ],
)
def test_what_is_no_covariance_is_refused(cov, message):
    model, x = toy(0)
    for use in (model.elbo, model.gap):
        with refused("covariance .*" + message[0], *message[1:]):
            use(x, torch.zeros(3, 2).double(), cov)


@given(seeds, st.integers(2, 4))
def test_a_singular_covariance_is_refused_where_rounding_hides_it(seed, latents):
    model, x = toy(seed, latents=latents)
    root = randn(latents, latents - 1, g=generator(seed + 1))
    with refused("covariance must be positive definite", "to", "Give every"):
        model.elbo(x, torch.zeros(3, latents).double(), root @ root.T)


def test_a_covariance_that_is_symmetric_up_to_rounding_is_one():
    model, x = toy(0)
    cov = eye(2)
    cov[0, 1] = 1e-13
    assert model.gap(x, torch.zeros(3, 2).double(), cov).isfinite().all()


def test_a_covariance_of_very_different_variances_is_one():
    model, x = toy(0)
    variances = torch.tensor([1e-12, 1.0]).double()
    assert model.elbo(x, torch.zeros(3, 2).double(), variances).isfinite().all()


@pytest.mark.parametrize("z", [torch.zeros(3, 2), torch.zeros(3, 3).double(), eye(1)[0, 0]])
def test_latent_points_of_another_shape_or_type_are_refused(z):
    model, _ = toy(0)
    with refused(r"z must have shape \(B, 2\) and type float64", str(z.dtype), "Convert it"):
        model.decode(z)


@pytest.mark.parametrize("latents", [0, -1, 5, 6, True, 2.0, None, "2"])
def test_a_fit_refuses_a_number_of_latents_that_leaves_no_noise_or_is_none(latents):
    with refused(
        "latent_dim must be a whole number from 1 to D − 1 = 4", str(latents), "Use fewer"
    ):
        LinearGaussian.fit(data(0), latents)


@pytest.mark.parametrize(("latents", "n"), [(2, 1), (2, 2), (2, 3), (1, 2), (3, 4)])
def test_a_fit_refuses_too_few_samples(latents, n):
    with refused(rf"more than L \+ 1 = {latents + 1} samples", f"{n}", "Fewer lie .* add some"):
        LinearGaussian.fit(data(0, n=n), latents)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(9, 3),
        torch.full((9, 3), 0.1),
        torch.arange(9.0)[:, None] * torch.tensor([0.3, -1.1, 0.7]) + 5,
    ],
)
def test_a_fit_refuses_data_that_leave_no_variance_to_the_noise(x):
    with refused("leave no variance to the noise: expected σ² > 0", "e", "Use fewer"):
        LinearGaussian.fit(x.double(), 1)


@pytest.mark.parametrize(
    ("x", "found"),
    [
        (torch.ones(5), r"shape \(5,\) with 0"),
        (torch.ones(5, 2, 2), r"shape \(5, 2, 2\) with 0"),
        (torch.tensor([[1.0, math.nan]] * 5), r"shape \(5, 2\) with 5"),
        (torch.tensor([[1.0, 2.0], [-math.inf, math.inf]]), r"shape \(2, 2\) with 2"),
    ],
)
def test_a_fit_refuses_what_is_no_finite_matrix(x, found):
    with refused(r"x must have shape \(N, D\) and finite values", found, "Give one image a row"):
        LinearGaussian.fit(x, 1)
