"""Claims about the aggregate posterior: the density of a mixture, exact and in any chunks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vae_helpers import evaluation
from vae_helpers.evaluation import log_aggregate_posterior


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 5), st.integers(0, 10_000))
def test_it_is_the_density_of_the_mixture(points, images, latent_dim, seed):
    generator = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(points, latent_dim, generator=generator).double()
    mu = torch.randn(images, latent_dim, generator=generator).double()
    logvar = 4 * torch.rand(images, latent_dim, generator=generator).double() - 5
    parts = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(images).double()), parts)
    found = log_aggregate_posterior(z, mu, logvar)
    # 64 bits, of terms that nearly cancel: z² / σ² is up to 10⁴
    torch.testing.assert_close(found, mixture.log_prob(z), rtol=1e-10, atol=1e-9)


def test_32_bits_lose_nothing_far_from_the_centre():
    mu, logvar = torch.full((2, 1), 30.0), torch.full((2, 1), -8.0)
    z = torch.tensor([[30.0], [30.01]])
    exact = Normal(30.0, math.exp(-4)).log_prob(z.double())[:, 0]
    found = log_aggregate_posterior(z, mu, logvar)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


def test_chunks_change_nothing(monkeypatch):
    z, mu, logvar = torch.randn(7, 2), torch.randn(5, 2), torch.randn(5, 2)
    whole = log_aggregate_posterior(z, mu, logvar)
    for size in (1, 5, 12):
        monkeypatch.setattr(evaluation, "_VALUES_AT_ONCE", size)
        assert torch.equal(log_aggregate_posterior(z, mu, logvar), whole)


def test_no_image_is_refused():
    with pytest.raises(ValueError, match=r"at least one image; found mu of shape \(0, 2\)"):
        log_aggregate_posterior(torch.zeros(3, 2), torch.zeros(0, 2), torch.zeros(0, 2))


@pytest.mark.parametrize(
    ("z", "mu", "logvar"),
    [((3, 2), (4, 2), (4, 1)), ((3, 1), (4, 2), (4, 2)), ((2,), (4, 2), (4, 2))],
)
def test_shapes_that_do_not_fit_are_refused(z, mu, logvar):
    with pytest.raises(ValueError, match=r"expected z \(M, L\), mu \(N, L\)"):
        log_aggregate_posterior(torch.zeros(z), torch.zeros(mu), torch.zeros(logvar))
