"""Claims about the mathematics: each formula against torch.distributions or a closed form."""

import math
from functools import partial

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import distributions
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal

from vae_helpers import objectives
from vae_helpers.networks import VAE
from vae_helpers.objectives import (
    bernoulli_log_likelihood,
    elbo,
    gaussian_log_likelihood,
    importance_weighted_bound,
    kl_divergence,
)

# float64 keeps 16 digits. The sums here have at most a few dozen terms, of size up to e^6 or
# 1e4, so that two orders of summation differ by far less than 1e-10 of the value.
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def tensors(low: float, high: float, *, count: int = 1):
    """As many float64 tensors (B, n) of one shape, B from 1 to 4 and n from 1 to 6."""
    shape = st.tuples(st.integers(1, 4), st.integers(1, 6))

    def of(shape: tuple[int, int]):
        size = math.prod(shape)
        values = st.lists(st.floats(low, high), min_size=size, max_size=size)
        tensor = values.map(lambda v: torch.tensor(v, dtype=torch.float64).reshape(shape))
        return st.tuples(*[tensor] * count)

    return shape.flatmap(of)


posteriors = tensors(-6, 6, count=2)  # mu and logvar; σ from 0.05 to 20
images = tensors(0, 1, count=2)  # x and x_mean
variances = st.floats(1e-3, 1e3)


# kl_divergence


@given(posteriors)
def test_kl_is_that_of_torch_distributions(posterior):
    mu, logvar = posterior
    q = Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    expected = distributions.kl_divergence(q, prior)
    torch.testing.assert_close(kl_divergence(mu, logvar), expected, **EXACT)


@given(posteriors)
def test_kl_is_one_value_an_image_that_no_other_image_changes(posterior):
    together = kl_divergence(*posterior)
    one_by_one = [kl_divergence(m[None], v[None]) for m, v in zip(*posterior, strict=True)]
    assert together.shape == (len(posterior[0]),)
    torch.testing.assert_close(together, torch.cat(one_by_one), **EXACT)


@given(posteriors)
def test_kl_adds_over_latent_variables(posterior):
    mu, logvar = posterior
    parts = [kl_divergence(mu[:, [i]], logvar[:, [i]]) for i in range(mu.shape[1])]
    torch.testing.assert_close(kl_divergence(mu, logvar), sum(parts), **EXACT)


@given(posteriors)
def test_kl_is_never_negative(posterior):
    assert (kl_divergence(*posterior) >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-8, 1e-5, 1e-3])
def test_kl_is_not_negative_where_rounding_is_as_large_as_the_divergence(dtype, size):
    logvar = torch.linspace(-size, size, 101, dtype=dtype)[:, None]
    assert (kl_divergence(torch.zeros_like(logvar), logvar) >= 0).all()


@given(posteriors)
def test_kl_is_zero_only_where_the_posterior_is_the_prior(posterior):
    mu, logvar = posterior
    # Below 1e-6 from the prior the divergence falls under 1e-12 and may round to zero.
    assume(all(torch.maximum(mu.abs(), logvar.abs()).amax(1) > 1e-6))
    assert (kl_divergence(mu, logvar) > 0).all()


@given(st.integers(1, 4), st.integers(1, 6))
def test_kl_is_zero_when_posterior_equals_prior(batch, latents):
    zeros = torch.zeros(batch, latents)
    assert torch.equal(kl_divergence(zeros, zeros), torch.zeros(batch))


def test_kl_has_its_half_and_its_minus_one():
    mu = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    logvar = torch.tensor([[0.0], [math.log(4)]], dtype=torch.float64)
    expected = torch.tensor([0.5, 0.5 * (4 - 1 - math.log(4))], dtype=torch.float64)
    torch.testing.assert_close(kl_divergence(mu, logvar), expected, **EXACT)


@given(posteriors)
def test_kl_has_the_gradient_of_its_formula(posterior):
    mu, logvar = (t.clone().requires_grad_() for t in posterior)
    kl_divergence(mu, logvar).sum().backward()
    torch.testing.assert_close(mu.grad, mu.detach(), **EXACT)
    torch.testing.assert_close(logvar.grad, 0.5 * torch.expm1(logvar.detach()), **EXACT)


