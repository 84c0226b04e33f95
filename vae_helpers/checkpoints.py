"""Weights and checkpoints on disk: safetensors, replaced atomically, nothing unpickled."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vae_helpers.conditional import ConditionalVAE
from vae_helpers.devices import check_device
from vae_helpers.files import write_atomically
from vae_helpers.networks import VAE

PathLike = str | os.PathLike[str]


def save_vae(vae: VAE, path: PathLike) -> None:
    """Save the weights of a VAE and the sizes that rebuild it, atomically.

    Args:
        vae: the model.
        path: the file, by custom ending in ``.safetensors``; its folder exists.

    Raises:
        OSError: the file cannot be written; an old one is then untouched.
    """
    tensors = {name: value.detach().cpu() for name, value in vae.state_dict().items()}
    _write(path, tensors, {"kind": "vae", "architecture": architecture(vae)})


def load_vae(path: PathLike, *, device: str | torch.device = "cpu") -> VAE:
    """Rebuild a VAE from a file that `save_vae` wrote.

    Args:
        path: the file.
        device: where the weights are put.

    Returns:
        The VAE, with the sizes and the weights of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, or no weights of a VAE; or there is no such device.
    """
    device = check_device(device)
    tensors, header = _read(path, "vae")
    sizes = header["architecture"]
    vae = (ConditionalVAE if "classes" in sizes else VAE)(**sizes).to(
        next(iter(tensors.values())).dtype
    )
    _load_weights(vae, tensors, path)
    return vae.to(device)


def save_checkpoint(
    path: PathLike,
    *,
    vae: VAE,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    recipe: Mapping[str, object],
    history: Mapping[str, list[float]],
) -> None:
    """Save all that a training run needs to go on bit for bit, atomically.

    Args:
        path: the file; its folder exists.
        vae: the model; its weights are saved.
        optimizer: Adam; its moments and step counts are saved.
        generator: the source of shuffling and noise; its state is saved.
        recipe: what must be the same for the run to go on (JSON values).
        history: named lists of one number an epoch.

    Raises:
        OSError: the file cannot be written; an old one is then untouched.
    """
    tensors = {f"vae.{name}": value.cpu() for name, value in vae.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value.cpu() for name, value in state.items()}
    tensors["generator"] = generator.get_state()
    tensors |= {
        f"history.{name}": torch.tensor(values, dtype=torch.float64)
        for name, values in history.items()
    }
    header = {"kind": "checkpoint", "architecture": architecture(vae), "recipe": dict(recipe)}
    _write(path, tensors, header)


def load_checkpoint(
    path: PathLike,
    *,
    vae: VAE,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    recipe: Mapping[str, object],
    max_epochs: float = math.inf,
) -> dict[str, list[float]]:
    """Put a saved run back into vae, optimizer and generator, and return its history.

    Args:
        path: a file that `save_checkpoint` wrote.
        vae: the model to fill; it must have the architecture of the file.
        optimizer: Adam over the parameters of vae.
        generator: the generator to set.
        recipe: the recipe of this run; it must equal the file's.
        max_epochs: length of this run; the file must not be past it.

    Returns:
        Named lists of one number an epoch, as they were saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, past max_epochs, or of another kind, architecture
            or recipe; vae, optimizer and generator are then as they were.
    """
    tensors, header = _read(path, "checkpoint")
    _check_equal(path, "architecture", architecture(vae), header["architecture"])
    _check_equal(path, "recipe", dict(recipe), header["recipe"])
    history = {name: value.tolist() for name, value in _with_prefix(tensors, "history.").items()}
    epochs = max(map(len, history.values()), default=0)
    if epochs > max_epochs:
        raise ValueError(
            f"{path} is past the epochs asked for: expected at most {max_epochs}; "
            f"found {epochs}. Ask for more epochs, or for another checkpoint path."
        )
    _load_weights(vae, _with_prefix(tensors, "vae."), path)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _with_prefix(tensors, "adam.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    generator.set_state(tensors["generator"])
    return history


def architecture(vae: VAE) -> dict[str, object]:
    """Return the arguments that build a VAE of the same sizes."""
    sizes: dict[str, object] = {
        "latent_dim": vae.latent_dim,
        "hidden": list(vae.hidden),
        "pixels": vae.pixels,
        "sigma2": vae.sigma2,
        "activation": vae.activation,
    }
    return sizes | {"classes": vae.classes} if isinstance(vae, ConditionalVAE) else sizes


def _write(path: PathLike, tensors: dict[str, Tensor], header: dict[str, object]) -> None:
    # One metadata entry: safetensors writes several in random order, and bytes must repeat.
    content = save(tensors, {"vae_helpers": json.dumps(header, sort_keys=True)})
    write_atomically(Path(path), content)


def _read(path: PathLike, kind: str) -> tuple[dict[str, Tensor], dict]:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"expected a {kind} file at {path}; found none. Check the path, or make the file."
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("vae_helpers", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} is cut short or damaged: expected a safetensors file of {kind}; "
            f"found {Path(path).stat().st_size:,} bytes that do not read ({error}). "
            "Delete it and make it again, or restore a copy."
        ) from error
    if header.get("kind") != kind:
        raise ValueError(
            f"{path} holds something else: expected a {kind} file of vae_helpers; "
            f"found {header.get('kind', 'a safetensors file of another program')}. "
            "Pass another path, or make the file with save_vae or with fit(checkpoint=...)."
        )
    return tensors, header


def _load_weights(vae: VAE, tensors: dict[str, Tensor], path: PathLike) -> None:
    # Compared first: load_state_dict copies all that fits before it raises, and casts in silence.
    _check_equal(path, "weights", _signature(vae.state_dict()), _signature(tensors))
    vae.load_state_dict(tensors)


def _signature(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: f"{value.dtype} {tuple(value.shape)}" for name, value in tensors.items()}


def _check_equal(path: PathLike, what: str, expected: dict, found: dict) -> None:
    different = [
        f"{name} = {expected.get(name)!r}, found {found.get(name)!r}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if different:
        raise ValueError(
            f"{path} is of another {what}: expected {'; '.join(different)}. "
            "Pass what the file was made with, or another checkpoint path."
        )


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
