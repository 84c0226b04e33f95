"""MNIST as tensors: the only file that touches disk formats or torchvision."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_helpers.devices import check_device
from vae_helpers.files import write_atomically

MNIST_ROOT = Path(__file__).resolve().parent.parent / "data" / "mnist"
"""Where the book ships the four archives."""


class _IdxFile(NamedTuple):
    name: str
    size: int  # bytes, unpacked
    sha256: str  # of the unpacked file


_FILES = (
    _IdxFile(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    _IdxFile(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    _IdxFile(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    _IdxFile(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def load_mnist(
    split: str, *, root: str | os.PathLike[str] = MNIST_ROOT, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    """Load the MNIST digits into memory, the same as torchvision's MNIST class reads.

    The archives ``root/*.gz`` are unpacked once into ``root/MNIST/raw``; every load verifies
    the unpacked files by SHA-256. Where both are absent torchvision downloads them. Else it is
    not imported, which would take longer than all the rest.

    Args:
        split: "train" for the 60,000 training images, "test" for the 10,000 test images.
        root: folder of the archives.
        device: where the tensors are put.

    Returns:
        images ``(N, 784)``, float32 in [0, 1], row by row from the top left, 1 is ink;
        labels ``(N,)``, int64 in 0 to 9.

    Raises:
        ValueError: split is neither "train" nor "test", a file is truncated or altered, or
            there is no such device.
        FileNotFoundError: a file is missing and could not be downloaded.
        OSError: the archives could not be unpacked, for example into a read-only folder.

    Source: LeCun, Cortes & Burges, The MNIST database of handwritten digits.
    """
    if split not in ("train", "test"):
        raise ValueError(
            f'split must be "train" (60,000 images) or "test" (10,000); found {split!r}.'
        )
    device = check_device(device)
    root = Path(root)
    raw = root / "MNIST" / "raw"
    missing = [file for file in _FILES if not _ensure_unpacked(file, root, raw)]
    if missing:
        _download(_torchvision_mnist(), missing, root, raw)
    # After headers of 16 and 8 bytes the files hold one byte a pixel and one a label.
    stem = "train" if split == "train" else "t10k"
    pixels = np.fromfile(raw / f"{stem}-images-idx3-ubyte", np.uint8, offset=16)
    labels = np.fromfile(raw / f"{stem}-labels-idx1-ubyte", np.uint8, offset=8)
    images = torch.from_numpy(pixels.reshape(-1, 28 * 28)).to(device, torch.float32)
    images.div_(255)  # in place: a second copy would be the largest thing in memory
    return images, torch.from_numpy(labels).to(device, torch.int64)


def binarize(images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw black and white images: each pixel is ink with its grey value as probability.

    Drawn anew each time an image is seen this is *dynamic* binarization; drawn once and kept
    it is *fixed*. Results of the two are not comparable.

    Args:
        images: grey images, ``(N, D)``, in [0, 1].
        generator: source of the draws; None takes torch's global one.

    Returns:
        Images of the same shape and type, each pixel 0 or 1.

    Raises:
        ValueError: a value lies outside [0, 1], or is not a number.

    Source: Salakhutdinov & Murray 2008; Burda et al. 2016, section 5.
    """
    low, high = (bound.item() for bound in torch.aminmax(images))
    if not (low >= 0 and high <= 1):  # false for NaN as well
        raise ValueError(
            f"images must have finite values in [0, 1]; found values from {low} to {high}. "
            "Rescale them, for bytes with x.float() / 255."
        )
    return torch.bernoulli(images, generator=generator)


def _ensure_unpacked(file: _IdxFile, root: Path, raw: Path) -> bool:
    """Leave a verified raw file, from the archive if need be; False where there is neither."""
    target, archive = raw / file.name, root / f"{file.name}.gz"
    if target.exists() and (_sha256(target) == file.sha256 or not archive.exists()):
        _verify(file, target)
        return True
    if not archive.exists():
        return False
    _unpack(file, archive, target)
    return True


def _unpack(file: _IdxFile, archive: Path, target: Path) -> None:
    expected = f"{file.size:,} bytes with SHA-256 {file.sha256}"
    repair = "Restore it with `git checkout -- data/mnist`, or copy the original archive again."
    try:
        with gzip.open(archive) as packed:
            content = packed.read(file.size + 1)  # never more than a whole file, whatever it holds
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{archive} is truncated or altered: expected an archive of {expected}; "
            f"found {archive.stat().st_size:,} bytes that do not unpack ({error}). {repair}"
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        size = f"{len(content):,}" if len(content) <= file.size else f"more than {file.size:,}"
        raise ValueError(
            f"{archive} is truncated or altered: expected an archive of {expected}; "
            f"found {size} bytes with SHA-256 {sha256}. {repair}"
        )
    _write_raw(target, content)


def _write_raw(target: Path, content: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write {target.name}: expected a folder that can be written to and has room, "
            f"found {os.strerror(error.errno)!r}. Repair that, or copy the archives to another "
            "folder and pass it as root",
            str(target.parent),
        ) from error


def _verify(file: _IdxFile, path: Path) -> None:
    found = _sha256(path)
    if found != file.sha256:
        raise ValueError(
            f"{path} is truncated or altered: expected {file.size:,} bytes with SHA-256 "
            f"{file.sha256}; found {path.stat().st_size:,} bytes with SHA-256 {found}. "
            f"Delete it, and put {file.name}.gz into the folder that is passed as root."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(mnist: type, missing: list[_IdxFile], root: Path, raw: Path) -> None:
    names = ", ".join(f"{file.name}.gz" for file in missing)
    with tempfile.TemporaryDirectory() as staging:
        try:
            mnist(staging, download=True)
        except (OSError, RuntimeError) as error:
            raise FileNotFoundError(
                f"expected {names} in {root}; found them neither there nor on the network "
                f"({str(error).strip()}). Restore them with `git checkout -- data/mnist`, "
                "or copy them there."
            ) from error
        for file in missing:
            downloaded = Path(staging) / "MNIST" / "raw" / file.name
            _verify(file, downloaded)
            _write_raw(raw / file.name, downloaded.read_bytes())


_operators: list[torch.library.Library] = []  # kept alive: a Library takes its operators with it


def _torchvision_mnist() -> type:
    """Import torchvision's MNIST class, beside a torch with or without CUDA.

    torchvision's compiled operators want the CUDA libraries. Beside a torch built without
    them they do not load, and the import stops at `torchvision::nms`. MNIST uses no
    operator, so their signatures alone are enough.
    """
    if torch.version.cuda is None and not _operators and not _torchvision_operators_load():
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _operators.append(library)
    from torchvision.datasets import MNIST

    return MNIST


def _torchvision_operators_load() -> bool:
    from importlib.util import find_spec

    folder = Path(find_spec("torchvision").origin).parent
    for library in folder.glob("_C*"):
        try:
            torch.ops.load_library(library)
        except OSError:
            continue
        return True
    return False