@pytest.mark.parametrize("shape", [(1, 3), (3,), (2, 1), (2, 4)])
def test_kl_refuses_shapes_that_differ(shape):
    with pytest.raises(ValueError, match=r"same shape; found .*\. Pass both"):
        kl_divergence(torch.zeros(2, 3), torch.zeros(shape))


# gaussian_log_likelihood


@given(images, variances)
def test_gaussian_is_that_of_torch_distributions(pair, sigma2):
    x, x_mean = pair
    p = Independent(Normal(x_mean, math.sqrt(sigma2)), 1)
    torch.testing.assert_close(
        gaussian_log_likelihood(x, x_mean, sigma2=sigma2), p.log_prob(x), **EXACT
    )


@given(images)
def test_gaussian_is_minus_sse_and_a_constant_by_default(pair):
    x, x_mean = pair
    sse = ((x - x_mean) ** 2).sum(1)
    constant = x.shape[1] / 2 * math.log(math.pi)
    torch.testing.assert_close(gaussian_log_likelihood(x, x_mean), -sse - constant, **EXACT)


@given(images, variances)
def test_gaussian_is_largest_where_the_mean_is_the_image(pair, sigma2):
    x, x_mean = pair
    best = gaussian_log_likelihood(x, x, sigma2=sigma2)
    assert best.shape == (len(x),)
    assert (gaussian_log_likelihood(x, x_mean, sigma2=sigma2) <= best).all()


# float("inf") is equal to math.inf, but another object.
@pytest.mark.parametrize("sigma2", [0.0, -0.5, math.inf, float("inf"), -math.inf, math.nan])
def test_gaussian_refuses_what_is_no_variance(sigma2):
    with pytest.raises(ValueError, match=r"positive and finite; found .*\. Use 0\.5"):
        gaussian_log_likelihood(torch.zeros(1, 2), torch.zeros(1, 2), sigma2=sigma2)


@pytest.mark.parametrize("shape", [(1, 3), (3,), (2, 1), (2, 2, 3)])
@pytest.mark.parametrize("log_likelihood", [gaussian_log_likelihood, bernoulli_log_likelihood])
def test_log_likelihoods_refuse_shapes_that_would_broadcast(log_likelihood, shape):
    with pytest.raises(ValueError, match=r"same shape \(B, D\); found .*\. A shape that only"):
        log_likelihood(torch.zeros(2, 3), torch.zeros(shape))


# bernoulli_log_likelihood


@given(tensors(-30, 30, count=2))
def test_bernoulli_is_that_of_torch_distributions(pair):
    x, logits = (pair[0] > 0).double(), pair[1]
    value = bernoulli_log_likelihood(x, logits)
    assert value.shape == (len(x),)
    assert (value <= 0).all()
    p = Independent(Bernoulli(logits=logits), 1)
    torch.testing.assert_close(value, p.log_prob(x), **EXACT)


def test_bernoulli_probabilities_of_all_images_add_up_to_one():
    logits = torch.tensor([[0.3, -1.2, 2.0]], dtype=torch.float64)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)  # (8, 3)
    total = bernoulli_log_likelihood(every, logits.expand(8, 3)).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-12)  # eight float64 terms below one


def test_bernoulli_stays_finite_for_logits_that_saturate_the_sigmoid():
    x, logits = torch.tensor([[0.0, 1.0]]), torch.tensor([[200.0, -200.0]])
    # log(1 − sigmoid(200)) = −200 − log(1 + e^−200), and the second term is below float32.
    assert bernoulli_log_likelihood(x, logits).tolist() == [-400.0]


# Axes and options


