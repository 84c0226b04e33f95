"""MNIST as tensors, binary images, and lots. Nothing is written to disk or asked of a network."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_helpers.checks import check_count, check_device, check_in_unit_interval

MNIST_ROOT = Path(__file__).resolve().parent.parent / "data" / "mnist"
"""Where the book ships the four archives."""

_SPLITS = {"train": ("train", 60_000), "test": ("t10k", 10_000)}
_SHA256 = {  # of the unpacked files
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def load_mnist(
    split: str, *, root: str | os.PathLike[str] = MNIST_ROOT, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    """Read the 60,000 digits of "train" or the 10,000 of "test" from the archives ``root/*.gz``.

    Every load verifies what it unpacks by SHA-256, and keeps it in memory alone. An archive that
    is truncated or altered is a ValueError, one that is missing a FileNotFoundError.

    Returns:
        images ``(N, 784)``, float32 in [0, 1], row by row from the top left, 1 is ink;
        labels ``(N,)``, int64 in 0 to 9.

    Source: LeCun, Cortes & Burges, The MNIST database of handwritten digits.
    """
    if split not in _SPLITS:
        raise ValueError(
            f'split must be "train" (60,000 images) or "test" (10,000); found {split!r}.'
        )
    device, (stem, count) = check_device(device), _SPLITS[split]
    # After headers of 16 and 8 bytes the files hold one byte a pixel and one a label.
    pixels = _unpack(Path(root), f"{stem}-images-idx3-ubyte", 16 + count * 28 * 28)[16:]
    labels = _unpack(Path(root), f"{stem}-labels-idx1-ubyte", 8 + count)[8:]
    images = torch.tensor(pixels.reshape(-1, 28 * 28), dtype=torch.float32, device=device)
    images.div_(255)  # in place: a second copy would be the largest thing in memory
    return images, torch.tensor(labels, dtype=torch.int64, device=device)


def _unpack(root: Path, name: str, size: int) -> np.ndarray:
    archive = root / f"{name}.gz"
    restore = "Run `git checkout -- data/mnist`, or copy the four published archives to the folder."
    try:
        with gzip.open(archive) as packed:
            content = packed.read(size + 1)  # never more than a whole file, whatever it holds
        sha256 = hashlib.sha256(content).hexdigest()
        length = f"{len(content):,}" if len(content) <= size else f"more than {size:,}"
        found = f"{length} bytes with SHA-256 {sha256}"
    except FileNotFoundError:
        raise FileNotFoundError(f"expected {name}.gz in {root}; found none. {restore}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        sha256, found = None, f"{archive.stat().st_size:,} bytes that do not unpack ({error})"
    if sha256 != _SHA256[name]:
        raise ValueError(
            f"{archive} is truncated or altered: expected an archive of {size:,} bytes with "
            f"SHA-256 {_SHA256[name]}; found {found}. {restore}"
        )
    return np.frombuffer(content, np.uint8)


def binarize(images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw black and white images: each pixel is ink with its grey value as probability.

    Images ``(N, D)`` in [0, 1] become images of the same shape and type, each pixel 0 or 1. Drawn
    anew each time an image is seen this is *dynamic* binarization; drawn once and kept it is
    *fixed*. Results of the two are not comparable.

    Source: Salakhutdinov & Murray 2008; Burda et al. 2016, section 5.
    """
    check_in_unit_interval(images)
    return torch.bernoulli(images, generator=generator)


def draw_lots(count: int, n: int, *, seed: int) -> Tensor:
    """Draw n of the indices 0 to count − 1 without replacement, ``(n,)``, int64.

    MNIST is ordered by its writers, so a slice is no sample: take ``images[draw_lots(…)]``. The
    order of the lots is by lot as well, so the first of them are a smaller sample.

    Source: Yadav & Bottou 2019, on who wrote which digit of MNIST.
    """
    check_count("n", n, "Say how many to draw, for example 1000.")
    check_count("count", count, "Draw fewer, or of more: none is drawn twice.", least=n)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:n]
