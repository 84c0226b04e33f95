"""Claims about scores, active units and refined posteriors."""

import math

import pytest
import torch
from torch import distributions
from torch.distributions import Normal

from vae_helpers.conditional import ConditionalVAE
from vae_helpers.evaluation import Refined, active_units, refine, score
from vae_helpers.linear_gaussian import LinearGaussian
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo, importance_weighted_bound

# float64 keeps 16 digits; sums of a few dozen terms of size up to 1e4 keep ten of them.
EXACT = {"rtol": 1e-10, "atol": 1e-10}
TILTED = torch.tensor([[1.0, 0.8], [0.5, 1.0], [1.0, 1.0]])  # (D, L), columns not orthogonal


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def exact() -> LinearGaussian:
    return LinearGaussian(TILTED, torch.tensor([0.1, 0.2, 0.3]), 0.5)


@pytest.fixture
def x(exact) -> torch.Tensor:
    return exact.sample(20, generator=seeded(2))[0]


@pytest.fixture
def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(latent_dim=2, hidden=(8,), pixels=5)


def images(n: int, pixels: int = 5) -> torch.Tensor:
    return torch.rand(n, pixels, generator=seeded(1))


def spoil(model: LinearGaussian, x: torch.Tensor) -> Refined:
    """The model with means that go 0.7 of the way, and widths half as large again."""
    mu, logvar = model.encode(x)
    return Refined(model, x, 0.7 * mu, logvar + 2 * math.log(1.5))


# score


def test_a_score_is_the_elbo_with_the_noise_of_its_seed(vae):
    x = images(7)
    expected = elbo(vae, x, generator=seeded(3))
    for found, part in zip(score(vae, x, seed=3), expected, strict=True):
        assert torch.equal(found, part)
        assert not found.requires_grad


def test_a_score_draws_nothing_from_the_global_generator(vae):
    before = torch.get_rng_state()
    first, second = score(vae, images(7)), score(vae, images(7))
    assert torch.equal(first.elbo, second.elbo)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first.elbo, score(vae, images(7), seed=1).elbo)


def test_a_score_has_one_value_an_image_in_their_order_beyond_one_chunk(vae):
    x = images(10_003)
    found = score(vae, x)
    assert {part.shape for part in found} == {(10_003,)}
    mu, logvar = vae.encode(x)
    q, prior = Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)
    rate = distributions.kl_divergence(q, prior).sum(1)
    torch.testing.assert_close(found.kl, rate.detach(), rtol=1e-4, atol=1e-6)  # 32 bits
    torch.testing.assert_close(found.elbo, found.log_likelihood - found.kl, rtol=0, atol=0)
    last = (found.log_likelihood - score(vae, x.flip(0)).log_likelihood.flip(0)).abs()
    assert last.max() > 0  # other noise …
    assert last.mean() < 0.5  # … for the same images; unsorted ones would differ by more


def test_the_mean_score_of_the_linear_model_is_its_exact_elbo(exact):
    x, _ = exact.sample(20_000, generator=seeded(2))  # not the noise of the score
    found = score(exact, x).elbo - exact.elbo(x, *exact.mean_field(x))
    assert found.mean().abs() < 4 * found.std() / 20_000**0.5  # four standard errors


def test_a_conditional_model_is_scored_with_the_label_of_each_image():
    torch.manual_seed(0)
    model = ConditionalVAE(latent_dim=2, hidden=(8,), pixels=5, classes=3)
    x, labels = images(10_003), torch.arange(10_003) % 3  # 1, 2, 0 after 10,000
    found = score(model, x, labels=labels)
    for rows in (slice(0, 5), slice(10_000, 10_003)):
        expected = elbo(model.given(labels[rows]), x[rows])
        torch.testing.assert_close(found.kl[rows], expected.kl.detach(), rtol=1e-5, atol=1e-6)


def test_a_conditional_model_is_not_scored_without_labels():
    with pytest.raises(ValueError, match="without labels"):
        score(ConditionalVAE(latent_dim=2, hidden=(8,), pixels=5), images(4))


# active_units


class Table:
    """A model that knows nothing but the means of its q(z|x)."""

    def __init__(self, mu: torch.Tensor) -> None:
        self.mu = mu

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.mu, torch.zeros_like(self.mu)


