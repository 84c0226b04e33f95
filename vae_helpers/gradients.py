"""Faster steps: the gradient of the −ELBO by hand, and all weights as one vector for Adam."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vae_helpers.networks import VAE
from vae_helpers.objectives import (
    Terms,
    bernoulli_log_likelihood,
    elbo_terms,
    gaussian_log_likelihood,
    importance_weighted_bound,
    kl_to_prior,
)

aten = torch.ops.aten  # the kernels that autograd itself calls on the way back

# Takes x, labels or None, β and the generator; sets the gradients of −(mean bound), and returns
# the terms of the bound, each (B,).
Gradient = Callable[[Tensor, Tensor | None, float, torch.Generator], tuple[Tensor, ...]]


def gradient_of(vae: VAE, *, k: int | None = None) -> Gradient:
    """Return what sets the gradient of the mean −ELBO, or of −L_K: by hand where that is known."""
    if knows(vae) and k is None:
        elbo_by_hand = ElboGradient(vae)
        return lambda x, _, beta, generator: elbo_by_hand(x, beta=beta, generator=generator)
    if knows(vae) and vae.sigma2 is None:
        bound_by_hand = ImportanceWeightedGradient(vae, k)
        return lambda x, _, __, generator: (bound_by_hand(x, generator=generator),)

    def by_autograd(
        x: Tensor, labels: Tensor | None, beta: float, generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        model = vae if labels is None else vae.given(labels)
        vae.zero_grad(set_to_none=False)
        if k is None:
            terms = elbo_terms(model, x, generator=generator)
            bound = terms.log_likelihood - beta * terms.kl
        else:
            terms = (bound := importance_weighted_bound(model, x, k=k, generator=generator),)
        (-bound.mean()).backward()
        return terms

    return by_autograd


def knows(vae: nn.Module) -> bool:
    """Whether this is the book's `VAE` as it was built, and not watched."""
    if type(vae) is not VAE:
        return False
    with torch.device("meta"):  # without memory for the weights
        built = VAE(vae.latent_dim, vae.hidden, pixels=vae.pixels, activation=vae.activation)
    found, expected = (
        [(name, type(part), part.extra_repr()) for name, part in each.named_modules()]
        for each in (vae, built)
    )
    hooks = any(part._forward_hooks or part._forward_pre_hooks for part in vae.modules())
    return found == expected and not hooks


@contextmanager
def one_vector(module: nn.Module) -> Iterator[nn.Parameter]:
    """Let the weights of a module, and their gradients, be parts of one vector in the block.

    An optimizer of the vector ``(number of weights,)`` is one of the module, with one call in the
    place of many. Weights that are frozen stay outside. After the block all are where they were,
    without gradients.
    """
    parameters = [each for each in module.parameters() if each.requires_grad]
    if not parameters:
        raise ValueError(
            "expected weights to train; found all of them frozen. "
            "Free some with vae.requires_grad_(True)."
        )
    places = [parameter.data for parameter in parameters]
    vector = nn.Parameter(torch.cat([place.flatten() for place in places]))
    vector.grad = torch.zeros_like(vector)
    sizes = [place.numel() for place in places]
    values, gradients = vector.detach().split(sizes), vector.grad.split(sizes)
    for parameter, value, gradient in zip(parameters, values, gradients, strict=True):
        parameter.data = value.view_as(parameter)
        parameter.grad = gradient.view_as(parameter)
    try:
        yield vector
    finally:
        for parameter, place in zip(parameters, places, strict=True):
            place.copy_(parameter.data)
            parameter.data = place
        module.zero_grad()


def drop_tiny_moments(adam: torch.optim.Optimizer) -> None:
    """Round running means of the gradient below 1e-25 to zero; call it every 250 steps or so.

    Behind a ReLU that no longer fires a mean shrinks by a tenth each step. After 829 steps from 1
    it is below 1.2e-38, where processors lose time. At 1e-25 it has long ceased to move a weight.
    """
    for state in adam.state.values():
        if (mean := state.get("exp_avg")) is not None:
            mean.masked_fill_(mean.abs() < 1e-25, 0)


class ElboGradient:
    r"""Backpropagation of the mean −ELBO over a batch, written out for the `VAE`.

    A layer maps h to A h + a. Let δ be the derivative of the loss by the layer's outcome. Then
    that by A is δ hᵀ and that by a is δ, summed over the batch; that by h is Aᵀ δ, and the next
    layer down gets it times the derivative of the activation. What is special to the VAE are
    the three places where a derivative begins or branches. For B images they are

    - by the pixels' log-odds: (x̂ − x) ⊙ x̂ ⊙ (1 − x̂) / (B σ²), or (x̂ − x) / B for Bernoulli;
    - by the mean of q: δ_z + β μ / B;
    - by the log-variance of q: ½ δ_z ⊙ σ ⊙ ε + ½ β (e^ℓ − 1) / B.

    Autograd computes the same. Time is saved where nothing is recorded, and where results are
    written over those of the step before, gradients included.

    Source: Rumelhart, Hinton & Williams 1986; Kingma & Welling 2014, algorithm 1.
    """

    def __init__(self, vae: VAE) -> None:
        self.vae = vae
        self.residual = next(vae.parameters()).new_empty(0)
        self.encoder = _Layers(vae.encoder.layers, vae.activation)
        self.decoder = _Layers(vae.decoder.layers, vae.activation)

    @torch.no_grad()
    def __call__(
        self, x: Tensor, *, beta: float = 1.0, generator: torch.Generator | None = None
    ) -> Terms:
        """Set each parameter's gradient of the mean of −ELBO; return what `elbo_terms` returns."""
        vae = self.vae
        mu, logvar = self.encoder.forward(x).chunk(2, dim=-1)  # (B, L), (B, L)
        sigma = torch.exp(0.5 * logvar)
        epsilon = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
        logits = self.decoder.forward(mu + sigma * epsilon)  # (B, D)
        if vae.sigma2 is None:
            log_likelihood = bernoulli_log_likelihood(x, logits)
            delta = logits.sigmoid_().sub_(x).mul_(1 / len(x))
        else:
            x_mean = logits.sigmoid_()
            log_likelihood = gaussian_log_likelihood(x, x_mean, sigma2=vae.sigma2)
            delta = torch.sub(x_mean, x, out=self.residual.resize_(x.shape))
            delta.mul_(1 / (len(x) * vae.sigma2))
            aten.sigmoid_backward.grad_input(delta, x_mean, grad_input=delta)
        delta_z = self.decoder.backward(delta)  # (B, L)

        weight = beta / len(x)
        delta_mu = weight * mu + delta_z
        delta_kl = 0.5 * weight * (torch.expm1(logvar) + 1) - 0.5 * weight
        delta_logvar = delta_kl + delta_z * epsilon * sigma * 0.5
        self.encoder.backward(torch.cat([delta_mu, delta_logvar], dim=-1), to_input=False)
        return Terms(log_likelihood, kl_to_prior(mu, logvar))


