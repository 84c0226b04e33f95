"""Training: the loop of chapter 9, and `fit`, which goes around it and can stop and resume."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vae_helpers.checkpoints import Checkpoint
from vae_helpers.checks import check_count, check_in_unit_interval, check_labels, check_positive
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.gradients import Gradient, drop_tiny_moments, gradient_of, one_vector
from vae_helpers.networks import VAE

Optimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
ADAM = partial(torch.optim.Adam, fused=True)


def train_epoch(
    gradient: Gradient,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor | None,
    *,
    batch_size: int,
    beta: float,
    draw: Callable[..., Tensor] | None,
    generator: torch.Generator,
) -> list[float]:
    """Take one step a batch; return the mean of each term of the bound, nats an image."""
    sums: list[float] = []
    batch = images.new_empty(0)  # one place for all batches: the processor has it at hand
    order = torch.randperm(len(images), generator=generator, device=images.device)
    for step, indices in enumerate(order.split(batch_size), start=1):
        x = torch.index_select(images, 0, indices, out=batch.resize_(len(indices), images.shape[1]))
        if draw is not None:
            x = draw(x, generator=generator)
        # What loss.backward() does for loss = −elbo(vae, x).mean(), by hand where that is faster.
        terms = gradient(x, None if labels is None else labels[indices], beta, generator)
        optimizer.step()
        sums = [s + t.sum().item() for s, t in zip(sums or [0.0] * len(terms), terms, strict=True)]
        if not all(map(math.isfinite, sums)):
            raise FloatingPointError(f"the loss is not finite in step {step}")
        if step % 250 == 0:
            drop_tiny_moments(optimizer)
    drop_tiny_moments(optimizer)
    return [s / len(images) for s in sums]


def fit(
    vae: VAE,
    images: Tensor,
    *,
    epochs: int = 50,
    batch_size: int = 200,
    lr: float | Callable[[int], float] = 1e-3,
    beta: float = 1.0,
    warmup: int = 0,
    k: int | None = None,
    seed: int = 0,
    labels: Tensor | None = None,
    draw: Callable[..., Tensor] | None = None,
    optimizer: Optimizer = ADAM,
    measure: Callable[[VAE], Mapping[str, float]] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> dict[str, list[float]]:
    """Train a VAE in place: maximise the mean ELBO of images ``(N, D)`` over shuffled batches.

    Shuffling and noise come from one generator, seeded with seed, so that a run on one machine
    repeats bit for bit. Weights that are frozen stay as they are.

    - lr is a number, or a function of the epoch, counted from 0. The weight of the KL rises to
      beta in equal steps over so many warmup epochs.
    - k makes the importance-weighted bound with K samples the objective in the place of the ELBO.
    - labels ``(N,)`` are those of a `ConditionalVAE`.
    - draw(x, generator=…) changes each batch as it is drawn, for example `binarize`.
    - measure(vae) is called after each epoch, and returns named numbers for the history.
    - checkpoint is a file that is replaced after each epoch with all that the run needs; with
      resume the run goes on from it, where there is one.
    - progress shows a bar; TQDM_DISABLE=1 in the environment hides every bar.

    Returns:
        One number an epoch, nats an image, averaged while the weights move: ``elbo``, and its terms
        ``log_likelihood`` and ``kl``; with k the bound alone, as ``elbo``. After Ctrl-C: of the
        epochs that were finished, with a warning.

    Raises:
        ValueError: images, settings or checkpoint do not fit; nothing was changed.
        FileExistsError: the checkpoint exists and resume is False.
        FloatingPointError: the loss or a weight is not finite; the last good checkpoint is kept.

    Source: Kingma & Welling 2014, algorithm 1; Kingma & Ba 2015 (Adam); annealing of the KL:
        Bowman et al. 2016; the bound: Burda et al. 2016.
    """
    check_count("epochs", epochs, "The default is 50.")
    check_count("batch_size", batch_size, "The default is 200.")
    check_count("warmup", warmup, "Use 0 for a constant weight.", least=0)
    check_positive("beta", beta, "Use 1 for the ELBO.", zero=True)
    if k is not None:
        check_count("k", k, "Use None for the ELBO.")
    if not callable(lr):
        check_positive("lr", lr, "Try 1e-3.")
    if draw is None:
        vae.check_images(images)
    else:
        check_in_unit_interval(images)
        vae.check_images(draw(images[:1], generator=torch.Generator(images.device)))
    _check_labels(vae, images, labels)
    settings = {"batch_size": batch_size, "beta": beta, "warmup": warmup, "k": k, "seed": seed}
    settings["lr"] = None if callable(lr) else lr
    saved = Checkpoint(checkpoint, vae, images, labels, settings, resume=resume)
    generator = torch.Generator(images.device).manual_seed(seed)
    # tqdm reads TQDM_DISABLE by itself in a terminal, but not in a notebook.
    quiet = not progress or bool(os.environ.get("TQDM_DISABLE"))
    with one_vector(vae) as weights:
        stepper = optimizer([weights])
        history = saved.load(stepper, generator, max_epochs=epochs) or {"elbo": []}
        gradient = gradient_of(vae, k=k)
        done = len(history["elbo"])
        with tqdm(desc="Training", total=epochs, initial=done, unit="epoch", disable=quiet) as bar:
            try:
                for epoch in range(done, epochs):
                    for group in stepper.param_groups:
                        group["lr"] = lr(epoch) if callable(lr) else lr
                    terms = train_epoch(
                        gradient,
                        stepper,
                        images,
                        labels,
                        batch_size=batch_size,
                        beta=beta * min(1.0, epoch / warmup) if warmup else beta,
                        draw=draw,
                        generator=generator,
                    )
                    if not weights.isfinite().all():
                        raise FloatingPointError("a weight is not finite")
                    found = {"log_likelihood": terms[0], "kl": terms[1]} if k is None else {}
                    found["elbo"] = terms[0] - sum(terms[1:])  # a bound with k is one term
                    found |= measure(vae) if measure is not None else {}
                    if history["elbo"] and history.keys() != found.keys():
                        raise ValueError(
                            f"the checkpoint holds {', '.join(history)}; found a run that measures "
                            f"{', '.join(found)}. Pass the same measure, or another checkpoint."
                        )
                    longer = {n: [*history.get(n, []), value] for n, value in found.items()}
                    saved.save(stepper, generator, longer)
                    history = longer  # an epoch counts whole or not at all, whenever Ctrl-C comes
                    bar.set_postfix(elbo=f"{found['elbo']:.2f} nats")
                    bar.update()
            except KeyboardInterrupt:
                done = len(history["elbo"])
                warnings.warn(
                    f"interrupted in epoch {done + 1}: the history of {done} finished epochs is "
                    "returned; the weights are those of the interruption",
                    stacklevel=2,
                )
            except FloatingPointError as error:
                raise FloatingPointError(
                    f"{error} of epoch {epoch + 1}; training stopped, {saved.kept(epoch)}. "
                    "Expected a finite number: lower lr, or look for the layer that overflows."
                ) from None
    return history


def _check_labels(vae: VAE, images: Tensor, labels: Tensor | None) -> None:
    if isinstance(vae, ConditionalVAE) != (labels is not None):
        expected, found = ("labels", "none") if labels is None else ("no labels", "labels")
        raise ValueError(
            f"a {type(vae).__name__} is trained with {expected}; found {found}. Labels belong "
            "to a ConditionalVAE: pass labels=, or use the other class."
        )
    if labels is not None:
        check_labels(labels, vae.classes, len(images))