def test_a_unit_is_active_where_its_mean_moves_with_the_image():
    moving = torch.tensor([-1.0, 0.0, 1.0])
    mu = torch.stack([moving, torch.full((3,), 7.0), 0.05 * moving], dim=1)
    assert active_units(Table(mu), torch.zeros(3, 1)).tolist() == [True, False, False]


@pytest.mark.parametrize(("threshold", "active"), [(0.24, True), (0.26, False)])
def test_the_threshold_is_held_against_the_variance_of_the_mean(threshold, active):
    mu = torch.tensor([[-0.5], [0.0], [0.5]])  # variance 0.25, of three
    assert active_units(Table(mu), mu, threshold=threshold).tolist() == [active]


def test_one_image_has_no_variance():
    with pytest.raises(ValueError, match=r"at least 2; found 1\. Pass"):
        active_units(Table(torch.zeros(1, 2)), torch.zeros(1, 5))


# refine


class Symmetric(LinearGaussian):
    """A linear model whose samples come in fours, μ ± σ: their ELBO has no noise at all."""

    def reparameterize(self, mu, logvar, *, generator=None):
        signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).double()
        return mu + (0.5 * logvar).exp() * signs[:, None]  # (4, B, L)


def test_refine_finds_the_best_diagonal_posterior(x):
    model = Symmetric(TILTED, torch.tensor([0.1, 0.2, 0.3]), 0.5)
    found = refine(spoil(model, x), x, steps=1000, samples=4, lr=0.05)
    mean, variances = model.mean_field(x)
    # Adam's last steps are about 1e-5 long; no sample adds noise.
    torch.testing.assert_close(found.mu, mean, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.logvar, variances.log().expand_as(found.mu), rtol=0, atol=1e-3)


def test_refine_reaches_the_exact_elbo_of_the_best_diagonal_posterior(exact, x):
    start = spoil(exact, x)
    found = refine(start, x, steps=300, samples=16, lr=0.05, generator=seeded())
    best = exact.elbo(x, *exact.mean_field(x))
    lost = [best - exact.elbo(x, q.mu, torch.diag_embed(q.logvar.exp())) for q in (start, found)]
    assert lost[0].min() > 0.4  # nats: the start lacks this much for every image
    assert (lost[1] > -1e-9).all()  # no diagonal q is better than the best
    assert lost[1].max() < 0.05  # the noise of 16 samples a step


def test_refine_stays_where_nothing_can_be_gained(exact, x):
    found = refine(exact, x, steps=200, generator=seeded())
    best = exact.elbo(x, *exact.mean_field(x))
    lost = best - exact.elbo(x, found.mu, torch.diag_embed(found.logvar.exp()))
    assert lost.max() < 0.05  # the noise of 16 samples a step


def test_refine_fits_each_image_by_itself(x):
    model = Symmetric(TILTED, torch.tensor([0.1, 0.2, 0.3]), 0.5)
    together = refine(spoil(model, x), x, steps=20, samples=4)
    for i in range(3):
        alone = refine(spoil(model, x[[i]]), x[[i]], steps=20, samples=4)
        torch.testing.assert_close(alone.mu[0], together.mu[i], **EXACT)
        torch.testing.assert_close(alone.logvar[0], together.logvar[i], **EXACT)


def test_refine_averages_over_its_samples(exact, x):
    """Sixteen samples a step leave less noise than one; the step itself stays as long."""
    best = exact.elbo(x, *exact.mean_field(x))

    def lost(samples: int) -> float:
        found = refine(exact, x, steps=50, samples=samples, lr=0.1, generator=seeded())
        elbos = exact.elbo(x, found.mu, torch.diag_embed(found.logvar.exp()))
        return (best - elbos).mean().item()

    assert lost(64) < 0.5 * lost(1)


@pytest.mark.parametrize("sigma2", [0.5, None])
def test_refine_raises_the_elbo_of_a_network_and_leaves_its_weights_alone(sigma2):
    torch.manual_seed(0)
    vae = VAE(latent_dim=2, hidden=(8,), pixels=30, sigma2=sigma2)
    x = images(50, 30).round()
    before = [weight.clone() for weight in vae.parameters()]
    found = refine(vae, x, steps=100, samples=4, lr=0.05, generator=seeded())

    def mean_elbo(model) -> torch.Tensor:
        return torch.stack([score(model, x, seed=seed).elbo for seed in range(100)]).mean(0)

    gained = mean_elbo(found) - mean_elbo(vae)
    assert gained.mean() > 4 * gained.std() / 50**0.5  # four standard errors
    for weight, old in zip(vae.parameters(), before, strict=True):
        assert torch.equal(weight, old)
        assert weight.grad is None
        assert weight.requires_grad


