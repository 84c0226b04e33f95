"""Claims about the mathematics: each formula against torch.distributions or a closed form."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import distributions
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal

from vae_helpers import objectives
from vae_helpers.evaluation import mean_and_error
from vae_helpers.networks import VAE
from vae_helpers.objectives import (
    bernoulli_log_likelihood,
    elbo,
    elbo_terms,
    gaussian_log_likelihood,
    importance_weighted_bound,
    kl_to_prior,
    reparameterize,
)

# float64 keeps 16 digits. The sums here have at most a few dozen terms, of size up to e^6 or
# 1e4, so that two orders of summation differ by far less than 1e-10 of the value.
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def doubles(values: list) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def tensors(low: float, high: float):
    """Two float64 tensors (B, n) of one shape, B from 1 to 4 and n from 1 to 6."""
    shape = st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 6))
    return arrays(float, shape, elements=st.floats(low, high)).map(torch.from_numpy)


posteriors = tensors(-6, 6)  # mu and logvar; σ from 0.05 to 20
seeds = st.integers(0, 10_000)


# kl_to_prior


@given(posteriors)
def test_kl_is_that_of_torch_distributions(posterior):
    mu, logvar = posterior
    q = Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    expected = distributions.kl_divergence(q, prior)  # (B,)
    torch.testing.assert_close(kl_to_prior(mu, logvar), expected, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-8, 1e-5, 1e-3])
def test_kl_is_not_negative_where_rounding_is_as_large_as_the_divergence(dtype, size):
    logvar = torch.linspace(-size, size, 101, dtype=dtype)[:, None]
    assert (kl_to_prior(torch.zeros_like(logvar), logvar) >= 0).all()


# The log-likelihoods


@given(tensors(0, 1), st.floats(1e-3, 1e3))
def test_gaussian_is_that_of_torch_distributions(pair, sigma2):
    x, x_mean = pair
    expected = Independent(Normal(x_mean, math.sqrt(sigma2)), 1).log_prob(x)
    found = gaussian_log_likelihood(x, x_mean, sigma2=sigma2)
    torch.testing.assert_close(found, expected, **EXACT)


@given(tensors(0, 1))
def test_gaussian_is_minus_sse_and_a_constant_by_default(pair):
    x, x_mean = pair
    expected = -((x - x_mean) ** 2).sum(1) - x.shape[1] / 2 * math.log(math.pi)
    torch.testing.assert_close(gaussian_log_likelihood(x, x_mean), expected, **EXACT)


@given(tensors(-30, 30))
def test_bernoulli_is_that_of_torch_distributions(pair):
    x, logits = (pair[0] > 0).double(), pair[1]
    expected = Independent(Bernoulli(logits=logits), 1).log_prob(x)
    torch.testing.assert_close(bernoulli_log_likelihood(x, logits), expected, **EXACT)


def test_bernoulli_stays_finite_for_logits_that_saturate_the_sigmoid():
    x, logits = torch.tensor([[0.0, 1.0]]), torch.tensor([[200.0, -200.0]])
    # log(1 − sigmoid(200)) = −200 − log(1 + e^−200), and the second term is below float32.
    assert bernoulli_log_likelihood(x, logits).tolist() == [-400.0]


FUNCTIONS = [kl_to_prior, gaussian_log_likelihood, bernoulli_log_likelihood]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_the_last_axis_is_summed_so_that_an_axis_of_samples_may_lead(function):
    first, second = torch.rand(2, 5, 3, 4, generator=seeded(), dtype=torch.float64)  # (K, B, D)
    expected = torch.stack([function(a, b) for a, b in zip(first, second, strict=True)])
    assert expected.shape == (5, 3)
    torch.testing.assert_close(function(first, second), expected, **EXACT)


@pytest.mark.parametrize("shape", [(1, 3), (3,), (2, 1), (2, 2, 3)])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_shapes_that_would_only_broadcast_are_refused(function, shape):
    with pytest.raises(ValueError, match=r"one shape; found \(2, 3\) and .*wrong axis"):
        function(torch.zeros(2, 3), torch.zeros(shape))


# reparameterize


def test_a_sample_is_mu_plus_noise_of_its_own_times_the_standard_deviation():
    mu, sigma = doubles([[1, -2], [1, -2], [0, 3]]), doubles([[2, 0.5], [2, 0.5], [1, 7]])
    z = reparameterize(mu, 2 * sigma.log(), generator=seeded())
    epsilon = torch.randn(3, 2, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(z, mu + sigma * epsilon)


def test_the_noise_is_that_of_a_generator_or_of_torch_and_repeats_under_its_seed():
    zeros = torch.zeros(2, 4)
    state = torch.get_rng_state()
    first, again, other = (reparameterize(zeros, zeros, generator=seeded(s)) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    assert torch.equal(reparameterize(zeros, zeros), first)


# elbo, on a model whose every expectation is known


class Toy:
    """p(z) = N(0, I), p(x|z) = N(Wz + b, σ²I), q(z|x) = N(A(x − b), diag e^c); it notes each z."""

    def __init__(self, seed: int, latents: int, exact: bool):
        g = seeded(seed)
        self.W, self.b, self.A, self.c = (
            torch.randn(*shape, generator=g, dtype=torch.float64)
            for shape in [(3, latents), (3,), (latents, 3), (latents,)]
        )
        self.sigma2 = 0.1 + torch.rand((), generator=g, dtype=torch.float64)
        self.precision = torch.eye(latents).double() + self.W.T @ self.W / self.sigma2
        self.A, self.c = 0.5 * self.A, self.c - 1
        if exact:  # q is the posterior, of one latent variable
            self.A, self.c = self.W.T / self.sigma2 / self.precision, -self.precision[0].log()
        self.asked = []

    def encode(self, x):
        mu = (x - self.b) @ self.A.T
        return mu, self.c.expand_as(mu)

    def log_likelihood(self, x, z):
        self.asked.append(z)
        return Normal(z @ self.W.T + self.b, self.sigma2.sqrt()).log_prob(x).sum(-1)

    def log_evidence(self, x):
        covariance = self.W @ self.W.T + self.sigma2 * torch.eye(3).double()
        return MultivariateNormal(self.b, covariance).log_prob(x)

    def posterior(self, x):
        mean = torch.linalg.solve(self.precision, self.W.T @ (x - self.b).T / self.sigma2).T
        return MultivariateNormal(mean, precision_matrix=self.precision)


def toy(seed: int, *, latents: int = 2, batch: int = 1, exact: bool = False):
    """A random model, and as many images, (B, 3)."""
    x = torch.randn(batch, 3, generator=seeded(seed + 1), dtype=torch.float64)
    return Toy(seed, latents, exact), x


@given(seeds, st.floats(0, 10))
def test_elbo_is_the_likelihood_of_a_sample_minus_beta_times_the_kl(seed, beta):
    model, x = toy(seed, batch=5)
    mu, logvar = model.encode(x)
    expected = model.log_likelihood(x, reparameterize(mu, logvar, generator=seeded(seed)))
    terms = elbo_terms(model, x, generator=seeded(seed))
    assert torch.equal(terms.log_likelihood, expected)
    assert torch.equal(terms.kl, kl_to_prior(mu, logvar))
    for found, weight in [
        (terms.elbo, 1),
        (elbo(model, x, generator=seeded(seed)), 1),
        (elbo(model, x, beta=beta, generator=seeded(seed)), beta),
    ]:
        torch.testing.assert_close(found, terms.log_likelihood - weight * terms.kl, **EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_elbo_is_on_average_what_the_gap_to_the_posterior_leaves_of_log_p(seed):
    model, x = toy(seed)
    mu, logvar = model.encode(x)
    q = MultivariateNormal(mu, torch.diag(logvar[0].exp()))
    gap = distributions.kl_divergence(q, model.posterior(x))
    mean, error = mean_and_error(elbo(model, x.expand(20_000, -1), generator=seeded(1)))
    # Four standard errors: an unbiased estimate is farther away once in 16,000 seeds.
    assert abs(mean - (model.log_evidence(x) - gap)) < 4 * error
    # The mean of q in the place of a sample would be off by Σ_l s_l² ‖w_l‖² / (2σ²).
    loss = (logvar.exp() * model.W.square().sum(0)).sum() / (2 * model.sigma2)
    assert loss > 15 * error


@given(seeds)
def test_elbo_never_exceeds_exact_log_likelihood_in_expectation(seed):
    model, x = toy(seed)
    mean, error = mean_and_error(elbo(model, x.expand(2_000, -1), generator=seeded(1)))
    assert mean <= model.log_evidence(x) + 4 * error


@given(seeds)
def test_elbo_reaches_exact_log_likelihood_where_q_is_the_posterior(seed):
    model, x = toy(seed, latents=1, exact=True)
    mean, error = mean_and_error(elbo(model, x.expand(2_000, -1), generator=seeded(1)))
    # A hundred examples: 4.5 standard errors are passed by chance once in 1,500 suites.
    assert abs(mean - model.log_evidence(x)) < 4.5 * error


# importance_weighted_bound


@pytest.mark.parametrize("pixels_at_once", [1, 9, 20, 27, 10_000])
@pytest.mark.parametrize("k", [1, 2, 50])
def test_bound_is_the_log_of_the_mean_weight_and_its_chunks_never_grow_with_k(
    monkeypatch, k, pixels_at_once
):
    monkeypatch.setattr(objectives, "VALUES_AT_ONCE", pixels_at_once)
    model, x = toy(3, batch=3)
    found = importance_weighted_bound(model, x, k=k, generator=seeded())
    assert max(map(len, model.asked)) == min(max(pixels_at_once // 9, 1), k)  # 9 pixels a sample
    z = torch.cat(model.asked)  # (K, B, L)
    assert len(z.unique()) == k * 3 * 2
    mu, logvar = model.encode(x)
    log_w = model.log_likelihood(x, z) + Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_w = log_w - Normal(mu, torch.exp(0.5 * logvar)).log_prob(z).sum(-1)
    torch.testing.assert_close(found, log_w.logsumexp(0) - math.log(k), **EXACT)
    assert torch.equal(importance_weighted_bound(model, x, k=k, generator=seeded()), found)


def test_bound_decodes_between_8_and_16_mb_at_once_where_there_is_enough():
    model, x = toy(0, batch=300_000)  # 900,000 pixels a sample
    importance_weighted_bound(model, x, k=5)
    assert 8 * 2**20 < len(model.asked[0]) * x.numel() * 4 <= 16 * 2**20  # bytes, in 32 bits


@given(seeds, st.integers(1, 30))
def test_bound_is_the_exact_log_likelihood_at_any_k_where_q_is_the_posterior(seed, k):
    model, x = toy(seed, latents=1, batch=4, exact=True)
    bound = importance_weighted_bound(model, x, k=k)
    torch.testing.assert_close(bound, model.log_evidence(x), **EXACT)  # every weight is p(x)


@pytest.mark.parametrize("seed", range(4))
def test_bound_at_one_is_the_elbo_and_it_rises_with_k_towards_the_log_likelihood(seed):
    model, x = toy(seed)
    x = x.expand(4000, -1)
    found = [elbo(model, x, generator=seeded(1))]
    found += [importance_weighted_bound(model, x, k=k, generator=seeded(2)) for k in (1, 10, 100)]
    steps = [mean_and_error(high - low) for low, high in pairwise(found)]
    assert abs(steps[0][0]) < 4 * steps[0][1]
    assert all(mean > 4 * error for mean, error in steps[1:])
    mean, error = mean_and_error(found[-1])
    assert mean < model.log_evidence(x[:1]) + 4 * error


@torch.no_grad()
@pytest.mark.parametrize("k", [1, 3, 50])
def test_mean_weight_of_bernoulli_pixels_is_the_likelihood_by_quadrature(k):
    torch.manual_seed(3)
    vae, x = VAE(1, (4,), pixels=5, sigma2=None).double(), doubles([[0, 1, 1, 0, 1]])
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]  # a fine grid of its one latent
    joint = Independent(Bernoulli(logits=vae.decoder.layers(z)), 1).log_prob(x)
    exact = (joint + Normal(0.0, 1.0).log_prob(z[:, 0])).logsumexp(0) + math.log(16 / 4000)
    bound = importance_weighted_bound(vae, x.expand(4000, -1), k=k, generator=seeded(6))
    mean, error = mean_and_error((bound - exact).exp())
    assert abs(mean - 1) < 4 * error
    assert error < 0.05  # the claim is not empty
