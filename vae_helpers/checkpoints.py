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

from vae_helpers.checks import check_device
from vae_helpers.conditional import ConditionalVAE
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
    vae.to(next(iter(tensors.values())).dtype).load_state_dict(tensors)
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
        if path is None and resume:
            raise ValueError(
                "resume=True needs a file to go on from; found checkpoint=None. "
                "Pass the path of the run's checkpoint."
            )
        if path is None:
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
        for name, value in optimizer.state_dict()["state"].get(0, {}).items():  # of one vector
            tensors[f"adam.0.{name}"] = value.cpu()
        for name, values in history.items():
            tensors[f"history.{name}"] = torch.tensor(values, dtype=torch.float64)
        tensors["generator"] = generator.get_state()
        sizes = architecture(self.vae)
        header = {"kind": "checkpoint", "architecture": sizes, "recipe": self.recipe}
        _write(self.path, tensors, header)

    def load(
        self, optimizer: torch.optim.Optimizer, generator: torch.Generator, *, max_epochs: int
    ) -> History:
        """Put the run back and return its history, ``{}`` where there is no file.

        A file that is damaged, past max_epochs or of another run is a ValueError that leaves model,
        optimizer and generator as they were.
        """
        if self.path is None or not self.path.exists():
            return {}
        tensors, header = _read(self.path, "checkpoint")
        expected = architecture(self.vae) | self.recipe
        found = header["architecture"] | header["recipe"]
        different = [
            f"{name} = {expected.get(name)!r}, found {found.get(name)!r}"
            for name in sorted(expected.keys() | found.keys())
            if expected.get(name) != found.get(name)
        ]
        if different:
            raise ValueError(
                f"{self.path} is of another run: expected {'; '.join(different)}. "
                "Pass what the file was made with, or another checkpoint path."
            )
        history = {name: value.tolist() for name, value in _part(tensors, "history.").items()}
        if (epochs := len(history["elbo"])) > max_epochs:
            raise ValueError(
                f"{self.path} is past the epochs asked for: expected at most {max_epochs}; "
                f"found {epochs}. Ask for more epochs, or for another checkpoint path."
            )
        self.vae.load_state_dict(_part(tensors, "vae."))
        state = {0: _part(tensors, "adam.0.")}
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        generator.set_state(tensors["generator"])
        return history

    def kept(self, epoch: int) -> str:
        """Say what is on disk when a run breaks off after so many epochs."""
        if self.path is None or not self.path.exists():
            return "there is no checkpoint"
        return f"the last good checkpoint, of epoch {epoch}, is kept in {self.path}"


def architecture(vae: VAE) -> dict[str, object]:
    """Return the arguments that build a VAE of the same sizes."""
    names = ("latent_dim", "pixels", "sigma2", "activation", "classes")
    sizes = {name: getattr(vae, name) for name in names if hasattr(vae, name)}
    return sizes | {"hidden": list(vae.hidden)}


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
            f"expected a {kind} file of safetensors at {path}; found {path.stat().st_size:,} bytes "
            f"that are cut short, damaged or of another kind ({error}). Pass another path, or make "
            "the file again."
        ) from error
    if header.get("kind") != kind:
        raise ValueError(
            f"expected a {kind} file of vae_helpers at {path}; found "
            f"{header.get('kind', 'a safetensors file of another program')}. Pass another path, or "
            "make the file with save_vae or with fit(checkpoint=...)."
        )
    return tensors, header


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    named = tensors.items()
    return {n.removeprefix(prefix): value for n, value in named if n.startswith(prefix)}


def _crc32(values: Tensor) -> int:
    return zlib.crc32(values.cpu().contiguous().numpy())
