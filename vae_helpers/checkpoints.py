"""Weights and training runs on disk: safetensors, replaced whole or not at all, no pickle."""

from __future__ import annotations

import json
import os
import zlib
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
History = dict[str, list[float]]


def save_vae(vae: VAE, path: PathLike) -> None:
    """Save the weights of a VAE and the sizes that rebuild it; an old file survives an error."""
    tensors = {name: value.detach().cpu() for name, value in vae.state_dict().items()}
    _write(Path(path), tensors, {"kind": "vae", "architecture": architecture(vae)})


def load_vae(path: PathLike, *, device: str | torch.device = "cpu") -> VAE:
    """Rebuild a VAE, with its sizes and weights, from a file that `save_vae` wrote."""
    device = check_device(device)
    tensors, header = _read(Path(path), "vae")
    sizes = header["architecture"]
    vae = (ConditionalVAE if "classes" in sizes else VAE)(**sizes)
    _load_weights(Path(path), vae.to(next(iter(tensors.values())).dtype), tensors)
    return vae.to(device)


class Checkpoint:
    """All that a training run needs to go on bit for bit, in one file; without a path, nothing."""

    def __init__(
        self,
        path: PathLike | None,
        vae: VAE,
        images: Tensor,
        labels: Tensor | None,
        settings: Mapping[str, object],
        *,
        resume: bool,
    ) -> None:
        self.path, self.vae = None if path is None else Path(path), vae
        if self.path is None:
            if resume:
                raise ValueError(
                    "resume=True needs a file to go on from; found checkpoint=None. "
                    "Pass the path of the run's checkpoint."
                )
            return
        if not self.path.parent.is_dir():
            raise ValueError(
                f"checkpoint must lie in a folder that exists; found {path}. "
                f"Make the folder {self.path.parent} first."
            )
        if self.path.exists() and not resume:
            raise FileExistsError(
                f"{path} exists; expected a new checkpoint. Go on from it with resume=True, or "
                "choose another path."
            )
        self.recipe = dict(settings) | {
            "images": list(images.shape),
            "images_crc32": _crc32(images),
            "labels_crc32": None if labels is None else _crc32(labels),
            "trained": sum(each.numel() for each in vae.parameters() if each.requires_grad),
        }

    def save(
        self, optimizer: torch.optim.Optimizer, generator: torch.Generator, history: History
    ) -> None:
        """Replace the file by the run as it stands."""
        if self.path is None:
            return
        tensors = {f"vae.{name}": value.cpu() for name, value in self.vae.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value.cpu() for name, value in state.items()}
        tensors["generator"] = generator.get_state()
        for name, values in history.items():
            tensors[f"history.{name}"] = torch.tensor(values, dtype=torch.float64)
        header = {"kind": "checkpoint", "architecture": architecture(self.vae)}
        _write(self.path, tensors, header | {"recipe": self.recipe})

    def load(
        self, optimizer: torch.optim.Optimizer, generator: torch.Generator, *, max_epochs: int
    ) -> History:
        """Put the run back and return its history, ``{}`` where there is no file.

        Raises:
            ValueError: the file is damaged, past max_epochs, or of another kind, architecture or
                recipe; model, optimizer and generator are then as they were.
        """
        if self.path is None or not self.path.exists():
            return {}
        tensors, header = _read(self.path, "checkpoint")
        _check_equal(self.path, "architecture", architecture(self.vae), header["architecture"])
        _check_equal(self.path, "recipe", self.recipe, header["recipe"])
        history = {name: value.tolist() for name, value in _part(tensors, "history.").items()}
        epochs = max(map(len, history.values()))
        if epochs > max_epochs:
            raise ValueError(
                f"{self.path} is past the epochs asked for: expected at most {max_epochs}; "
                f"found {epochs}. Ask for more epochs, or for another checkpoint path."
            )
        _load_weights(self.path, self.vae, _part(tensors, "vae."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "adam.").items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        generator.set_state(tensors["generator"])
        return history

    def kept(self, epoch: int) -> str:
        """Say what is on disk when a run breaks off after so many epochs."""
        if self.path is None:
            return "no checkpoint was asked for"
        if not self.path.exists():
            return "it happened before the first checkpoint"
        return f"the last good checkpoint, of epoch {epoch}, is kept in {self.path}"


def architecture(vae: VAE) -> dict[str, object]:
    """Return the arguments that build a VAE of the same sizes."""
    names = ("latent_dim", "hidden", "pixels", "sigma2", "activation")
    sizes = {name: getattr(vae, name) for name in names} | {"hidden": list(vae.hidden)}
    return sizes | {"classes": vae.classes} if isinstance(vae, ConditionalVAE) else sizes


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, object]) -> None:
    # One metadata entry: safetensors writes several in random order, and bytes must repeat.
    write_atomically(path, save(tensors, {"vae_helpers": json.dumps(header, sort_keys=True)}))


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict]:
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a {kind} file at {path}; found none. Check the path, or make the file."
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("vae_helpers", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} does not read as a safetensors file of {kind}: it is cut short, damaged or "
            f"another kind of file; found {path.stat().st_size:,} bytes ({error}). Pass another "
            "path, or make the file again."
        ) from error
    if header.get("kind") != kind:
        raise ValueError(
            f"{path} holds something else: expected a {kind} file of vae_helpers; "
            f"found {header.get('kind', 'a safetensors file of another program')}. "
            "Pass another path, or make the file with save_vae or with fit(checkpoint=...)."
        )
    return tensors, header


def _load_weights(path: Path, vae: VAE, tensors: dict[str, Tensor]) -> None:
    # Compared first: load_state_dict copies all that fits before it raises, and casts in silence.
    expected, found = (
        {name: f"{value.dtype} {tuple(value.shape)}" for name, value in each.items()}
        for each in (vae.state_dict(), tensors)
    )
    _check_equal(path, "weights", expected, found)
    vae.load_state_dict(tensors)


def _check_equal(path: Path, what: str, expected: dict, found: dict) -> None:
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


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    named = tensors.items()
    return {n.removeprefix(prefix): value for n, value in named if n.startswith(prefix)}


def _crc32(values: Tensor) -> int:
    return zlib.crc32(values.cpu().contiguous().numpy())
