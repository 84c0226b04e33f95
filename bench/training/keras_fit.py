"""Keras 3 on JAX: a model with a loss of its own, trained by its `fit`."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import time

import contest
import keras
from keras import layers, ops


def network(sizes: list[tuple[int, int]], *, last: str | None) -> keras.Sequential:
    """ReLU between the layers; weights and offsets uniform as PyTorch draws them."""
    stack = []
    for i, (inputs, outputs) in enumerate(sizes):
        limit = inputs**-0.5
        uniform = keras.initializers.RandomUniform(-limit, limit)
        activation = last if i == len(sizes) - 1 else "relu"
        stack.append(
            layers.Dense(
                outputs, activation, kernel_initializer=uniform, bias_initializer=uniform.clone()
            )
        )
    return keras.Sequential(stack)


class Autoencoder(keras.Model):
    """784-64-32-(4+4) and 4-32-64-784."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)
        self.encoder = network(contest.ENCODER, last=None)
        self.decoder = network(contest.DECODER, last="sigmoid")

    def call(self, x: object) -> object:
        """Return the mean image, and add the loss: summed squared error and KL of an image."""
        mu, logvar = ops.split(self.encoder(x), 2, axis=-1)
        z = mu + ops.exp(0.5 * logvar) * keras.random.normal(ops.shape(mu), seed=self.seed)
        kl = 0.5 * ops.sum(mu**2 + ops.exp(logvar) - 1 - logvar, axis=-1)
        x_mean = self.decoder(z)
        self.add_loss(ops.mean(ops.sum((x - x_mean) ** 2, axis=-1) + kl))
        return x_mean


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stop it."""
        self.seconds.append(time.perf_counter() - self.start)


def main() -> None:
    """Train and report."""
    images = contest.images()
    model, clock = Autoencoder(), Clock()
    model.compile(optimizer=keras.optimizers.Adam(1e-3, epsilon=1e-8))
    options = {"batch_size": contest.BATCH, "epochs": contest.EPOCHS, "verbose": 0}
    history = model.fit(images, callbacks=[clock], **options)
    contest.write(clock.seconds, history.history["loss"][-1], "keras", "jax")


if __name__ == "__main__":
    main()
