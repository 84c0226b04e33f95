"""Claims about the conditional VAE: the label reaches both networks, each row its own."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_helpers.conditional import ConditionalVAE
from vae_helpers.evaluation import score
from vae_helpers.networks import VAE, pixel_log_likelihood
from vae_helpers.objectives import elbo, elbo_terms, kl_to_prior, reparameterize

LABELS = torch.tensor([2, 0, 1, 2, 2])
sizes = st.integers(1, 6)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X = torch.rand(5, 6, generator=seeded(1)).round()


def small(sigma2: float | None = 0.25) -> ConditionalVAE:
    torch.manual_seed(0)
    return ConditionalVAE(2, (8, 5), classes=3, pixels=6, sigma2=sigma2)


@given(sizes, st.lists(sizes, max_size=3), sizes, sizes, sizes)
def test_every_size_gives_the_shapes_that_the_names_say(latent_dim, hidden, classes, pixels, batch):
    vae = ConditionalVAE(latent_dim, hidden, classes=classes, pixels=pixels)
    model, x = vae.given(torch.arange(batch) % classes), torch.rand(batch, pixels)
    mu, logvar = model.encode(x)
    assert mu.shape == logvar.shape == (batch, latent_dim)
    assert model.decode(mu).shape == (batch, pixels)
    many = torch.randn(3, batch, latent_dim)  # as the importance-weighted bound decodes it
    assert model.decode(many).shape == (3, batch, pixels)
    assert model.log_likelihood(x, many).shape == (3, batch)


def test_it_is_told_one_of_ten_digits_and_nothing_else_is_larger():
    vae, plain = ConditionalVAE(), VAE()
    assert vae.given(torch.arange(10)).one_hot.tolist() == torch.eye(10).tolist()
    count, usual = (sum(p.numel() for p in each.parameters()) for each in (vae, plain))
    assert count - usual == 10 * 64 + 10 * 32


def test_a_label_adds_its_column_of_the_first_layer():
    vae, z = small(), torch.randn(5, 2)
    for network, values, width in [(vae.encoder, X, 6), (vae.decoder, z, 2)]:
        first, rest = network.layers[0], network.layers[1:]
        columns = first.weight[:, width:].T[LABELS]  # (B, H)
        by_hand = rest(values @ first.weight[:, :width].T + columns + first.bias)
        model = vae.given(LABELS)
        found = torch.cat(model.encode(X), 1) if width == 6 else model.decode(z).logit()
        torch.testing.assert_close(found, by_hand)


def test_samples_of_one_image_meet_the_label_of_that_image():
    vae, many = small(), torch.randn(3, 5, 2)  # (K, B, L)
    x_mean, value = vae.given(LABELS).decode(many), vae.given(LABELS).log_likelihood(X, many)
    for row, label in enumerate(LABELS):
        alone = vae.given(label.repeat(3))
        torch.testing.assert_close(x_mean[:, row], alone.decode(many[:, row]))
        torch.testing.assert_close(
            value[:, row], alone.log_likelihood(X[row].expand(3, -1), many[:, row])
        )


@pytest.mark.parametrize("sigma2", [0.25, None])
def test_the_elbo_is_that_of_its_parts(sigma2):
    model = small(sigma2).given(LABELS)
    terms = elbo_terms(model, X, generator=seeded())
    mu, logvar = model.encode(X)
    logits = model.decode(reparameterize(mu, logvar, generator=seeded())).logit()
    expected = pixel_log_likelihood(X, logits, sigma2)
    torch.testing.assert_close(terms.log_likelihood, expected, rtol=1e-5, atol=1e-5)  # 32 bits
    assert torch.equal(terms.kl, kl_to_prior(mu, logvar))


def test_labels_that_occur_have_a_gradient_and_others_have_none():
    vae = small()
    (-elbo(vae.given(torch.tensor([0, 2, 0, 2, 2])), X).mean()).backward()
    assert all(p.grad.isfinite().all() for p in vae.parameters())
    encoder, decoder = (net.layers[0].weight.grad for net in (vae.encoder, vae.decoder))
    for gradient in (encoder[:, 6:], decoder[:, 2:]):
        assert (gradient != 0).any(0).tolist() == [True, False, True]


def test_with_labels_it_learns_what_it_need_not_encode():
    # Four pictures, of which the label says which; and nothing else to learn.
    labels = torch.arange(100) % 4
    images = torch.eye(4)[labels].repeat_interleave(2, dim=1)
    torch.manual_seed(0)
    told = ConditionalVAE(2, (8,), classes=4, pixels=8, sigma2=0.05)
    untold = VAE(2, (8,), pixels=8, sigma2=0.05)
    for vae, model in [(told, told.given(labels)), (untold, untold)]:
        adam = torch.optim.Adam(vae.parameters(), lr=0.02, fused=True)
        for step in range(400):
            loss = -elbo(model, images, generator=seeded(step)).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    scores, without = score(told, images, labels=labels), score(untold, images)
    # Told the label it needs no code: at best KL 0 and ELBO −4 log(2π·0.05) = 4.6 nats. Untold,
    # the best is lower by log 4 = 1.4.
    best = -4 * math.log(2 * math.pi * 0.05)
    assert scores.elbo.mean() > best - 0.4
    assert scores.kl.mean() < 0.2
    assert without.elbo.mean() < best - math.log(4) + 0.1
    asked = torch.arange(4).repeat(50)
    drawn = told.given(asked).decode(torch.randn(200, 2, generator=seeded()))
    assert torch.equal(drawn[:, ::2].argmax(1), asked)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda vae: ConditionalVAE(classes=0), "classes must be a whole number .*; found 0. MNI"),
        (lambda vae: vae.given(torch.arange(4)), "0 to 2; found 0 to 3"),
        (lambda vae: vae.given(LABELS[:4]).encode(X), r"images .* each of the 4 labels; found"),
        (lambda vae: vae.given(LABELS[:1]).decode(X[:, :2]), "z must have one row .* 1 labels"),
        (lambda vae: vae.given(LABELS[:4]).log_likelihood(X, X[:, :2]), r"z .*to given\(\)"),
        (lambda vae: vae.given(LABELS).decode(torch.zeros(2)), "z must have one row"),
        (lambda vae: vae.given(LABELS).decode(X), r"z must have shape \(B, 2\)"),
        (lambda vae: vae.given(LABELS).encode(2 * X), "Rescale them"),
        (lambda vae: elbo(vae, X), r"without labels; .* Write vae\.given\(labels\)"),
        (lambda vae: vae.decode(X), "nor decodes without labels"),
        (lambda vae: vae.log_likelihood(X, X), "nor decodes without labels"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_found_and_the_repair(use, message):
    with pytest.raises(ValueError, match=message):
        use(small())
