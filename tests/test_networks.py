"""Claims about the networks: the original's sizes, the sampler, and what is refused."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vae_helpers.data import binarize
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo


def layers(network) -> list:
    """A network as (in, out) for each linear layer and a name for each other one."""
    return [
        (layer.in_features, layer.out_features)
        if isinstance(layer, nn.Linear)
        else type(layer).__name__
        for layer in network.layers
    ]


# The architecture


def test_encoder_is_that_of_the_original():
    assert layers(VAE().encoder) == [(784, 64), "ReLU", (64, 32), "ReLU", (32, 8)]


def test_decoder_is_that_of_the_original():
    assert layers(VAE().decoder) == [(4, 32), "ReLU", (32, 64), "ReLU", (64, 784)]


def test_vae_has_as_many_parameters_as_the_original():
    assert sum(p.numel() for p in VAE().parameters()) == 105_816
    assert all(p.requires_grad for p in VAE().parameters())


def test_variance_is_one_half_unless_told():
    assert VAE().sigma2 == 0.5


def test_decoder_ends_in_a_sigmoid():
    vae, z = VAE(), torch.randn(3, 4)
    torch.testing.assert_close(vae.decode(z), torch.sigmoid(vae.decoder.layers(z)))
    with torch.no_grad():
        vae.decoder.layers[-1].bias.copy_(torch.linspace(-200, 200, 784))
    x_mean = vae.decode(z)
    assert (x_mean.min().item(), x_mean.max().item()) == (0, 1)


def test_encode_gives_the_first_half_of_the_last_layer_as_mu_and_the_second_as_logvar():
    vae, x = VAE(), torch.rand(3, 784)
    mu, logvar = vae.encode(x)
    torch.testing.assert_close(torch.cat([mu, logvar], 1), vae.encoder.layers(x))
    with torch.no_grad():
        vae.encoder.layers[-1].weight.zero_()
        vae.encoder.layers[-1].bias.copy_(torch.arange(8.0))
    mu, logvar = vae.encode(x)
    assert mu.tolist() == [[0, 1, 2, 3]] * 3
    assert logvar.tolist() == [[4, 5, 6, 7]] * 3


@given(
    st.integers(1, 5),
    st.lists(st.integers(1, 7), max_size=3),
    st.integers(1, 9),
    st.integers(1, 4),
)
def test_every_size_gives_the_shapes_that_the_names_say(latent_dim, hidden, pixels, batch):
    vae = VAE(latent_dim, hidden, pixels=pixels)
    output = vae(torch.rand(batch, pixels))
    assert output.x_mean.shape == (batch, pixels)
    assert {output.mu.shape, output.logvar.shape, output.z.shape} == {(batch, latent_dim)}
    widths = [pixels, *hidden, 2 * latent_dim]
    assert layers(vae.encoder)[::2] == list(pairwise(widths))
    widths = [latent_dim, *reversed(hidden), pixels]
    assert layers(vae.decoder)[::2] == list(pairwise(widths))


def test_forward_encodes_samples_and_decodes():
    vae, x = VAE(), torch.rand(3, 784)
    output = vae(x, generator=torch.Generator().manual_seed(0))
    mu, logvar = vae.encode(x)
    z = vae.reparameterize(mu, logvar, generator=torch.Generator().manual_seed(0))
    for found, expected in zip(output, (vae.decode(z), mu, logvar, z), strict=True):
        assert torch.equal(found, expected)


def test_a_batch_of_one_is_a_batch():
    assert VAE()(torch.rand(1, 784)).x_mean.shape == (1, 784)


def test_one_latent_point_without_a_batch_is_decoded_and_one_of_many_latents():
    vae = VAE(300, (3,), pixels=4)
    assert vae.decode(torch.zeros(300)).shape == (4,)


def test_an_image_is_encoded_alike_alone_and_in_a_batch():
    vae, x = VAE().double(), torch.rand(5, 784, dtype=torch.float64)
    for together, alone in zip(vae.encode(x), vae.encode(x[2:3]), strict=True):
        torch.testing.assert_close(together[2:3], alone)


class Loss(nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, x):
        return -elbo(self.vae, x, generator=torch.Generator().manual_seed(0)).elbo.mean()


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    torch.manual_seed(0)
    loss, x = Loss(VAE(2, (5, 3), pixels=4).double()), torch.rand(6, 4, dtype=torch.float64)
    names, values = zip(*loss.named_parameters(), strict=True)

    def at(*values):
        return torch.func.functional_call(loss, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(at, values)


# The sampler


def draws(mu: list, logvar: list, count: int = 200_000) -> torch.Tensor:
    """As many samples of one q(z|x), in one batch."""
    mu, logvar = (torch.tensor([v], dtype=torch.float64).expand(count, -1) for v in (mu, logvar))
    return VAE().reparameterize(mu, logvar, generator=torch.Generator().manual_seed(0))


def test_samples_have_the_mean_and_the_variance_of_q_and_independent_latents():
    mu, logvar = [1.0, -2.0, 0.0], [math.log(4), math.log(0.01), 0.0]
    z = draws(mu, logvar)
    epsilon = (z - torch.tensor(mu)) / torch.tensor(logvar).double().div(2).exp()
    # The standard error of a mean of n = 200,000 is 1/√n = 0.0022, that of a variance √2/√n,
    # and that of a correlation 1/√n: 0.015 is at least 4.7 of them.
    torch.testing.assert_close(
        epsilon.T.cov(), torch.eye(3, dtype=torch.float64), atol=0.015, rtol=0
    )
    torch.testing.assert_close(
        epsilon.mean(0), torch.zeros(3, dtype=torch.float64), atol=0.015, rtol=0
    )


def test_a_sample_is_mu_plus_the_noise_of_the_generator_times_the_standard_deviation():
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[4.0, 0.25]]).log()
    z = VAE().reparameterize(mu, logvar, generator=torch.Generator().manual_seed(0))
    epsilon = torch.randn(1, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(z, mu + torch.tensor([[2.0, 0.5]]) * epsilon)


def test_options_are_given_by_name():
    vae, x, g = VAE(2, (3,), pixels=4), torch.rand(1, 4), torch.Generator()
    for call in (
        lambda: VAE(2, (3,), 4),
        lambda: vae.reparameterize(*vae.encode(x), g),
        lambda: vae(x, g),
    ):
        with pytest.raises(TypeError, match="positional"):
            call()


def test_samples_are_normal():
    below = [(draws([0.0], [0.0]) < quantile).double().mean().item() for quantile in (-1, 0, 2)]
    # Φ(−1), Φ(0), Φ(2); the standard error of a share of n = 200,000 is at most 0.5/√n = 0.0011.
    assert below == pytest.approx([0.15866, 0.5, 0.97725], abs=0.005)


def test_every_image_and_every_call_has_noise_of_its_own():
    vae, zeros, g = VAE(), torch.zeros(50, 4), torch.Generator().manual_seed(0)
    z = torch.cat([vae.reparameterize(zeros, zeros, generator=g) for _ in range(2)])
    assert len(z.unique()) == 400


@given(st.floats(-3, 3), st.floats(-6, 6))
def test_the_gradient_passes_through_the_sample(mu, logvar):
    mu, logvar = (
        torch.tensor([[v]], dtype=torch.float64, requires_grad=True) for v in (mu, logvar)
    )
    z = VAE().reparameterize(mu, logvar, generator=torch.Generator().manual_seed(0))
    dmu, dlogvar = torch.autograd.grad(z.sum(), (mu, logvar))
    torch.testing.assert_close(dmu, torch.ones_like(mu))
    torch.testing.assert_close(dlogvar, (z - mu).detach() / 2)  # d(σ ε)/dℓ = σ ε / 2


def test_sampling_repeats_under_a_seed_and_leaves_the_global_generator_alone():
    vae, zeros = VAE(), torch.zeros(2, 4)
    state = torch.get_rng_state()
    first, again = (
        vae.reparameterize(zeros, zeros, generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)


# What is refused, and what the message says


@pytest.mark.parametrize("size", [0, -1, 2.0, 2.5, "4", None, True])
def test_sizes_that_are_no_positive_whole_numbers_are_refused(size):
    message = "must be a whole number of at least 1; found .* has latent_dim=4"
    for make in (
        lambda: VAE(size),
        lambda: VAE(pixels=size),
        lambda: VAE(hidden=(64, size)),
    ):
        with pytest.raises(ValueError, match=message):
            make()


# float("inf") is equal to math.inf, but another object.
@pytest.mark.parametrize("sigma2", [0, -0.5, math.nan, math.inf, float("inf")])
def test_a_variance_that_is_not_positive_and_finite_is_refused(sigma2):
    with pytest.raises(ValueError, match=r"positive and finite; found .*\. Try 0\.5"):
        VAE(sigma2=sigma2)


@pytest.mark.parametrize(
    ("images", "found", "repair"),
    [
        (torch.zeros(2, 784, dtype=torch.uint8), "torch.uint8", r"x\.float\(\) / 255"),
        (torch.zeros(2, 784, dtype=torch.float64), "torch.float64", "dtype=torch.float32"),
        (torch.zeros(2, 784, dtype=torch.int64), "torch.int64", "dtype=torch.float32"),
        ([[0.0] * 784], "list", r"torch\.as_tensor\(x, dtype=torch\.float32\)"),
        (np.zeros((2, 784), np.float32), "ndarray", r"torch\.as_tensor"),
        (torch.zeros(2, 783), r"\(2, 783\)", "reshape"),
        (torch.zeros(2, 785), r"\(2, 785\)", "reshape"),
        (torch.zeros(2, 784, 2), r"\(2, 784, 2\)", "reshape"),
        (torch.zeros(784), r"\(784,\)", "reshape"),
        (torch.zeros(2, 28, 28), r"\(2, 28, 28\)", r"reshape\(-1, 784\)"),
        (torch.zeros(0, 784), r"\(0, 784\)", "leave no batch empty"),
        (torch.full((2, 784), -0.5), "from -0.5", "Rescale"),
        (torch.full((2, 784), 1.001), "to 1.00", "Rescale"),
        (torch.full((2, 784), 255.0), "to 255", "Rescale"),
        (torch.zeros(2, 784).index_fill(1, torch.tensor([9]), math.nan), "nan", "not a number"),
        (torch.zeros(2, 784).index_fill(1, torch.tensor([9]), math.inf), "to inf", "not a number"),
        (torch.zeros(2, 784).index_fill(1, torch.tensor([9]), -math.inf), "from -inf", "Rescale"),
        (torch.zeros(2, 784, device="meta"), "meta", r"x\.to\('cpu'\)"),
    ],
)
def test_images_that_do_not_fit_are_refused_with_what_was_found_and_the_repair(
    images, found, repair
):
    for use in (VAE().encode, VAE(), lambda x: elbo(VAE(), x)):
        with pytest.raises(ValueError, match=rf"(?s)images must .*found .*{found}.*{repair}"):
            use(images)


def test_the_repair_that_the_message_names_repairs():
    VAE().encode(torch.full((2, 784), 255, dtype=torch.uint8).float() / 255)
    VAE().encode(torch.as_tensor([[0.5] * 784], dtype=torch.float32))
    VAE().encode(torch.rand(2, 28, 28).reshape(-1, 784))


def test_both_ends_of_the_range_are_images():
    VAE().encode(torch.cat([torch.zeros(1, 784), torch.ones(1, 784)]))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (5, 3, 4)])
def test_latent_points_are_decoded_in_a_batch_of_any_shape(shape):
    vae, z = VAE(), torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x_mean = vae.decode(z)
    assert x_mean.shape == (*shape[:-1], 784)
    one_by_one = torch.stack([vae.decode(point[None])[0] for point in z.reshape(-1, 4)])
    # 32-bit sums of 64 products, in another order.
    torch.testing.assert_close(x_mean.reshape(-1, 784), one_by_one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 5), (3,), (), (4, 1)])
def test_latent_points_of_another_number_of_latents_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(B, 4\); found .*\. Give one value"):
        VAE().decode(torch.zeros(shape))


# Bernoulli pixels, and the other activation


def bernoulli_vae(**sizes) -> VAE:
    torch.manual_seed(0)
    return VAE(**({"latent_dim": 2, "hidden": (5,), "pixels": 4, "sigma2": None} | sizes))


def test_the_sigmoid_of_the_logits_is_the_mean_image():
    vae, z = bernoulli_vae(), torch.randn(3, 2)
    assert torch.equal(vae.logits(z).sigmoid(), vae.decode(z))
    with pytest.raises(ValueError, match=r"z must have shape \(B, 2\); found \(3, 4\)"):
        vae.logits(torch.zeros(3, 4))


def test_tanh_stands_where_relu_stood():
    x = torch.rand(3, 4)
    vae = bernoulli_vae(activation="tanh", hidden=(5, 3))
    first, _, second, _, last = vae.encoder.layers
    by_hand = last(second(first(x).tanh()).tanh())
    mu, logvar = vae.encoder(x)
    assert torch.equal(torch.cat([mu, logvar], -1), by_hand)
    assert [type(layer).__name__ for layer in vae.decoder.layers].count("Tanh") == 2
    assert VAE().activation == "relu"


def test_an_activation_of_another_name_is_refused():
    with pytest.raises(ValueError, match=r"one of relu, tanh; found 'gelu'"):
        VAE(activation="gelu")


def test_grey_images_under_bernoulli_pixels_are_refused_with_the_function_that_binarizes():
    vae, grey = bernoulli_vae(), torch.tensor([[0.0, 1.0, 0.5, 1.0]])
    with pytest.raises(ValueError, match=r"binary, 0 or 1.*vae_helpers\.data\.binarize\(x\)"):
        vae.encode(grey)
    vae.encode(binarize(grey))
    vae.encode(grey.round())
    VAE(2, (5,), pixels=4).encode(grey)  # a Gaussian takes them
