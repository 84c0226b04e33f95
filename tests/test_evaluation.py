"""Claims about scores, active units, refined posteriors and the aggregate posterior."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vae_helpers import evaluation
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.evaluation import Refined, active_units, mean_and_error, refine, score
from vae_helpers.linear_gaussian import LinearGaussian
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo_terms


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# A linear model whose columns are not orthogonal, and images of it.
EXACT = LinearGaussian([[1.0, 0.8], [0.5, 1.0], [1.0, 1.0]], [0.1, 0.2, 0.3], 0.5)
X, _ = EXACT.sample(20, generator=seeded(2))


def small(kind: type[VAE] = VAE, **options: object) -> VAE:
    torch.manual_seed(0)
    return kind(latent_dim=2, hidden=(8,), pixels=5, **options)


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 5, generator=seeded(1))


@given(st.integers(2, 9), st.integers(0, 999))
def test_the_error_of_a_mean_is_the_spread_over_the_root_of_the_number(n, seed):
    values = torch.randn(n, 3, generator=seeded(seed), dtype=torch.float64)
    mean, error = mean_and_error(values)
    torch.testing.assert_close(mean, values.sum(0) / n)
    torch.testing.assert_close(error, ((values - mean) ** 2).sum(0).div(n * (n - 1)).sqrt())


# score


def test_a_score_is_the_elbo_of_each_image_with_the_noise_of_its_seed_and_no_other():
    vae, x, state = small(), images(7), torch.get_rng_state()
    found, expected = score(vae, x, seed=3), elbo_terms(vae, x, generator=seeded(3))
    assert torch.equal(torch.cat(found), torch.cat(expected))
    assert not found.elbo.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", [VAE, ConditionalVAE])
def test_a_score_goes_through_the_images_and_their_labels_in_order_beyond_one_chunk(kind):
    vae, x = small(kind), images(10_003)
    labels = None if kind is VAE else torch.arange(10_003) % 7  # another digit after 10,000
    found = score(vae, x, labels=labels)
    expected = elbo_terms(vae if labels is None else vae.given(labels), x)
    torch.testing.assert_close(found.kl, expected.kl.detach(), rtol=1e-4, atol=1e-6)  # 32 bits
    assert found.log_likelihood.shape == (10_003,)
    assert len(found.log_likelihood[10_000:].unique()) == 3


def test_the_mean_score_of_the_linear_model_is_its_exact_elbo():
    x, _ = EXACT.sample(20_000, generator=seeded(2))  # not the noise of the score
    mean, error = mean_and_error(score(EXACT, x).elbo - EXACT.elbo(x, *EXACT.mean_field(x)))
    assert abs(mean) < 4 * error


# active_units


class Table:
    """A model that knows nothing but the means of its q(z|x)."""

    def __init__(self, *columns: list[float]) -> None:
        self.mu = torch.tensor(columns).T

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.mu, torch.zeros_like(self.mu)


def test_a_unit_is_active_where_its_mean_moves_with_the_image():
    table = Table([-1.0, 0.0, 1.0], [7.0] * 3, [-0.05, 0.0, 0.05], [-0.15, 0.0, 0.15])
    assert active_units(table, torch.zeros(3, 1)).tolist() == [True, False, False, True]
    halves = Table([-0.5, 0.0, 0.5])  # of variance 0.25
    for threshold in (0.24, 0.26):
        found = active_units(halves, torch.zeros(3, 1), threshold=threshold)
        assert found.tolist() == [threshold < 0.25]


# refine


def spoiled(x: torch.Tensor) -> Refined:
    """The model with means that go 0.7 of the way, and widths half as large again."""
    mu, logvar = EXACT.encode(x)
    return Refined(EXACT, x, 0.7 * mu, logvar + 2 * math.log(1.5))


def lost(q: Refined) -> torch.Tensor:
    """What the ELBO of each image lacks to the best of a diagonal q, in nats."""
    best = EXACT.elbo(X, *EXACT.mean_field(X))
    return best - EXACT.elbo(X, q.mu, torch.diag_embed(q.logvar.exp()))


def test_refine_gains_what_there_is_to_gain_and_no_more():
    assert lost(spoiled(X)).min() > 0.4
    for start in (spoiled(X), EXACT):
        after = lost(refine(start, X, steps=300, lr=0.05, generator=seeded()))
        assert (after > -1e-9).all()  # no diagonal q is better than the best
        assert after.max() < 0.05  # the noise of 16 samples a step


@pytest.mark.parametrize("kind", [VAE, ConditionalVAE])
def test_refine_raises_the_elbo_of_a_network_and_leaves_it_and_all_else_alone(kind):
    vae, x = small(kind, sigma2=None), images(50).round()
    model = vae if kind is VAE else vae.given(torch.arange(50) % 3)
    before, state = [weight.clone() for weight in vae.parameters()], torch.get_rng_state()
    with torch.no_grad():  # it works where gradients are switched off
        found = refine(model, x, steps=100, samples=4, lr=0.05, generator=seeded())
        again = refine(model, x, steps=100, samples=4, lr=0.05, generator=seeded())
        start = refine(model, x, steps=1, samples=1, lr=1e-6, generator=seeded())
    assert torch.equal(found.mu, again.mu)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(start.mu, model.encode(x)[0], rtol=0, atol=2e-6)  # one short step
    gains = [score(found, x, seed=s).elbo - score(model, x, seed=s).elbo for s in range(100)]
    mean, error = mean_and_error(torch.stack(gains).mean(0))
    assert mean > 4 * error
    assert not found.mu.requires_grad | found.logvar.requires_grad
    assert all(map(torch.equal, vae.parameters(), before))
    assert all(weight.grad is None for weight in vae.parameters())


def test_a_refined_model_encodes_as_its_table_and_decodes_as_the_model_that_was_refined():
    vae, x = small(), images(3)
    mu, z = torch.randn(3, 2), torch.randn(3, 2)
    table = Refined(vae, x, mu, 2 * mu)
    assert torch.equal(torch.cat(table.encode(x.clone())), torch.cat([mu, 2 * mu]))
    assert torch.equal(table.decode(z), vae.decode(z))
    assert torch.equal(table.log_likelihood(x, z), vae.log_likelihood(x, z))


# The aggregate posterior


@given(*(st.integers(1, most) for most in (30, 40, 5, 200)), st.integers(0, 10_000))
def test_the_aggregate_posterior_is_the_density_of_the_mixture_in_any_chunks(
    points, number, latent_dim, at_once, seed
):
    g = seeded(seed)
    z = 3 * torch.randn(points, latent_dim, generator=g).double()
    mu = torch.randn(number, latent_dim, generator=g).double()
    logvar = 4 * torch.rand(number, latent_dim, generator=g).double() - 5
    parts = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(number).double()), parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "VALUES_AT_ONCE", at_once)
        found = evaluation.log_aggregate_posterior(z, mu, logvar)
    # 64 bits, of terms that nearly cancel: z² / σ² is up to 10⁴.
    torch.testing.assert_close(found, mixture.log_prob(z), rtol=1e-10, atol=1e-9)


def test_the_aggregate_posterior_loses_nothing_of_32_bits_far_from_the_centre():
    mu, z = torch.full((2, 1), 30.0), torch.tensor([[30.0], [30.01]])
    exact = Normal(30.0, math.exp(-4)).log_prob(z.double())[:, 0]
    found = evaluation.log_aggregate_posterior(z, mu, torch.full((2, 1), -8.0))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


# What is refused, and what the message says


def aggregate(shapes: list[tuple[int, ...]]) -> torch.Tensor:
    return evaluation.log_aggregate_posterior(*map(torch.zeros, shapes))


TABLE = Refined(small(), images(3), torch.zeros(3, 2), torch.zeros(3, 2))
STEPS = "steps must be a whole number of at least 1; found .* The defaults are"
BAD = [[(3, 2), (4, 2), (4, 1)], [(3, 1), (4, 2), (4, 2)], [(2,), (4, 2), (4, 2)]]


@pytest.mark.parametrize(
    ("use", "values", "message"),
    [
        (lambda n: refine(small(), images(2), steps=n), [0, True], STEPS),
        (lambda n: refine(small(), images(2), samples=n), [0, 2.5], "samples must be a whole num"),
        (lambda lr: refine(small(), images(2), lr=lr), [0.0, math.nan], "lr must be positive"),
        (lambda x: refine(small(), x), [images(2)[:, :4]], r"images must have shape \(B, 5\)"),
        (lambda mu: active_units(Table(mu), torch.zeros(1, 1)), [[1.0]], "at least 2; found 1"),
        (lambda x: score(small(ConditionalVAE), x), [images(2)], "without labels"),
        (TABLE.encode, [images(2), images(3).flip(0)], r"3 images; found other.*refine\(vae, x\)"),
        (aggregate, BAD, r"expected z \(M, L\), mu \(N, L\) .*; found .* Pass mu and logvar as"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_found_and_the_repair(use, values, message):
    for value in values:
        with pytest.raises(ValueError, match=message):
            use(value)
