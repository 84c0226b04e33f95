"""JAX with optax: one jitted `lax.scan` an epoch, the images on the device."""

from functools import partial

import contest
import jax
import jax.numpy as jnp
import optax

adam = optax.adam(1e-3)
Layers = list[tuple[jax.Array, jax.Array]]


def initial(key: jax.Array) -> Layers:
    """Weights and offsets of the six layers, uniform as PyTorch draws them."""
    layers = []
    for inputs, outputs in contest.ENCODER + contest.DECODER:
        key, *keys = jax.random.split(key, 3)
        draw = partial(jax.random.uniform, minval=-(inputs**-0.5), maxval=inputs**-0.5)
        layers.append((draw(keys[0], (inputs, outputs)), draw(keys[1], (outputs,))))
    return layers


def network(layers: Layers, h: jax.Array) -> jax.Array:
    """ReLU between the layers, nothing after the last."""
    for weight, offset in layers[:-1]:
        h = jax.nn.relu(h @ weight + offset)
    weight, offset = layers[-1]
    return h @ weight + offset


def loss(layers: Layers, x: jax.Array, key: jax.Array) -> jax.Array:
    """Summed squared error and KL of an image, mean over the batch."""
    mu, logvar = jnp.split(network(layers[:3], x), 2, axis=-1)
    z = mu + jnp.exp(0.5 * logvar) * jax.random.normal(key, mu.shape)
    x_mean = jax.nn.sigmoid(network(layers[3:], z))
    kl = 0.5 * (mu**2 + jnp.exp(logvar) - 1 - logvar).sum(-1)
    return (((x_mean - x) ** 2).sum(-1) + kl).mean()


@partial(jax.jit, donate_argnums=(0, 1))
def epoch(layers: Layers, state: optax.OptState, images: jax.Array, key: jax.Array) -> tuple:
    """Take one step a batch; return weights, Adam's state and the mean loss."""
    for_order, for_noise = jax.random.split(key)
    order = jax.random.permutation(for_order, len(images)).reshape(-1, contest.BATCH)

    def step(carry: tuple, batch: tuple) -> tuple:
        layers, state = carry
        indices, key = batch
        value, gradient = jax.value_and_grad(loss)(layers, images[indices], key)
        updates, state = adam.update(gradient, state)
        return (optax.apply_updates(layers, updates), state), value

    noise = jax.random.split(for_noise, len(order))
    (layers, state), losses = jax.lax.scan(step, (layers, state), (order, noise))
    return layers, state, losses.mean()


def main() -> None:
    """Train and report."""
    images = jax.device_put(jnp.asarray(contest.images()))
    layers = initial(jax.random.key(0))
    state = adam.init(layers)

    def one(number: int) -> float:
        nonlocal layers, state
        key = jax.random.fold_in(jax.random.key(1), number)
        layers, state, value = epoch(layers, state, images, key)
        return float(value)  # waits for the result

    contest.report(one, "jax", "optax")


if __name__ == "__main__":
    main()
