"""Claims about the gradients by hand: they are autograd's, and one vector holds all weights."""

import math
import sys

import pytest
import torch
from torch import nn

from vae_helpers.conditional import ConditionalVAE
from vae_helpers.gradients import (
    ElboGradient,
    ImportanceWeightedGradient,
    one_vector,
    tiny_numbers_as_zero,
)
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo, importance_weighted_bound

MODELS = {
    "the book's": {},
    "Bernoulli, tanh": {"sigma2": None, "activation": "tanh"},
    "narrow": {"latent_dim": 3, "hidden": (5,), "sigma2": 0.03},
    "no hidden layer": {"latent_dim": 2, "hidden": ()},
}


def made(name: str, dtype: torch.dtype = torch.float32) -> VAE:
    torch.manual_seed(0)
    return VAE(**({"pixels": 30, "hidden": (16, 8)} | MODELS[name])).to(dtype)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def binary(rows: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(rows, 30, generator=torch.Generator().manual_seed(2)).round().to(dtype)


def gradients(vae: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in vae.parameters()]


# The ELBO


@pytest.mark.parametrize("beta", [0.0, 1.0, 1.7])
@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients_are_those_of_autograd(name, beta):
    vae = made(name)
    expected = elbo(vae, binary(20), beta=beta, generator=seeded())
    (-expected.elbo.mean()).backward()
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
    (-elbo(vae, x, generator=seeded()).elbo.mean()).backward()
    by_autograd = gradients(vae)
    ElboGradient(vae)(x, generator=seeded())
    assert all(torch.equal(a, b) for a, b in zip(gradients(vae), by_autograd, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_the_slope_of_the_loss(name):
    vae, x = made(name, torch.float64), binary(7, torch.float64)
    with one_vector(vae) as weights:
        ElboGradient(vae)(x, generator=seeded())
        direction = torch.randn(weights.shape, generator=seeded(), dtype=torch.float64)
        values = []
        with torch.no_grad():
            for step in (1e-6, -2e-6):  # to one side of the weights, then to the other
                weights.add_(step * direction)
                values.append(-elbo(vae, x, generator=seeded()).elbo.mean())
        slope = (values[0] - values[1]) / 2e-6
        torch.testing.assert_close(slope, weights.grad @ direction, rtol=1e-5, atol=1e-6)


def test_batches_of_different_sizes_follow_each_other():
    vae, x = made("the book's"), binary(20)
    gradient = ElboGradient(vae)
    with one_vector(vae):
        gradient(x, generator=seeded())
        gradient(x[:7], generator=seeded())
        short = gradients(vae)
    (-elbo(vae, x[:7], generator=seeded()).elbo.mean()).backward()
    assert all(torch.equal(a, b) for a, b in zip(short, gradients(vae), strict=True))


def test_it_knows_the_vae_itself_and_no_variant():
    class Other(VAE):
        pass

    assert ElboGradient.knows(VAE(pixels=30))
    assert not ElboGradient.knows(Other(pixels=30))
    assert not ElboGradient.knows(ConditionalVAE(pixels=30))
    frozen, replaced = VAE(pixels=30), VAE(pixels=30)
    frozen.decoder.requires_grad_(False)
    replaced.encoder = nn.Linear(30, 8)
    assert not ElboGradient.knows(frozen)
    assert not ElboGradient.knows(replaced)


# The importance-weighted bound


@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_bound_and_its_gradients_are_those_of_autograd(k, activation):
    torch.manual_seed(0)
    vae = VAE(3, (16, 8), pixels=30, sigma2=None, activation=activation).double()
    x = binary(5, torch.float64)
    expected = importance_weighted_bound(vae, x, k=k, generator=seeded())
    (-expected.mean()).backward()
    by_autograd = gradients(vae)
    gradient = ImportanceWeightedGradient(vae, k)
    for _ in range(2):  # the second time into memory that is there
        found = gradient(x, generator=seeded())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        for ours, theirs in zip(gradients(vae), by_autograd, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


def test_batches_of_different_sizes_have_their_own_bound():
    torch.manual_seed(0)
    vae = VAE(3, (16, 8), pixels=30, sigma2=None).double()
    gradient = ImportanceWeightedGradient(vae, 4)
    with one_vector(vae):
        for rows in (5, 2):
            x = binary(rows, torch.float64)
            expected = importance_weighted_bound(vae, x, k=4, generator=seeded())
            found = gradient(x, generator=seeded())
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


# One vector


def test_the_vector_holds_the_weights_and_their_gradients():
    vae = made("the book's")
    before = [parameter.clone() for parameter in vae.parameters()]
    with one_vector(vae) as weights:
        assert all(torch.equal(a, b) for a, b in zip(vae.parameters(), before, strict=True))
        assert torch.equal(weights, torch.cat([value.flatten() for value in before]))
        (-elbo(vae, binary(9)).elbo.mean()).backward()
        assert torch.equal(weights.grad, torch.cat([g.flatten() for g in gradients(vae)]))
        with torch.no_grad():
            weights.add_(1)
    for parameter, value in zip(vae.parameters(), before, strict=True):
        assert torch.equal(parameter, value + 1)
        assert parameter.grad is None
        assert parameter.untyped_storage().nbytes() == parameter.nbytes


def test_the_weights_have_their_own_memory_again_after_an_error():
    vae = made("the book's")
    with pytest.raises(ZeroDivisionError), one_vector(vae):
        _ = 1 / 0
    memory = {parameter.untyped_storage().data_ptr() for parameter in vae.parameters()}
    assert len(memory) == len(list(vae.parameters()))


def test_adam_on_the_vector_takes_the_steps_of_adam_on_the_parameters():
    one, many = made("the book's"), made("the book's")
    adam = torch.optim.Adam(many.parameters(), lr=0.01, fused=True)
    with one_vector(one) as weights:
        adam_of_one = torch.optim.Adam([weights], lr=0.01, fused=True)
        for step in range(5):
            noise = torch.Generator().manual_seed(step)
            ElboGradient(one)(binary(9), generator=noise)
            for ours, theirs in zip(one.parameters(), many.parameters(), strict=True):
                theirs.grad = ours.grad.clone()
            adam_of_one.step()
            adam.step()
            # The last few numbers of a tensor take another path through the kernel.
            for ours, theirs in zip(one.parameters(), many.parameters(), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


# Tiny numbers

TINY = sys.float_info.min


def test_tiny_numbers_are_zero_in_the_block_only():
    assert TINY / 2 > 0
    with tiny_numbers_as_zero():
        assert TINY / 2 == 0
        assert (torch.full((100,), 1e-30) * 1e-10 == 0).all()
    assert TINY / 2 > 0


def test_a_mode_that_was_set_before_stays_set():
    torch.set_flush_denormal(True)
    try:
        with tiny_numbers_as_zero():
            pass
        assert TINY / 2 == 0
    finally:
        torch.set_flush_denormal(False)


def test_an_error_in_the_block_ends_the_mode():
    with pytest.raises(ZeroDivisionError), tiny_numbers_as_zero():
        _ = 1 / 0
    assert math.nextafter(0, 1) / 1 > 0