@pytest.mark.parametrize(
    "function", [kl_divergence, gaussian_log_likelihood, bernoulli_log_likelihood]
)
def test_only_the_last_axis_is_summed_so_that_an_axis_of_samples_may_lead(function):
    g = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 5, 3, 4, generator=g, dtype=torch.float64)  # (K, B, D) each
    expected = torch.stack([function(a, b) for a, b in zip(first, second, strict=True)])
    assert expected.shape == (5, 3)
    torch.testing.assert_close(function(first, second), expected, **EXACT)


def test_options_are_given_by_name():
    model, x = toy(0)
    with pytest.raises(TypeError, match="positional"):
        gaussian_log_likelihood(x, x, 0.5)
    with pytest.raises(TypeError, match="positional"):
        elbo(model, x, 1.0)
    with pytest.raises(TypeError, match="positional"):
        importance_weighted_bound(model, x, 5)


# elbo, on a model whose every expectation is known


class LinearGaussian:
    """p(z) = N(0, I), p(x|z) = N(Wz + b, σ²I), q(z|x) = N(A(x − b), diag exp(c))."""

    def __init__(self, W, b, A, c, sigma2):
        self.W, self.b, self.A, self.c, self.sigma2 = W, b, A, c, sigma2

    def encode(self, x):
        mu = (x - self.b) @ self.A.T  # (B, L)
        return mu, self.c.expand_as(mu)

    def reparameterize(self, mu, logvar, *, generator=None):
        noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
        return mu + torch.exp(0.5 * logvar) * noise

    def decode(self, z):
        return z @ self.W.T + self.b

    def log_evidence(self, x):
        covariance = self.W @ self.W.T + self.sigma2 * torch.eye(len(self.b)).double()
        return MultivariateNormal(self.b, covariance).log_prob(x)

    def log_likelihood_at_the_mean(self, x):
        x_mean = self.decode(self.encode(x)[0])
        return Independent(Normal(x_mean, math.sqrt(self.sigma2)), 1).log_prob(x)

    def loss_by_sampling(self):
        """E log p(x|z) under q falls short of log p(x|μ) by Σ_l s_l² ‖w_l‖² / (2σ²)."""
        return ((self.c.exp() * self.W.square().sum(0)).sum() / (2 * self.sigma2)).item()

    def with_exact_posterior(self):
        """The same model where q is the posterior (W must have orthogonal columns)."""
        precision = 1 + self.W.square().sum(0) / self.sigma2  # (L,)
        A = (self.W / (self.sigma2 * precision)).T
        return LinearGaussian(self.W, self.b, A, -precision.log(), self.sigma2)


