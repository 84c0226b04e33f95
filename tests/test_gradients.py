"""Claims about the gradients by hand: they are autograd's, and one vector holds all weights."""

import contextlib

import pytest
import torch
from torch import nn

from vae_helpers.conditional import ConditionalVAE
from vae_helpers.gradients import (
    ElboGradient,
    ImportanceWeightedGradient,
    drop_tiny_moments,
    gradient_of,
    knows,
    one_vector,
)
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo, elbo_terms, importance_weighted_bound
from vae_helpers.training import fit

MODELS = {
    "the book's": {},
    "Bernoulli, tanh": {"sigma2": None, "activation": "tanh"},
    "narrow": {"latent_dim": 3, "hidden": (5,), "sigma2": 0.03},
    "no hidden layer": {"latent_dim": 2, "hidden": ()},
}


def made(name: str = "the book's") -> VAE:
    torch.manual_seed(0)
    return VAE(**({"pixels": 30, "hidden": (16, 8)} | MODELS[name]))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def binary(rows: int) -> torch.Tensor:
    return torch.rand(rows, 30, generator=torch.Generator().manual_seed(2)).round()


def gradients(vae: nn.Module) -> list[torch.Tensor]:
    """Copies of the gradients, whose place is then filled with NaN: what is read was written."""
    found = [parameter.grad.clone() for parameter in vae.parameters()]
    for parameter in vae.parameters():
        parameter.grad.fill_(torch.nan)
    return found


# The ELBO


@pytest.mark.parametrize("beta", [0.0, 1.0, 1.7])
@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients_are_those_of_autograd(name, beta):
    vae = made(name)
    expected = elbo_terms(vae, binary(20), generator=seeded())
    (-(expected.log_likelihood - beta * expected.kl).mean()).backward()
    by_autograd = gradients(vae)
    found = ElboGradient(vae)(binary(20), beta=beta, generator=seeded())
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    for ours, theirs in zip(gradients(vae), by_autograd, strict=True):
        # A factor 1 / (B σ²) is rounded once here and twice there; with σ² = ½ the bits agree.
        torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=1e-7)


def test_the_book_s_network_on_a_batch_of_the_book_has_the_same_bits():
    torch.manual_seed(0)
    vae = VAE()
    x = torch.rand(200, 784)
    (-elbo(vae, x, generator=seeded()).mean()).backward()
    by_autograd = gradients(vae)
    ElboGradient(vae)(x, generator=seeded())
    assert all(torch.equal(a, b) for a, b in zip(gradients(vae), by_autograd, strict=True))


def test_batches_of_different_sizes_follow_each_other_in_a_vae_without_gradients():
    vae, x = made(), binary(20)
    gradient = ElboGradient(vae)
    for rows in (20, 7, 20):
        gradient(x[:rows], generator=seeded())
        found = gradients(vae)
        vae.zero_grad()
        (-elbo(vae, x[:rows], generator=seeded()).mean()).backward()
        assert all(torch.equal(a, b) for a, b in zip(found, gradients(vae), strict=True))


class Variant(VAE):
    """A model that is no longer the book's."""


def frozen(vae):
    vae.decoder.requires_grad_(False)


def another_encoder(vae):
    vae.encoder = nn.Linear(30, 8)


def without_offsets(vae):
    vae.decoder.layers[0] = nn.Linear(4, 8, bias=False)


def another_activation(vae):
    vae.encoder.layers[1] = nn.Tanh()


def normed(vae):
    nn.utils.parametrizations.weight_norm(vae.decoder.layers[0])


def watched(vae):
    vae.encoder.layers[0].register_forward_hook(print)


@pytest.mark.parametrize("name", MODELS)
def test_it_knows_every_vae_as_it_was_built_frozen_or_not(name):
    vae = made(name)
    assert knows(vae)
    assert knows(vae.requires_grad_(False))


@pytest.mark.parametrize(
    "change", [another_encoder, without_offsets, another_activation, normed, watched]
)
def test_it_does_not_know_a_vae_that_was_changed(change):
    vae = made()
    change(vae)
    assert not knows(vae)


@pytest.mark.parametrize("kind", [Variant, ConditionalVAE])
def test_it_does_not_know_a_relative(kind):
    assert not knows(kind(pixels=30))


def test_a_known_vae_is_not_differentiated_by_autograd(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "backward", None)
    for name, k in [("the book's", None), ("Bernoulli, tanh", None), ("Bernoulli, tanh", 3)]:
        gradient_of(made(name), k=k)(binary(9), None, 1.0, seeded())
    with pytest.raises(TypeError):
        gradient_of(made(), k=3)(binary(9), None, 1.0, seeded())  # Gaussian pixels: autograd


