"""Claims about the conditional VAE: the label reaches both networks, and is checked on its way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_helpers.checkpoints import load_vae, save_vae
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.evaluation import score
from vae_helpers.networks import VAE
from vae_helpers.objectives import (
    bernoulli_log_likelihood,
    elbo,
    gaussian_log_likelihood,
    importance_weighted_bound,
    kl_divergence,
)
from vae_helpers.training import fit

LABELS = torch.tensor([2, 0, 1, 2, 2])


@pytest.fixture
def small() -> ConditionalVAE:
    torch.manual_seed(0)
    return ConditionalVAE(2, (8, 5), classes=3, pixels=6, sigma2=0.25)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(5, 6, generator=torch.Generator().manual_seed(1))


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Shapes


@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 5), max_size=3),
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(1, 4),
)
def test_every_size_gives_the_shapes_that_the_names_say(latent_dim, hidden, classes, pixels, batch):
    vae = ConditionalVAE(latent_dim, hidden, classes=classes, pixels=pixels)
    labels = torch.arange(batch) % classes
    model = vae.given(labels)
    mu, logvar = model.encode(torch.rand(batch, pixels))
    z = model.reparameterize(mu, logvar)
    assert {mu.shape, logvar.shape, z.shape} == {(batch, latent_dim)}
    assert model.decode(z).shape == model.logits(z).shape == (batch, pixels)
    many = torch.randn(3, batch, latent_dim)  # as the importance-weighted bound decodes it
    assert model.decode(many).shape == (3, batch, pixels)


def test_both_networks_read_as_many_more_numbers_as_there_are_labels():
    conditional, plain = ConditionalVAE(), VAE()
    first = conditional.encoder.layers[0], conditional.decoder.layers[0]
    assert [layer.in_features for layer in first] == [784 + 10, 4 + 10]
    more = sum(p.numel() for p in conditional.parameters()) - sum(
        p.numel() for p in plain.parameters()
    )
    assert more == 10 * 64 + 10 * 32


def test_decode_is_the_sigmoid_of_the_logits(small):
    z = torch.randn(5, 2)
    model = small.given(LABELS)
    torch.testing.assert_close(model.decode(z), torch.sigmoid(model.logits(z)))


def test_samples_of_one_image_meet_the_label_of_that_image(small):
    many = torch.randn(3, 5, 2)
    together = small.given(LABELS).decode(many)
    for row, label in enumerate(LABELS):
        alone = small.given(label.repeat(3)).decode(many[:, row])
        torch.testing.assert_close(together[:, row], alone)


# The label matters, and is the right one


def test_another_label_gives_another_code_and_another_image(small, x):
    z = torch.randn(5, 2)
    ones = small.given(torch.ones(5, dtype=torch.int64))
    twos = small.given(torch.full((5,), 2))
    assert not torch.isclose(ones.encode(x)[0], twos.encode(x)[0]).any()
    assert not torch.isclose(ones.decode(z), twos.decode(z)).any()


def test_a_row_depends_on_its_own_label_only(small, x):
    other = LABELS.clone()
    other[1] = 2
    z = torch.randn(5, 2)
    before, after = (small.given(labels) for labels in (LABELS, other))
    changed = [
        (a != b).any(1).tolist()
        for a, b in [(before.encode(x)[0], after.encode(x)[0]), (before.decode(z), after.decode(z))]
    ]
    assert changed == [[False, True, False, False, False]] * 2


def test_a_label_adds_its_column_of_the_first_layer(small, x):
    first = small.encoder.layers[0]
    for label in range(3):
        column = first.weight[:, 6 + label]
        by_hand = x @ first.weight[:, :6].T + column + first.bias
        rest = small.encoder.layers[1:](by_hand)
        mu, logvar = small.given(torch.full((5,), label)).encode(x)
        torch.testing.assert_close(torch.cat([mu, logvar], 1), rest)


# The bounds run on it


def test_the_elbo_is_that_of_its_parts(small, x):
    model = small.given(LABELS)
    parts = elbo(model, x, generator=noise())
    mu, logvar = model.encode(x)
    z = mu + (0.5 * logvar).exp() * torch.randn(5, 2, generator=noise())
    expected = gaussian_log_likelihood(x, model.decode(z), sigma2=0.25)
    torch.testing.assert_close(parts.log_likelihood, expected)
    torch.testing.assert_close(parts.elbo, expected - kl_divergence(mu, logvar))


def test_binary_pixels_take_the_bernoulli_likelihood(x):
    torch.manual_seed(0)
    model = ConditionalVAE(2, (8,), classes=3, pixels=6, sigma2=None).given(LABELS)
    x = x.round()
    parts = elbo(model, x, generator=noise())
    mu, logvar = model.encode(x)
    z = mu + (0.5 * logvar).exp() * torch.randn(5, 2, generator=noise())
    torch.testing.assert_close(parts.log_likelihood, bernoulli_log_likelihood(x, model.logits(z)))


@torch.no_grad()
def test_more_samples_raise_the_bound_of_every_image(small, x):
    model = small.given(LABELS)
    one = torch.stack([elbo(model, x, generator=noise(seed)).elbo for seed in range(2000)])
    tight = importance_weighted_bound(model, x, k=20_000, generator=noise())
    assert (one.mean(0) - 4 * one.std(0) / 2000**0.5 <= tight).all()


def test_score_gives_each_image_its_label():
    torch.manual_seed(0)
    vae = ConditionalVAE(2, (4,), classes=3, pixels=2)
    images, labels = torch.rand(10_001, 2), torch.arange(10_001) % 3  # longer than one chunk
    with torch.no_grad():
        mu, logvar = vae.given(labels).encode(images)
    torch.testing.assert_close(score(vae, images, labels=labels).kl, kl_divergence(mu, logvar))


# Gradients


def test_the_elbo_has_a_gradient_in_every_weight_of_a_label_that_occurs(small, x):
    (-elbo(small.given(LABELS), x).elbo.mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in small.parameters())
    encoder, decoder = (net.layers[0].weight.grad for net in (small.encoder, small.decoder))
    for gradient in (encoder[:, 6:], decoder[:, 2:]):
        assert (gradient != 0).any(0).tolist() == [True, True, True]


def test_a_label_that_does_not_occur_has_no_gradient(small, x):
    (-elbo(small.given(torch.tensor([0, 2, 0, 2, 2])), x).elbo.mean()).backward()
    encoder, decoder = (net.layers[0].weight.grad for net in (small.encoder, small.decoder))
    for gradient in (encoder[:, 6:], decoder[:, 2:]):
        assert (gradient != 0).any(0).tolist() == [True, False, True]


# What is refused


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (torch.tensor([0, 3]), r"0 to 2; found 0 to 3\. Remove"),
        (torch.tensor([-1, 2]), r"0 to 2; found -1 to 2\. Remove"),
        (torch.tensor([0.0, 1.0]), r"torch\.int64 .*; found torch\.float32 .*\. Take them"),
        (torch.tensor([True, False]), r"torch\.int64 .*; found torch\.bool"),
        (torch.tensor([0, 1], dtype=torch.int32), r"torch\.int64 .*; found torch\.int32"),
        (torch.tensor([[0, 1]]), r"shape \(B,\); found torch\.int64 of shape \(1, 2\)"),
        (torch.tensor(1), r"shape \(B,\); found torch\.int64 of shape \(\)"),
        (torch.tensor([], dtype=torch.int64), r"at least one label; found none\. Give one"),
        ([0, 1], r"torch\.int64 .*; found list\. Take them"),
    ],
)
def test_bad_labels_are_refused(small, labels, found):
    with pytest.raises(ValueError, match=found):
        small.given(labels)


def test_the_ten_digits_are_taken_and_ten_is_refused():
    vae = ConditionalVAE()
    assert vae.given(torch.arange(10)).one_hot.tolist() == torch.eye(10).tolist()
    with pytest.raises(ValueError, match=r"0 to 9; found 0 to 10\. Remove"):
        vae.given(torch.arange(11))


@pytest.mark.parametrize("length", [1, 4, 6])
def test_labels_of_another_length_are_refused(small, x, length):
    model = small.given(torch.zeros(length, dtype=torch.int64))
    with pytest.raises(ValueError, match=rf"images .* each of the {length} labels; found"):
        model.encode(x)
    for decode in (model.decode, model.logits):
        with pytest.raises(ValueError, match=rf"z must have one row .* {length} labels; found"):
            decode(torch.zeros(5, 2))
        with pytest.raises(ValueError, match="z must have one row"):
            decode(torch.zeros(2))


def test_images_and_latents_are_checked_as_those_of_a_vae(small, x):
    model = small.given(LABELS)
    with pytest.raises(ValueError, match="Rescale them"):
        model.encode(2 * x + 1)
    with pytest.raises(ValueError, match=r"\(B, 6\)"):
        model.encode(x[:, :5])
    with pytest.raises(ValueError, match=r"z must have shape \(B, 2\)"):
        model.decode(torch.zeros(5, 3))


@pytest.mark.parametrize("method", ["encode", "decode", "logits"])
def test_without_labels_it_refuses_and_says_what_to_write(small, x, method):
    with pytest.raises(ValueError, match=rf"no {method} without .* vae\.given\(labels\)\.{method}"):
        getattr(small, method)(x)
    with pytest.raises(ValueError, match="without labels"):
        small(x)
    with pytest.raises(ValueError, match="without labels"):
        elbo(small, x)


@pytest.mark.parametrize("classes", [0, -1, 2.0, True, "10"])
def test_a_number_of_classes_that_is_none_is_refused(classes):
    with pytest.raises(ValueError, match=r"classes must be a whole number .*; found"):
        ConditionalVAE(classes=classes)


# On disk


@pytest.mark.parametrize("sigma2", [0.25, None])
def test_saving_and_loading_keep_the_class_and_every_weight(tmp_path, sigma2):
    path = tmp_path / "file.safetensors"
    vae = ConditionalVAE(2, (4,), classes=3, pixels=6, sigma2=sigma2, activation="tanh")
    save_vae(vae, path)
    loaded = load_vae(path)
    assert type(loaded) is ConditionalVAE
    assert (loaded.classes, loaded.sigma2, loaded.activation) == (3, sigma2, "tanh")
    z = torch.randn(5, 2)
    assert torch.equal(loaded.given(LABELS).decode(z), vae.given(LABELS).decode(z))


def test_a_plain_vae_loads_as_a_plain_vae(tmp_path):
    save_vae(VAE(pixels=6), tmp_path / "file.safetensors")
    assert type(load_vae(tmp_path / "file.safetensors")) is VAE


# Training


def patterns(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Four pictures of one pixel each, the label says which; and nothing else to learn."""
    labels = torch.arange(count) % 4
    return torch.eye(4)[labels].repeat_interleave(2, dim=1), labels


