"""Claims about MNIST and lots: read whole and true, or refused with a reason; drawn as they say."""

import gzip
import hashlib
import re
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_helpers import data
from vae_helpers.data import MNIST_ROOT, binarize, draw_lots, load_mnist

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def unpacked(name: str) -> np.ndarray:
    return np.frombuffer(gzip.decompress((MNIST_ROOT / f"{name}.gz").read_bytes()), np.uint8)


@pytest.mark.parametrize(
    ("split", "stem", "counts"),
    [
        ("train", "train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("test", "t10k", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ],
)
def test_a_split_is_what_its_archives_hold_row_by_row(split, stem, counts):
    images, labels = load_mnist(split)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.shape == (sum(counts), 784)
    assert labels.bincount().tolist() == counts
    # After the headers, of 16 and 8 bytes, the archives hold one byte a pixel and one a label.
    pixels = unpacked(f"{stem}-images-idx3-ubyte")[16:].reshape(-1, 784)
    assert torch.equal(images, torch.tensor(pixels) / 255)
    assert labels.tolist() == unpacked(f"{stem}-labels-idx1-ubyte")[8:].tolist()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with four small archives, which take the place of the real ones."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(data, "_SPLITS", {"train": ("train", 6), "test": ("t10k", 3)})
    for stem, count in data._SPLITS.values():
        for kind, size in [("images-idx3", 16 + 784 * count), ("labels-idx1", 8 + count)]:
            name, content = f"{stem}-{kind}-ubyte", rng.bytes(size)
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
            monkeypatch.setitem(data._SHA256, name, hashlib.sha256(content).hexdigest())
    return tmp_path


def test_a_read_only_folder_loads_and_stays_as_it_was(root):
    before = {path: path.read_bytes() for path in root.iterdir()}
    root.chmod(0o555)  # a superuser could write all the same: hence the comparison
    assert [len(load_mnist(split, root=str(root))[0]) for split in ("train", "test")] == [6, 3]
    assert {path: path.read_bytes() for path in root.iterdir()} == before


def test_the_device_is_where_the_tensors_are_put(root):
    assert {each.device.type for each in load_mnist("train", root=root, device="meta")} == {"meta"}


@pytest.mark.parametrize("missing", [IMAGES, LABELS])
def test_a_missing_archive_is_named_with_its_repair_and_the_other_split_loads(root, missing):
    (root / f"{missing}.gz").unlink()
    expected = rf"^expected {missing}\.gz in {re.escape(str(root))}; found none.*git checkout.*copy"
    with pytest.raises(FileNotFoundError, match=expected):
        load_mnist("train", root=root)
    assert len(load_mnist("test", root=root)[0]) == 3


def flip(content: bytes) -> bytes:
    return content[:2000] + bytes([content[2000] ^ 1]) + content[2001:]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda c: c[:-1], "bytes that do not unpack"),
        (flip, "bytes that do not unpack"),  # found by the archive's own checksum
        (lambda c: c[:10] + b"\xff" + c[11:], "bytes that do not unpack"),  # no such method
        (lambda _: b"", "found 0 bytes"),
        (lambda c: gzip.compress(flip(gzip.decompress(c))), "found 4,720 bytes with SHA-256"),
    ],
    ids=["cut", "flipped", "method", "empty", "altered"],
)
def test_a_damaged_archive_is_refused_with_what_was_found(root, damage, found):
    archive = root / f"{IMAGES}.gz"
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(ValueError, match="truncated or altered") as error:
        load_mnist("train", root=root)
    parts = (str(archive), "expected an archive of 4,720 bytes", data._SHA256[IMAGES], found)
    assert all(part in str(error.value) for part in (*parts, "git checkout"))


def test_never_more_than_a_whole_file_is_unpacked(root):
    (root / f"{IMAGES}.gz").write_bytes(gzip.compress(bytes(10**8)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="found more than 4,720 bytes"):
        load_mnist("train", root=root)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6  # bytes


def test_binary_images_are_ink_as_often_as_their_grey_value_says_and_repeat_under_a_seed():
    grey = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64).repeat(100_000, 1)
    drawn, again = (binarize(grey, generator=torch.Generator().manual_seed(0)) for _ in "ab")
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, binarize(grey))
    assert drawn.dtype == grey.dtype
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    # Four standard errors of a mean of 100,000 draws are at most 4 · 0.5 / 316 = 0.0063; where
    # the grey value is 0 or 1 nothing is random.
    assert (drawn.mean(0) - grey[0]).abs().max() < 0.0064
    assert torch.equal(drawn[:, [0, 4]], grey[:, [0, 4]])


@given(st.integers(1, 300), st.data(), st.integers(0, 2**32))
def test_lots_are_different_indices_and_the_first_of_them_are_fewer_lots(count, choose, seed):
    n = choose.draw(st.integers(1, count))
    lots = draw_lots(count, n, seed=seed)
    assert (lots.dtype, lots.shape) == (torch.int64, (n,))
    assert len(set(lots.tolist()) & set(range(count))) == n
    assert torch.equal(draw_lots(count, count, seed=seed)[:n], lots)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_mnist("Train"), r'"train" \(60,000 images\) or "test" .*; found \'Train\''),
        (lambda: load_mnist("train", root="nowhere", device="cuda:99"), "device must be one that"),
        (lambda: binarize(torch.tensor([0.5, 1.1])), r"values in \[0, 1\]; found values from"),
        (lambda: draw_lots(10, 0, seed=0), "n must be a whole number of at least 1; found 0"),
        (lambda: draw_lots(10, 11, seed=0), "count must be .* at least 11; found 10. Draw fewer"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
