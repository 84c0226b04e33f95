"""Training: `fit` maximises the mean ELBO with Adam, and can be stopped and resumed."""

from __future__ import annotations

import math
import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vae_helpers.checkpoints import load_checkpoint, save_checkpoint
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.evaluation import score
from vae_helpers.gradients import ElboGradient, drop_tiny_moments, one_vector
from vae_helpers.networks import VAE, check_count
from vae_helpers.objectives import Elbo, elbo


@dataclass(frozen=True)
class History:
    """What a run measured: one mean over images for each epoch, in nats an image.

    The training figures are taken while the weights move, before each step, as the average
    over the epoch. The validation figures are taken after the epoch, with the same noise
    each time; they are empty where `fit` was given no validation images.
    """

    log_likelihood: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    validation_log_likelihood: list[float] = field(default_factory=list)
    validation_kl: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.kl)

    @property
    def elbo(self) -> list[float]:
        """Mean training ELBO of each epoch."""
        return _differences(self.log_likelihood, self.kl)

    @property
    def validation_elbo(self) -> list[float]:
        """Mean validation ELBO after each epoch."""
        return _differences(self.validation_log_likelihood, self.validation_kl)


def fit(
    vae: VAE,
    images: Tensor,
    *,
    epochs: int = 50,
    batch_size: int = 200,
    lr: float = 1e-3,
    beta: float = 1.0,
    warmup: int = 0,
    seed: int = 0,
    labels: Tensor | None = None,
    validation: Tensor | None = None,
    validation_labels: Tensor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train a VAE in place: minimise the mean of −ELBO over shuffled batches with Adam.

    The weights that vae holds are the starting point; gradients that it holds are lost.
    Shuffling and noise come from one generator, seeded with seed, so that a run on one machine
    repeats bit for bit. Weights that are frozen stay as they are.

    Args:
        vae: the model.
        images: training images, ``(N, D)``, in [0, 1], on the device of vae.
        epochs: passes over the images, counted from the very start of the run.
        batch_size: images a step; the last batch of an epoch may be smaller.
        lr: Adam's learning rate.
        beta: weight β ≥ 0 of the KL.
        warmup: epochs over which the weight rises to β, from 0 in equal steps (KL annealing).
        seed: seed of shuffling and noise.
        labels: labels of the images, ``(N,)``, for a `ConditionalVAE`.
        validation: held-out images, ``(M, D)``; scored after each epoch.
        validation_labels: their labels, ``(M,)``, for a `ConditionalVAE`.
        checkpoint: file that is replaced after each epoch with all that the run needs.
        resume: go on from the checkpoint where there is one; without it an existing file is
            an error, so that no run is overwritten.
        progress: show a bar; TQDM_DISABLE=1 in the environment hides every bar.

    Returns:
        The history, the epochs before a resume included. After Ctrl-C: of the epochs that
        were finished, with a warning.

    Raises:
        ValueError: images, settings or checkpoint do not fit; nothing was changed.
        FileExistsError: the checkpoint exists and resume is False.
        FloatingPointError: the loss or a weight became NaN or infinite; the last good
            checkpoint is kept.

    Source: Kingma & Welling 2014, algorithm 1; Kingma & Ba 2015 (Adam); annealing of the KL:
        Bowman et al. 2016.
    """
    _check_settings(epochs, batch_size, lr, beta, warmup, checkpoint, resume)
    _check_data(vae, images, labels)
    if validation is not None:
        _check_data(vae, validation, validation_labels)
    generator = torch.Generator(images.device).manual_seed(seed)
    history = History()
    recipe: dict[str, object] = {}
    if checkpoint is not None:
        recipe = _recipe(images, labels, validation, batch_size, lr, seed)
        recipe |= {"beta": beta, "warmup": warmup}
        recipe["trained"] = sum(each.numel() for each in vae.parameters() if each.requires_grad)
    # tqdm reads TQDM_DISABLE by itself in a terminal, but not in a notebook.
    quiet = not progress or bool(os.environ.get("TQDM_DISABLE"))
    with one_vector(vae) as weights:
        optimizer = torch.optim.Adam([weights], lr=lr, fused=True)
        if resume and Path(checkpoint).exists():
            history = History(
                **load_checkpoint(
                    checkpoint,
                    vae=vae,
                    optimizer=optimizer,
                    generator=generator,
                    recipe=recipe,
                    max_epochs=epochs,
                )
            )
        take_gradient = _gradient(vae, images, labels, weights, generator)
        bar = tqdm(
            desc="Training", total=epochs, initial=history.epochs, unit="epoch", disable=quiet
        )
        try:
            while history.epochs < epochs:
                weight = beta * min(1.0, history.epochs / warmup) if warmup else beta
                log_likelihood, kl = _train_epoch(
                    take_gradient,
                    weights,
                    optimizer,
                    torch.randperm(len(images), generator=generator, device=images.device),
                    batch_size,
                    weight,
                    history.epochs + 1,
                    checkpoint,
                )
                measured = {"log_likelihood": log_likelihood, "kl": kl}
                if validation is not None:
                    scores = score(vae, validation, labels=validation_labels, seed=seed)
                    measured |= {
                        "validation_log_likelihood": scores.log_likelihood.mean().item(),
                        "validation_kl": scores.kl.mean().item(),
                    }
                longer = replace(
                    history, **{name: [*getattr(history, name), x] for name, x in measured.items()}
                )
                if checkpoint is not None:
                    save_checkpoint(
                        checkpoint,
                        vae=vae,
                        optimizer=optimizer,
                        generator=generator,
                        recipe=recipe,
                        history=asdict(longer),
                    )
                history = longer  # an epoch counts whole or not at all, whenever Ctrl-C comes
                bar.set_postfix(elbo=f"{history.elbo[-1]:.2f} nats")
                bar.update()
        except KeyboardInterrupt:
            warnings.warn(
                f"interrupted in epoch {history.epochs + 1}: the history of {history.epochs} "
                "finished epochs is returned; the weights are those of the interruption",
                stacklevel=2,
            )
        finally:
            bar.close()
    return history


def _gradient(
    vae: VAE,
    images: Tensor,
    labels: Tensor | None,
    weights: nn.Parameter,
    generator: torch.Generator,
) -> Callable[[Tensor, float], Elbo]:
    """Return the function that puts the gradient of the mean −ELBO of a batch into weights.

    It takes the indices of the images and β, and returns the ELBO. Its two ways give the same.
    """
    if ElboGradient.knows(vae):
        by_hand = ElboGradient(vae)
        batch = images.new_empty(0)  # one place for all batches: the processor has it at hand

        def without_autograd(indices: Tensor, beta: float) -> Elbo:
            torch.index_select(images, 0, indices, out=batch.resize_(len(indices), images.shape[1]))
            return by_hand(batch, beta=beta, generator=generator)

        return without_autograd

    def by_autograd(indices: Tensor, beta: float) -> Elbo:
        model = vae if labels is None else vae.given(labels[indices])
        batch = elbo(model, images[indices], beta=beta, generator=generator)
        weights.grad.zero_()
        (-batch.elbo.mean()).backward()
        return batch

    return by_autograd


def _train_epoch(
    take_gradient: Callable[[Tensor, float], Elbo],
    weights: nn.Parameter,
    optimizer: torch.optim.Adam,
    order: Tensor,
    batch_size: int,
    beta: float,
    epoch: int,
    checkpoint: str | os.PathLike[str] | None,
) -> tuple[float, float]:
    """Take one step a batch; return the mean log-likelihood and KL, nats an image."""
    log_likelihood = kl = 0.0
    for step, indices in enumerate(order.split(batch_size), start=1):
        batch = take_gradient(indices, beta)
        if not math.isfinite(loss := -batch.elbo.mean().item()):
            raise _not_finite(f"the loss is {loss} in step {step}", epoch, checkpoint)
        optimizer.step()
        if step % 250 == 0:
            drop_tiny_moments(optimizer)
        log_likelihood += batch.log_likelihood.sum().item()
        kl += batch.kl.sum().item()
    drop_tiny_moments(optimizer)
    if not weights.isfinite().all():
        raise _not_finite(f"a weight is not finite after step {step}", epoch, checkpoint)
    return log_likelihood / len(order), kl / len(order)


def _check_settings(
    epochs: int,
    batch_size: int,
    lr: float,
    beta: float,
    warmup: int,
    checkpoint: object,
    resume: bool,
) -> None:
    for name, value in [("epochs", epochs), ("batch_size", batch_size)]:
        check_count(name, value, "The defaults are epochs=50, batch_size=200.")
    if not (0 < lr < math.inf):
        raise ValueError(f"lr must be positive and finite; found {lr!r}. Try 1e-3.")
    if not (0 <= beta < math.inf):
        raise ValueError(
            f"beta must be finite and not negative; found {beta!r}. Use 1 for the ELBO."
        )
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
        raise ValueError(
            f"warmup must be a whole number of epochs, at least 0; found {warmup!r}. "
            "Use 0 for a constant weight."
        )
    if resume and checkpoint is None:
        raise ValueError(
            "resume=True needs a file to go on from; found checkpoint=None. "
            "Pass the path of the run's checkpoint."
        )
    if checkpoint is not None:
        path = Path(checkpoint)
        if not path.parent.is_dir():
            raise ValueError(
                f"checkpoint must lie in a folder that exists; found {path}. "
                f"Make the folder {path.parent} first."
            )
        if path.exists() and not resume:
            raise FileExistsError(
                f"{path} is the checkpoint of an earlier run. Go on with resume=True, "
                "or delete it to start again."
            )


def _check_data(vae: VAE, images: Tensor, labels: Tensor | None) -> None:
    """Raise a ValueError unless these are images, and labels if need be, of this VAE."""
    vae.check_images(images)
    if isinstance(vae, ConditionalVAE) != (labels is not None):
        expected, found = ("labels", "none") if labels is None else ("no labels", "labels")
        raise ValueError(
            f"a {type(vae).__name__} is trained with {expected}; found {found}. Labels belong "
            "to a ConditionalVAE: pass labels=, or use the other class."
        )
    if labels is not None:
        vae.given(labels)
        if len(labels) != len(images):
            raise ValueError(
                f"expected one label an image; found {len(labels)} labels for {len(images)} "
                "images. Take both from the same load_mnist."
            )


def _recipe(
    images: Tensor,
    labels: Tensor | None,
    validation: Tensor | None,
    batch_size: int,
    lr: float,
    seed: int,
) -> dict[str, object]:
    """Return all that decides how the run goes on, besides the state that is saved."""
    return {
        "images": list(images.shape),
        "images_crc32": _crc32(images),
        "labels_crc32": None if labels is None else _crc32(labels),
        "validation": validation is not None,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
    }


def _crc32(values: Tensor) -> int:
    return zlib.crc32(values.cpu().contiguous().numpy())


def _not_finite(what: str, epoch: int, checkpoint: object) -> FloatingPointError:
    if checkpoint is None:
        kept = "no checkpoint was asked for"
    elif Path(str(checkpoint)).exists():
        kept = f"the last good checkpoint, of epoch {epoch - 1}, is kept in {checkpoint}"
    else:
        kept = "it happened before the first checkpoint"
    return FloatingPointError(
        f"{what} of epoch {epoch}; training stopped, {kept}. "
        "Expected a finite number: lower lr, or look for the first layer that overflows."
    )


def _differences(left: list[float], right: list[float]) -> list[float]:
    return [a - b for a, b in zip(left, right, strict=True)]