def trained(vae: VAE, images: torch.Tensor, **options) -> VAE:
    fit(vae, images, epochs=60, batch_size=20, lr=0.01, progress=False, **options)
    return vae


def test_with_labels_it_learns_better_than_without():
    images, labels = patterns(100)
    torch.manual_seed(0)
    told = trained(ConditionalVAE(2, (8,), classes=4, pixels=8, sigma2=0.05), images, labels=labels)
    torch.manual_seed(0)
    untold = trained(VAE(2, (8,), pixels=8, sigma2=0.05), images)
    with_labels, without = score(told, images, labels=labels), score(untold, images)
    # Told the label it needs no code: at best KL 0 and ELBO −4 log(2π·0.05) = 4.6 nats. Untold,
    # the best is lower by log 4 = 1.4. These runs reach 4.6 and 1.8.
    best = -4 * math.log(2 * math.pi * 0.05)
    assert with_labels.elbo.mean() > best - 0.4
    assert with_labels.kl.mean() < 0.2
    assert without.elbo.mean() < best - math.log(4) + 0.1 < with_labels.elbo.mean()


def test_trained_on_labels_it_draws_the_one_that_is_asked_for():
    images, labels = patterns(100)
    torch.manual_seed(0)
    vae = trained(ConditionalVAE(2, (8,), classes=4, pixels=8, sigma2=0.05), images, labels=labels)
    asked = torch.arange(4).repeat(50)
    with torch.no_grad():
        drawn = vae.given(asked).decode(torch.randn(200, 2, generator=noise()))
    assert torch.equal(drawn[:, ::2].argmax(1), asked)