class _Layers:
    """The linear layers of one network: what they return, and the way back through them."""

    def __init__(self, layers: nn.Sequential, activation: str) -> None:
        self.parameters = [(layer.weight, layer.bias) for layer in layers[::2]]
        for parameter in layers.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.relu = activation == "relu"
        self.outputs = [bias.new_empty(0) for _, bias in self.parameters]
        self.deltas = [bias.new_empty(0) for _, bias in self.parameters]

    def forward(self, x: Tensor) -> Tensor:
        """Return the outcome of the last layer, which has no activation."""
        self.inputs = [x, *self.outputs[:-1]]
        for (weight, bias), h, out in zip(self.parameters, self.inputs, self.outputs, strict=True):
            torch.addmm(bias, h, weight.t(), out=out.resize_(len(x), len(bias)))
            if out is not self.outputs[-1]:
                out.relu_() if self.relu else out.tanh_()
        return out

    def backward(self, delta: Tensor, *, to_input: bool = True) -> Tensor:
        """Set the gradients of weights and offsets; return that of the input, if it is wanted."""
        for i in reversed(range(len(self.parameters))):
            (weight, bias), h = self.parameters[i], self.inputs[i]
            torch.mm(delta.t(), h, out=weight.grad)
            torch.sum(delta, 0, out=bias.grad)
            if i or to_input:
                delta = torch.mm(delta, weight, out=self.deltas[i].resize_(h.shape))
            if i and self.relu:
                aten.threshold_backward.grad_input(delta, h, 0, grad_input=delta)
            elif i:
                aten.tanh_backward.grad_input(delta, h, grad_input=delta)
        return delta


class ImportanceWeightedGradient:
    r"""The same for the importance-weighted bound with K samples, −(1/B) Σ log (1/K) Σ_k w_k.

    Sample k of an image pulls with its share s_k = w_k / Σ_j w_j. Its log-weight depends on the
    parameters through z_k, which ε_k holds in place, and through the width of q:

    - by the pixels' log-odds: s_k / B times what `ElboGradient` has there (without its 1 / B);
    - by the mean of q: Σ_k δ_k, with δ_k the derivative by z_k, s_k z_k / B of the prior included;
    - by the log-variance of q: ½ Σ_k δ_k ⊙ σ ⊙ ε_k − 1 / (2 B).

    The pixels of the model are Bernoulli.

    Source: Burda et al. 2016, equation 14.
    """

    def __init__(self, vae: VAE, k: int) -> None:
        self.k = k
        self.buffers = [next(vae.parameters()).new_empty(0) for _ in range(3)]
        self.encoder = _Layers(vae.encoder.layers, vae.activation)
        self.decoder = _Layers(vae.decoder.layers, vae.activation)

    @torch.no_grad()
    def __call__(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Set each parameter's gradient of the mean of −L_K; return L_K, ``(B,)``, in nats."""
        mu, logvar = self.encoder.forward(x).chunk(2, dim=-1)  # (B, L), (B, L)
        shape = (self.k, *mu.shape)
        epsilon = torch.randn(shape, generator=generator, dtype=mu.dtype, device=mu.device)
        offset = torch.exp(0.5 * logvar) * epsilon  # (K, B, L)
        z = mu + offset
        logits = self.decoder.forward(z.flatten(0, 1)).view(self.k, *x.shape)  # (K, B, D)
        signed, log_p, rest = (each.resize_(logits.shape) for each in self.buffers)
        torch.mul(logits, 2 * x - 1, out=signed)  # the log-odds of the pixel that is there
        aten.log_sigmoid_forward.output(signed, output=log_p, buffer=rest)
        log_likelihood = log_p.sum(-1)  # (K, B)
        log_ratio = 0.5 * (logvar + epsilon.square() - z.square()).sum(-1)
        log_w = log_likelihood + log_ratio
        share = log_w.softmax(0)[..., None] / len(x)  # (K, B, 1)
        delta = logits.sigmoid_().sub_(x).mul_(share)
        delta_z = self.decoder.backward(delta.flatten(0, 1)).view(shape) + share * z
        delta_logvar = 0.5 * ((delta_z * offset).sum(0) - 1 / len(x))
        self.encoder.backward(torch.cat([delta_z.sum(0), delta_logvar], dim=-1), to_input=False)
        return log_w.logsumexp(0) - math.log(self.k)