# The importance-weighted bound


@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_bound_and_its_gradients_are_those_of_autograd(k, activation):
    torch.manual_seed(0)
    vae = VAE(3, (16, 8), pixels=30, sigma2=None, activation=activation).double()
    gradient = ImportanceWeightedGradient(vae, k)
    for rows in (5, 2, 5):  # each over the results of the one before
        x = binary(rows).double()
        found = gradient(x, generator=seeded())
        by_hand = gradients(vae)
        vae.zero_grad()
        expected = importance_weighted_bound(vae, x, k=k, generator=seeded())
        (-expected.mean()).backward()
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        for ours, theirs in zip(by_hand, gradients(vae), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


# One vector


def test_the_vector_holds_the_weights_and_their_gradients():
    vae = made()
    before = [parameter.clone() for parameter in vae.parameters()]
    places = [parameter.data_ptr() for parameter in vae.parameters()]
    with one_vector(vae) as weights:
        assert all(torch.equal(a, b) for a, b in zip(vae.parameters(), before, strict=True))
        assert torch.equal(weights, torch.cat([value.flatten() for value in before]))
        (-elbo(vae, binary(9)).mean()).backward()
        assert torch.equal(weights.grad, torch.cat([p.grad.flatten() for p in vae.parameters()]))
        with torch.no_grad():
            weights.add_(1)
    for parameter, value in zip(vae.parameters(), before, strict=True):
        assert torch.equal(parameter, value + 1)
        assert parameter.grad is None
    assert [parameter.data_ptr() for parameter in vae.parameters()] == places


def test_the_weights_are_where_they_were_after_an_error():
    vae = made()
    state = vae.state_dict()
    with contextlib.suppress(ZeroDivisionError), one_vector(vae) as weights:
        weights.data.fill_(3)
        _ = 1 / 0
    assert all((value == 3).all() for value in state.values())


def test_frozen_weights_stay_outside_the_vector():
    vae = made()
    frozen(vae)
    with one_vector(vae) as weights:
        assert len(weights) == sum(each.numel() for each in vae.encoder.parameters())
        gradient_of(vae)(binary(9), None, 1.0, seeded())
    assert all(each.grad is None for each in vae.parameters())


def test_a_vae_without_a_weight_to_train_is_refused():
    with pytest.raises(ValueError, match="found all of them frozen"):
        fit(made().requires_grad_(False), binary(20), epochs=1, progress=False)


# Tiny moments


def test_moments_below_the_threshold_become_zero_and_others_stay():
    weight = nn.Parameter(torch.zeros(4))
    adam = torch.optim.Adam([weight], fused=True)
    drop_tiny_moments(adam)  # before the first step there are none
    weight.grad = torch.tensor([1e-20, -1e-20, 1e-26, -1e-26])
    adam.step()
    state = adam.state[weight]
    means, squares = state["exp_avg"].clone(), state["exp_avg_sq"].clone()
    drop_tiny_moments(adam)
    assert torch.equal(state["exp_avg"], torch.tensor([means[0], means[1], 0, 0]))
    assert torch.equal(state["exp_avg_sq"], squares)
    assert means[0] > 0 > means[1]
    assert means[2] != 0


def test_a_run_long_enough_for_tiny_moments_takes_the_steps_of_the_plain_loop():
    torch.manual_seed(0)
    plain, fitted = VAE(pixels=32, hidden=(16, 8)), VAE(pixels=32, hidden=(16, 8))
    for vae in (plain, fitted):
        vae.load_state_dict(plain.state_dict())
        with torch.no_grad():
            vae.encoder.layers[0].bias[0] = 0.02  # this unit fires, and stops firing early
            vae.encoder.layers[0].weight[0] = -1e-3
    images = torch.rand(500, 32, generator=seeded())
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3, fused=True)
    noise = torch.Generator().manual_seed(0)
    for _ in range(25):  # of 50 steps
        for indices in torch.randperm(500, generator=noise).split(10):
            adam.zero_grad()
            (-elbo(plain, images[indices], generator=noise).mean()).backward()
            adam.step()
    mean = adam.state[plain.encoder.layers[0].weight]["exp_avg"][0]
    tiny = torch.finfo(torch.float32).tiny
    assert ((mean != 0) & (mean.abs() < tiny)).any()
    fit(fitted, images, epochs=25, batch_size=10, progress=False)
    for ours, theirs in zip(fitted.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