def test_a_run_with_labels_resumes_bit_for_bit(tmp_path):
    images, labels = patterns(40)

    def run(epochs: int, **options) -> ConditionalVAE:
        torch.manual_seed(0)
        vae = ConditionalVAE(2, (4,), classes=4, pixels=8)
        options |= {"batch_size": 16, "labels": labels, "progress": False}
        fit(vae, images, epochs=epochs, **options)
        return vae

    path = tmp_path / "run.safetensors"
    run(2, checkpoint=path)
    resumed, straight = run(4, checkpoint=path, resume=True), run(4)
    state = straight.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in resumed.state_dict().items())


def test_a_run_does_not_go_on_with_other_labels(tmp_path):
    images, labels = patterns(40)
    vae = ConditionalVAE(2, (4,), classes=4, pixels=8)
    options = {"checkpoint": tmp_path / "run.safetensors", "progress": False}
    fit(vae, images, epochs=1, labels=labels, **options)
    with pytest.raises(ValueError, match="another recipe: expected labels_crc32"):
        fit(vae, images, epochs=2, labels=labels.flip(0), resume=True, **options)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (None, "a ConditionalVAE is trained with labels; found none"),
        (torch.zeros(39, dtype=torch.int64), "found 39 labels for 40 images"),
        (torch.zeros(40), r"found torch\.float32"),
        (torch.cat([torch.zeros(39), torch.tensor([4.0])]).long(), "0 to 3; found 0 to 4"),
    ],
)
def test_fit_refuses_labels_that_do_not_fit_and_changes_nothing(labels, found):
    vae = ConditionalVAE(2, (4,), classes=4, pixels=8)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    with pytest.raises(ValueError, match=found):
        fit(vae, patterns(40)[0], labels=labels, epochs=1, batch_size=1, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())


def test_fit_refuses_labels_for_a_plain_vae():
    images, labels = patterns(40)
    with pytest.raises(ValueError, match="a VAE is trained with no labels; found labels"):
        fit(VAE(2, (4,), pixels=8), images, labels=labels, progress=False)