def test_refine_serves_a_conditional_model_with_the_labels_of_its_images():
    torch.manual_seed(0)
    model = ConditionalVAE(latent_dim=2, hidden=(8,), pixels=30, classes=3)
    x, labels = images(6, 30), torch.tensor([0, 1, 2, 0, 1, 2])
    given = model.given(labels)
    found = refine(given, x, steps=2, samples=3, generator=seeded())
    assert found.encode(x)[0].shape == (6, 2)
    assert elbo(found, x).elbo.shape == (6,)


def test_refine_works_where_gradients_are_switched_off(vae):
    x = images(4)
    usual = refine(vae, x, steps=3, generator=seeded())
    with torch.no_grad():
        found = refine(vae, x, steps=3, generator=seeded())
    assert torch.equal(found.mu, usual.mu)
    assert not torch.equal(found.mu, vae.encode(x)[0])
    assert not usual.mu.requires_grad
    assert not usual.logvar.requires_grad


def test_refine_starts_where_the_encoder_is_and_depends_on_the_generator_alone(vae):
    x = images(4)
    near = refine(vae, x, steps=1, samples=1, lr=1e-6, generator=seeded())
    # One step of Adam is as long as its rate.
    torch.testing.assert_close(near.mu, vae.encode(x)[0].detach(), rtol=0, atol=2e-6)
    before = torch.get_rng_state()
    first, second = (refine(vae, x, steps=3, generator=seeded()) for _ in range(2))
    assert torch.equal(first.mu, second.mu)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["steps", "samples"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "10"])
def test_refine_asks_for_whole_numbers(vae, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1; found"):
        refine(vae, images(2), **{name: value})


@pytest.mark.parametrize("lr", [0.0, -0.1, math.inf, math.nan])
def test_refine_asks_for_a_positive_rate(vae, lr):
    with pytest.raises(ValueError, match="lr must be positive and finite; found"):
        refine(vae, images(2), lr=lr)


def test_refine_refuses_what_the_model_refuses(vae):
    with pytest.raises(ValueError, match=r"images must have shape \(B, 5\)"):
        refine(vae, images(2, 6))


# Refined


def test_a_refined_model_returns_its_table_for_its_images(vae):
    x, mu, logvar = images(3), torch.randn(3, 2), torch.randn(3, 2)
    table = Refined(vae, x, mu, logvar)
    assert torch.equal(table.encode(x.clone())[0], mu)
    assert torch.equal(table.encode(x.clone())[1], logvar)


@pytest.mark.parametrize("other", ["fewer", "others", "another order"])
def test_a_refined_model_refuses_other_images(vae, other):
    x = images(3)
    table = Refined(vae, x, torch.zeros(3, 2), torch.zeros(3, 2))
    given = {"fewer": x[:2], "others": 1 - x, "another order": x.flip(0)}[other]
    with pytest.raises(ValueError, match=r"its 3 images; found others.*refine\(vae, x\)"):
        table.encode(given)


def test_the_bounds_take_a_refined_model():
    # Columns of W that are orthogonal make the posterior diagonal: with it every weight is p(x).
    model = LinearGaussian(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]), torch.zeros(3), 0.5)
    x, _ = model.sample(5, generator=seeded())
    mean, covariance = model.posterior(x)
    table = Refined(model, x, mean, covariance.diagonal().log().expand_as(mean))
    bound = importance_weighted_bound(table, x, k=1, generator=seeded())
    torch.testing.assert_close(bound, model.log_marginal(x), **EXACT)


def test_a_refined_model_decodes_as_the_model_that_was_refined():
    torch.manual_seed(0)
    vae = VAE(latent_dim=2, hidden=(8,), pixels=5, sigma2=None)
    table = Refined(vae, images(3), torch.zeros(3, 2), torch.zeros(3, 2))
    z = torch.randn(4, 2, generator=seeded())
    assert table.sigma2 is None
    assert torch.equal(table.decode(z), vae.decode(z))
    assert torch.equal(table.logits(z), vae.logits(z))
    drawn = [each.reparameterize(z, z, generator=seeded()) for each in (table, vae)]
    assert torch.equal(*drawn)
