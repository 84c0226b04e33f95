"""One helper for each kind of check: every error says what was expected, what came, the repair."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def check_count(name: str, value: object, repair: str, *, least: int = 1) -> None:
    """Raise a ValueError unless value is a whole number, at least this one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}; found {value!r}. {repair}"
        )


def check_positive(name: str, value: object, repair: str, *, zero: bool = False) -> None:
    """Raise a ValueError unless value is a finite number above 0, or 0 where that is allowed."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 <= value < math.inf) or (value == 0 and not zero):
        kind = "at least 0" if zero else "positive"
        raise ValueError(f"{name} must be {kind} and finite; found {value!r}. {repair}")


def check_in_unit_interval(images: Tensor) -> None:
    """Raise a ValueError unless all values lie in [0, 1]."""
    low, high = (bound.item() for bound in torch.aminmax(images.detach()))
    if not (low >= 0 and high <= 1):  # false for NaN as well
        raise ValueError(
            f"images must have finite values in [0, 1]; found values from {low} to {high}. "
            "Rescale them, for bytes with x.float() / 255, or remove what is not a number."
        )


def check_width(name: str, values: Tensor, width: int) -> None:
    """Raise a ValueError unless the last axis of z or the like has this length."""
    if values.ndim < 1 or values.shape[-1] != width:
        raise ValueError(
            f"{name} must have shape (B, {width}); found {tuple(values.shape)}. "
            "Give one value for each latent variable."
        )


def check_images(x: object, pixels: int, weight: Tensor, *, binary: bool) -> None:
    """Raise a ValueError unless these are images ``(B, D)`` that fit these weights."""
    if not isinstance(x, Tensor) or x.dtype != weight.dtype:
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        repair = f"torch.as_tensor(x, dtype={weight.dtype})"
        if found == torch.uint8:
            repair = "x.float() / 255"
        raise ValueError(
            f"images must be a tensor of {weight.dtype} in [0, 1]; found {found}. "
            f"Convert them with {repair}."
        )
    if x.ndim != 2 or x.shape[1] != pixels or x.shape[0] == 0:
        size = x[:1].numel()
        repair = "Flatten each with x.flatten(1)" if size == pixels else f"Make VAE(pixels={size})"
        raise ValueError(
            f"images must have shape (B, {pixels}) with B >= 1; found {tuple(x.shape)}. "
            f"{repair}, and leave no batch empty."
        )
    if x.device != weight.device:
        raise ValueError(
            f"images must be on the device of the weights, {weight.device}; "
            f"found {x.device}. Move them with x.to({str(weight.device)!r})."
        )
    check_in_unit_interval(x)
    if binary and not ((x == 0) | (x == 1)).all():
        raise ValueError(
            "images must be binary, 0 or 1, for a model with Bernoulli pixels; found grey "
            "values. Draw binary ones with vae_helpers.data.binarize(x)."
        )


def check_labels(labels: object, classes: int, count: int | None = None) -> None:
    """Raise a ValueError unless these are labels 0 to C − 1, and so many."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 1:
        found = type(labels).__name__
        if isinstance(labels, Tensor):
            found = f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise ValueError(
            f"labels must be a tensor of torch.int64 of shape (B,); found {found}. "
            "Take them as load_mnist returns them, or use torch.tensor([3, 1, 4])."
        )
    if len(labels) == 0 or count not in (None, len(labels)):
        raise ValueError(
            f"labels must be one an image; found {len(labels)} for {count or 'any'} images. "
            "Take both from the same load_mnist."
        )
    low, high = (bound.item() for bound in torch.aminmax(labels))
    if low < 0 or high >= classes:
        raise ValueError(
            f"labels must lie in 0 to {classes - 1}; found {low} to {high}. "
            "Remove or renumber what is no class of this model."
        )


def check_device(device: str | torch.device) -> torch.device:
    """Return the device, or raise a ValueError that says which devices this machine has.

    torch's ``"meta"``, which holds shapes and no numbers, is always there.
    """
    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    available += ["mps"] if torch.backends.mps.is_available() else []
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    if str(found) not in {"meta", *available, *(name.split(":")[0] for name in available)}:
        raise ValueError(
            f"device must be one that this machine has, {', '.join(available)}; "
            f"found {str(device)!r}. Use one of these, or install a torch built for your device."
        )
    return found
