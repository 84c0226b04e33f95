"""Claims about the networks: the original's sizes, what each method gives, and what is refused."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Bernoulli, Normal

from vae_helpers.checks import check_count, check_labels, check_positive
from vae_helpers.data import binarize
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo, importance_weighted_bound, reparameterize

BOTH = pytest.mark.parametrize("sigma2", [0.25, None])
SMALL = {"latent_dim": 2, "hidden": (5, 3), "pixels": 4}
sizes = st.integers(1, 7)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def widths(network) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in network.layers[::2]]


def test_the_default_is_the_network_of_the_original():
    vae = VAE()
    assert widths(vae.encoder) == [(784, 64), (64, 32), (32, 8)]
    assert widths(vae.decoder) == [(4, 32), (32, 64), (64, 784)]
    assert {type(f) for net in (vae.encoder, vae.decoder) for f in net.layers[1::2]} == {nn.ReLU}
    assert sum(p.numel() for p in vae.parameters() if p.requires_grad) == 105_816
    assert vae.sigma2 == 0.5


@given(sizes, st.lists(sizes, max_size=3), sizes, sizes)
def test_every_size_gives_the_shapes_that_the_names_say(latent_dim, hidden, pixels, batch):
    vae, x = VAE(latent_dim, hidden, pixels=pixels), torch.rand(batch, pixels)
    output = vae(x)
    assert output.x_mean.shape == vae.reconstruct(x).shape == vae.sample(batch).shape == x.shape
    assert {output.mu.shape, output.logvar.shape, output.z.shape} == {(batch, latent_dim)}
    assert vae.log_likelihood(x, torch.zeros(7, batch, latent_dim)).shape == (7, batch)
    assert widths(vae.encoder) == list(pairwise([pixels, *hidden, 2 * latent_dim]))
    assert widths(vae.decoder) == list(pairwise([latent_dim, *reversed(hidden), pixels]))


def test_encode_gives_the_first_half_of_the_last_layer_as_mu_and_the_second_as_logvar():
    vae = VAE()
    with torch.no_grad():
        vae.encoder.layers[-1].weight.zero_()
        vae.encoder.layers[-1].bias.copy_(torch.arange(8.0))
    mu, logvar = vae.encode(torch.rand(3, 784))
    assert mu.tolist() == [[0, 1, 2, 3]] * 3
    assert logvar.tolist() == [[4, 5, 6, 7]] * 3


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (5, 3, 4)])
def test_decode_is_the_sigmoid_of_the_last_layer_for_a_batch_of_any_shape(shape):
    vae, z = VAE().double(), torch.randn(shape, dtype=torch.float64)
    x_mean = vae.decode(z)
    assert x_mean.shape == (*shape[:-1], 784)
    one_by_one = torch.stack([1 / (1 + (-vae.decoder.layers(p)).exp()) for p in z.reshape(-1, 4)])
    torch.testing.assert_close(x_mean.reshape(-1, 784), one_by_one)


def test_tanh_stands_where_relu_stood():
    vae, x = VAE(**SMALL, activation="tanh"), torch.rand(3, 4)
    first, _, second, _, last = vae.encoder.layers
    by_hand = last(second(first(x).tanh()).tanh())
    assert torch.equal(torch.cat(vae.encode(x), -1), by_hand)
    assert {type(f) for f in vae.decoder.layers[1::2]} == {nn.Tanh}


@BOTH
def test_log_likelihood_is_that_of_torch_distributions_for_any_number_of_samples(sigma2):
    vae, x = VAE(**SMALL, sigma2=sigma2).double(), torch.rand(3, 4).round().double()
    z = torch.randn(5, 3, 2, generator=seeded(), dtype=torch.float64)  # (K, B, L)
    pixels = Normal(vae.decode(z), 0.5) if sigma2 else Bernoulli(vae.decode(z))
    torch.testing.assert_close(vae.log_likelihood(x, z), pixels.log_prob(x).sum(-1))


def test_forward_encodes_samples_and_decodes():
    vae, x = VAE(), torch.rand(3, 784)
    output = vae(x, generator=seeded())
    mu, logvar = vae.encode(x)
    z = reparameterize(mu, logvar, generator=seeded())
    for found, expected in zip(output, (vae.decode(z), mu, logvar, z), strict=True):
        assert torch.equal(found, expected)


def test_sample_decodes_points_of_the_prior_and_reconstruct_the_mean_of_q():
    vae, x = VAE().double(), torch.rand(3, 784, dtype=torch.float64)
    z = torch.randn(3, 4, generator=seeded(), dtype=torch.float64)
    assert torch.equal(vae.sample(3, generator=seeded()), vae.decode(z))
    assert torch.equal(vae.reconstruct(x), vae.decode(vae.encode(x)[0]))
    assert not vae.sample(3).requires_grad
    assert not vae.reconstruct(x).requires_grad


@BOTH
def test_the_gradient_of_the_loss_is_that_of_finite_differences(sigma2):
    torch.manual_seed(0)
    vae, x = VAE(**SMALL, sigma2=sigma2).double(), torch.rand(6, 4).round().double()

    def loss(*_):  # gradcheck moves the weights in place
        return -elbo(vae, x, generator=seeded()).mean()

    assert torch.autograd.gradcheck(loss, tuple(vae.parameters()))


def test_the_repair_that_a_message_names_repairs():
    vae = VAE()
    vae.encode(torch.full((2, 784), 255, dtype=torch.uint8).float() / 255)
    vae.encode(torch.as_tensor([[0.5] * 784], dtype=torch.float32))
    vae.encode(torch.cat([torch.zeros(1, 28, 28), torch.ones(1, 28, 28)]).flatten(1))
    VAE(sigma2=None).encode(binarize(torch.rand(2, 784), generator=seeded()))


def pixel(value: float) -> torch.Tensor:
    return torch.zeros(2, 784).index_fill(1, torch.tensor([9]), value)


SIZE = r"a size must be a whole number of at least 1; found .*\. The book has latent_dim=4"
VARIANCE = r"sigma2 must be positive and finite; found .*\. Try 0\.5, or None"
ENCODE, DECODE = VAE().encode, VAE().decode
LABELS = r"labels must be a tensor of torch\.int64 of shape \(B,\); found "
OUTSIDE = r"labels must lie in 0 to 2; found (0 to 3|-1 to 2)\. Remove"


@pytest.mark.parametrize(
    ("door", "values", "message"),
    [
        (lambda size: VAE(size), [0, -1, 2.0, "4", None, True], SIZE),
        (lambda size: VAE(pixels=size), [0], SIZE),
        (lambda size: VAE(hidden=(64, size)), [0], SIZE),
        (lambda sigma2: VAE(sigma2=sigma2), [0, -0.5, math.nan, math.inf, True, "1"], VARIANCE),
        (lambda name: VAE(activation=name), ["gelu"], "must be relu or tanh; found 'gelu'. Try"),
        (ENCODE, [pixel(0).byte()], r"torch\.float32 .*; found torch\.uint8.*x\.float\(\) / 255"),
        (ENCODE, [pixel(0).double()], r"found torch\.float64.*as_tensor\(x, dtype=torch\.float32"),
        (ENCODE, [[[0.0] * 784], np.zeros((2, 784))], r"found (list|ndarray).*torch\.as_tensor"),
        (ENCODE, [torch.zeros(2, 28, 28)], r"\(B, 784\) .*\(2, 28, 28\)\. Flatten .*flatten\(1\)"),
        (ENCODE, [torch.zeros(2, 783)], r"\(B, 784\) .*; found \(2, 783\)\. Make VAE\(pixels=783"),
        (ENCODE, [torch.zeros(784), torch.zeros(0, 784)], r"\(B, 784\) with B >= 1; found "),
        (ENCODE, [torch.zeros(2, 784, device="meta")], r"weights, cpu; found meta.*to\('cpu'\)"),
        (ENCODE, [pixel(-0.5), pixel(1.001), pixel(math.nan)], r"\[0, 1\]; found .* Rescale them"),
        (VAE(sigma2=None).encode, [pixel(0.5)], r"binary, .* found grey .*data\.binarize\(x\)"),
        (lambda k: importance_weighted_bound(VAE(), pixel(0), k=k), [0, 2.5], "k must .*Use 1 for"),
        (DECODE, [torch.zeros(2, 5), torch.zeros(())], r"z must have shape \(B, 4\); found .*Give"),
        (lambda n: check_count("n", n, "Use 0.", least=0), [-1, 0.0], "at least 0; found .*Use 0"),
        (lambda b: check_positive("b", b, "Go.", zero=True), [-1, math.inf], "at least 0 and .*Go"),
        (lambda y: check_labels(y, 3), [torch.arange(4), torch.arange(-1, 3)], OUTSIDE),
        (lambda y: check_labels(y, 3), [torch.zeros(2), torch.tensor(1), [0, 1]], LABELS),
        (lambda y: check_labels(y, 3), [torch.tensor([]).long()], "found 0 for any images"),
        (lambda y: check_labels(y, 3, 9), [torch.arange(3)], "found 3 for 9 images. Take both"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_found_and_the_repair(door, values, message):
    for value in values:
        with pytest.raises(ValueError, match=f"(?s){message}"):
            door(value)


def test_what_just_fits_is_taken():
    check_count("n", 0, "", least=0)
    check_positive("beta", 0, "", zero=True)
    check_labels(torch.arange(3), 3, 3)
    assert VAE(1, (), pixels=1, sigma2=1e-9)(torch.ones(1, 1)).x_mean.shape == (1, 1)