def toy(seed: int, *, latents: int = 2, pixels: int = 3, batch: int = 1):
    """A model with random parameters, and as many images, (B, D)."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    model = LinearGaussian(
        W=draw(pixels, latents),
        b=draw(pixels),
        A=0.5 * draw(latents, pixels),
        c=draw(latents) - 1,
        sigma2=0.1 + torch.rand((), generator=g).item(),
    )
    return model, draw(batch, pixels)


def estimate(model, x, *, samples=20_000, beta=1.0):
    """Means and standard errors of the parts of elbo over as many samples of z."""
    g = torch.Generator().manual_seed(1)
    parts = elbo(model, x.expand(samples, -1), beta=beta, generator=g)
    return {
        name: (part.mean().item(), (part.std() / math.sqrt(samples)).item())
        for name, part in parts._asdict().items()
    }


seeds = st.integers(0, 10_000)


@given(seeds, st.floats(0, 10))
def test_elbo_is_its_likelihood_minus_beta_times_its_kl(seed, beta):
    model, x = toy(seed, batch=5)
    parts = elbo(model, x, beta=beta)
    assert {part.shape for part in parts} == {(5,)}
    torch.testing.assert_close(parts.kl, kl_divergence(*model.encode(x)), **EXACT)
    torch.testing.assert_close(parts.elbo, parts.log_likelihood - beta * parts.kl, **EXACT)


@given(seeds)
def test_elbo_weighs_the_kl_by_one_unless_told(seed):
    model, x = toy(seed)
    parts = elbo(model, x)
    torch.testing.assert_close(parts.elbo, parts.log_likelihood - parts.kl, **EXACT)


@given(seeds)
def test_elbo_scores_the_decoded_sample_with_the_variance_of_the_model(seed):
    model, x = toy(seed, batch=5)
    z = model.reparameterize(*model.encode(x), generator=torch.Generator().manual_seed(seed))
    by_hand = gaussian_log_likelihood(x, model.decode(z), sigma2=model.sigma2)
    parts = elbo(model, x, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(parts.log_likelihood, by_hand)


@pytest.mark.parametrize("seed", range(4))
def test_elbo_is_unbiased_and_samples_z_instead_of_taking_its_mean(seed):
    model, x = toy(seed)
    at_the_mean, loss = model.log_likelihood_at_the_mean(x).item(), model.loss_by_sampling()
    mean, error = estimate(model, x)["log_likelihood"]
    # Four standard errors: an unbiased estimate is farther away once in 16,000 seeds, and the
    # seeds are fixed. The mean of q would be off by the whole loss, ten times as far and more.
    assert abs(mean - (at_the_mean - loss)) < 4 * error
    assert loss > 40 * error


@given(seeds)
def test_elbo_never_exceeds_exact_log_likelihood_in_expectation(seed):
    model, x = toy(seed)
    mean, error = estimate(model, x, samples=2_000)["elbo"]
    assert mean <= model.log_evidence(x).item() + 4 * error


@given(seeds)
def test_elbo_reaches_exact_log_likelihood_where_q_is_the_posterior(seed):
    model, x = toy(seed, latents=1)
    mean, error = estimate(model.with_exact_posterior(), x, samples=2_000)["elbo"]
    # A hundred examples: 4.5 standard errors are passed by chance once in 1,500 suites.
    assert abs(mean - model.log_evidence(x).item()) < 4.5 * error


@given(seeds, seeds)
def test_elbo_repeats_under_one_seed_and_differs_under_another(seed, other):
    assume(seed != other)
    model, x = toy(0)
    first, again, different = (
        elbo(model, x, generator=torch.Generator().manual_seed(s)).elbo for s in (seed, seed, other)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, different)


def test_elbo_draws_new_noise_in_every_call_and_for_every_image():
    model, x = toy(0)
    g = torch.Generator().manual_seed(0)
    values = torch.cat([elbo(model, x.expand(50, -1), generator=g).elbo for _ in range(2)])
    assert len(values.unique()) == 100


def test_elbo_takes_the_global_generator_where_none_is_given():
    model, x = toy(0)
    torch.manual_seed(5)
    first = elbo(model, x).elbo
    torch.manual_seed(5)
    assert torch.equal(elbo(model, x).elbo, first)


@pytest.mark.parametrize("beta", [-1.0, math.inf, float("inf"), math.nan])
def test_elbo_refuses_a_weight_that_is_negative_or_not_finite(beta):
    model, x = toy(0)
    with pytest.raises(ValueError, match=r"finite and not negative; found .*\. Use 1"):
        elbo(model, x, beta=beta)


# importance_weighted_bound, on the same model


class Rehearsed(LinearGaussian):
    """The model with noise from a list, so that every cut into chunks draws the same."""

    def __init__(self, *parts, noise):
        super().__init__(*parts)
        self.noise, self.drawn, self.most = noise, 0, 0

    def reparameterize(self, mu, logvar, *, generator=None):
        epsilon = self.noise[self.drawn : self.drawn + len(mu)]
        self.drawn, self.most = self.drawn + len(mu), max(self.most, mu[..., 0].numel())
        return mu + torch.exp(0.5 * logvar) * epsilon


def rehearsed(seed: int, *, k: int, batch: int = 3):
    model, x = toy(seed, batch=batch)
    noise = torch.randn(k, batch, 2, generator=torch.Generator().manual_seed(seed)).double()
    return Rehearsed(model.W, model.b, model.A, model.c, model.sigma2, noise=noise), x


@given(seeds, st.integers(1, 9))
def test_bound_is_the_log_of_the_mean_weight(seed, k):
    model, x = rehearsed(seed, k=k)
    mu, logvar = model.encode(x)
    q = Normal(mu, torch.exp(0.5 * logvar))
    z = mu + q.scale * model.noise  # (K, B, L)
    log_joint = Normal(model.decode(z), math.sqrt(model.sigma2)).log_prob(x).sum(-1)
    log_joint = log_joint + Normal(0.0, 1.0).log_prob(z).sum(-1)
    weights = (log_joint - q.log_prob(z).sum(-1)).logsumexp(0) - math.log(k)
    torch.testing.assert_close(importance_weighted_bound(model, x, k=k), weights, **EXACT)


@pytest.mark.parametrize("pixels_at_once", [1, 9, 20, 27, 10_000])
def test_bound_does_not_depend_on_its_chunks_which_never_grow_with_k(monkeypatch, pixels_at_once):
    whole = importance_weighted_bound(*rehearsed(3, k=50), k=50)
    monkeypatch.setattr(objectives, "_VALUES_AT_ONCE", pixels_at_once)
    model, x = rehearsed(3, k=50)
    torch.testing.assert_close(importance_weighted_bound(model, x, k=50), whole, **EXACT)
    assert model.drawn == 50
    assert model.most * 3 == min(max(pixels_at_once // 9 * 9, 9), 450)  # 3 images of 3 pixels


def test_bound_decodes_between_8_and_16_mb_at_once_where_there_is_enough():
    model, x = rehearsed(0, k=12, batch=300_000)  # 900,000 pixels a sample
    importance_weighted_bound(model, x, k=12)
    assert 8 * 2**20 < model.most * 3 * 4 <= 16 * 2**20  # bytes, were they 32-bit numbers


@given(seeds, st.integers(1, 30))
def test_bound_is_the_exact_log_likelihood_at_any_k_where_q_is_the_posterior(seed, k):
    model, x = toy(seed, latents=1, batch=4)
    model = model.with_exact_posterior()  # then every weight is p(x) itself, whatever z
    bound = importance_weighted_bound(model, x, k=k)
    torch.testing.assert_close(bound, model.log_evidence(x), **EXACT)


def bounds(model, x, *, k: int, repeats: int) -> torch.Tensor:
    """As many independent estimates of the bound of one image, ``(repeats,)``."""
    g = torch.Generator().manual_seed(2)
    return importance_weighted_bound(model, x.expand(repeats, -1), k=k, generator=g)


@pytest.mark.parametrize("k", [1, 2, 10, 100])
@pytest.mark.parametrize("seed", range(4))
def test_mean_weight_is_the_exact_likelihood_at_every_k(seed, k):
    model, x = toy(seed)
    # A q narrower than the posterior may give the weights infinite variance; this one is wider.
    model.c = torch.full_like(model.c, math.log(2.0))
    ratio = (bounds(model, x, k=k, repeats=4000) - model.log_evidence(x)).exp()
    error = ratio.std() / math.sqrt(len(ratio))
    assert abs(ratio.mean() - 1) < 4 * error
    assert error < 0.5  # the claim is not empty


@pytest.mark.parametrize("seed", range(4))
def test_bound_at_one_is_the_elbo_and_it_rises_with_k_towards_the_log_likelihood(seed):
    model, x = toy(seed)
    means, errors = [], []
    for k in (1, 10, 100):
        values = bounds(model, x, k=k, repeats=4000)
        means.append(values.mean())
        errors.append(values.std() / math.sqrt(len(values)))
    expected, error = estimate(model, x)["elbo"]
    assert abs(means[0] - expected) < 4 * math.hypot(errors[0], error)
    for low, high in ((0, 1), (1, 2)):
        assert means[high] - means[low] > 4 * math.hypot(errors[low], errors[high])
    assert means[2] < model.log_evidence(x) + 4 * errors[2]


def test_bound_draws_new_noise_for_every_sample_and_repeats_under_one_seed():
    model, x = toy(0)
    first, again, other = (
        importance_weighted_bound(model, x, k=5, generator=torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    )
    assert first.shape == (1,)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(5)
    first = importance_weighted_bound(model, x, k=5)
    torch.manual_seed(5)
    assert torch.equal(importance_weighted_bound(model, x, k=5), first)


def test_bound_passes_gradients_to_the_encoder():
    model, x = rehearsed(0, k=7)
    model.A = model.A.clone().requires_grad_()
    (found,) = torch.autograd.grad(importance_weighted_bound(model, x, k=7).sum(), model.A)
    step = torch.zeros_like(model.A)
    step[0, 0] = 1e-6
    ends = []
    for sign in (1, -1):
        model, x = rehearsed(0, k=7)
        model.A = model.A + sign * step
        ends.append(importance_weighted_bound(model, x, k=7).sum())
    # A central difference errs by the square of the step, and by rounding over the step.
    assert abs((ends[0] - ends[1]) / 2e-6 - found[0, 0]) < 1e-6 * max(1, abs(found[0, 0]))


@pytest.mark.parametrize("k", [0, -1, 1.0, True, "5", None])
def test_bound_refuses_a_number_of_samples_below_one_or_not_whole(k):
    with pytest.raises(ValueError, match=r"whole number of at least 1; found .*\. Use 1 for"):
        importance_weighted_bound(*toy(0), k=k)


# Bernoulli pixels


def bernoulli_toy():
    """A VAE of binary images whose log p(x) is a sum over a fine grid of its one latent."""
    torch.manual_seed(3)
    vae = VAE(1, (4,), pixels=5, sigma2=None).double()
    x = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0]], dtype=torch.float64)
    return vae, x


@torch.no_grad()
def bernoulli_log_evidence(vae, x):
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]  # (Z, 1)
    log_joint = Independent(Bernoulli(logits=vae.logits(z)), 1).log_prob(x[:, None])  # (B, Z)
    log_joint = log_joint + Normal(0.0, 1.0).log_prob(z[:, 0])
    return log_joint.logsumexp(-1) + math.log(16 / 4000)


@torch.no_grad()
def test_elbo_of_bernoulli_pixels_is_that_of_torch_distributions():
    vae, x = bernoulli_toy()
    parts = elbo(vae, x, generator=torch.Generator().manual_seed(5))
    mu, logvar = vae.encode(x)
    z = vae.reparameterize(mu, logvar, generator=torch.Generator().manual_seed(5))
    expected = Independent(Bernoulli(logits=vae.logits(z)), 1).log_prob(x)
    torch.testing.assert_close(parts.log_likelihood, expected, **EXACT)
    torch.testing.assert_close(parts.kl, kl_divergence(mu, logvar), **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("k", [1, 3, 50])
def test_mean_weight_of_bernoulli_pixels_is_the_likelihood_by_quadrature(k):
    vae, x = bernoulli_toy()
    exact = bernoulli_log_evidence(vae, x)
    g = torch.Generator().manual_seed(6)
    bound = importance_weighted_bound(vae, x.repeat(4000, 1), k=k, generator=g).reshape(-1, 2)
    ratio = (bound - exact).exp()
    error = ratio.std(0) / math.sqrt(len(ratio))
    assert ((ratio.mean(0) - 1).abs() < 4 * error).all()
    assert error.max() < 0.05  # the claim is not empty
    assert (bound.mean(0) < exact).all()


def test_probabilities_of_all_binary_images_add_up_to_one_through_the_quadrature():
    vae, _ = bernoulli_toy()
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 5)  # (32, 5)
    # The grid reaches 8 standard deviations, beyond which lies 1e-15 of the prior.
    assert abs(bernoulli_log_evidence(vae, x).logsumexp(0)) < 1e-10


def test_bounds_of_bernoulli_pixels_refuse_grey_images():
    vae, x = bernoulli_toy()
    for bound in (elbo, partial(importance_weighted_bound, k=2)):
        with pytest.raises(ValueError, match=r"vae_helpers\.data\.binarize"):
            bound(vae, x / 2)
