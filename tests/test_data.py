"""Claims about MNIST on disk and in memory: read whole and true, or refused with a reason."""

import contextlib
import errno
import gzip
import hashlib
import http.server
import os
import re
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_helpers import data
from vae_helpers.data import MNIST_ROOT, binarize, load_mnist

IMAGES = "train-images-idx3-ubyte"


# The real data


def archive_bytes(name: str) -> np.ndarray:
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
    assert (images.min().item(), images.max().item()) == (0, 1)
    assert labels.bincount().tolist() == counts
    # After the headers, of 16 and 8 bytes, the archives hold one byte a pixel and one a label.
    pixels = archive_bytes(f"{stem}-images-idx3-ubyte")[16:].reshape(-1, 784)
    assert torch.equal(images, torch.tensor(pixels) / 255)
    assert labels.tolist() == archive_bytes(f"{stem}-labels-idx1-ubyte")[8:].tolist()


# Small archives of the same format, in a folder of their own


@pytest.fixture
def mnist(monkeypatch):
    """torchvision's MNIST class, with no mirror that answers."""
    cls = data._torchvision_mnist()
    monkeypatch.setattr(cls, "mirrors", ["http://127.0.0.1:9/"])  # the port that discards
    monkeypatch.setenv("no_proxy", "*")
    return cls


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def contents(monkeypatch, mnist):
    """Name → content of four small files, which take the place of the real ones."""
    rng, files = np.random.default_rng(0), {}
    for stem, count in [("train", 6), ("t10k", 3)]:
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        files[f"{stem}-images-idx3-ubyte"] = idx(pixels)
        files[f"{stem}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8))
    table = [
        data._IdxFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    ]
    monkeypatch.setattr(data, "_FILES", tuple(table))
    return files


@pytest.fixture
def root(tmp_path, contents):
    """A folder with the four small archives."""
    for name, content in contents.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    return tmp_path


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def raw(root: Path, name: str = IMAGES) -> Path:
    return root / "MNIST" / "raw" / name


@pytest.mark.parametrize("split", ["train", "test"])
def test_torchvision_reads_the_same(root, mnist, split):
    images, labels = load_mnist(split, root=root)
    theirs = mnist(root, train=split == "train")
    assert torch.equal(images, theirs.data.reshape(-1, 784) / 255)
    assert torch.equal(labels, theirs.targets)


def test_loading_unpacks_the_archives_and_changes_nothing_else(root, contents):
    before = tree(root)
    images, labels = load_mnist("train", root=root)
    assert tree(root) == before | {f"MNIST/raw/{name}": c for name, c in contents.items()}
    assert images.shape == (6, 784)
    assert labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_the_splits_are_different_files(root):
    assert len(load_mnist("test", root=root)[0]) == 3
    assert len(load_mnist("train", root=root)[0]) == 6


def test_the_archives_are_unpacked_only_once(root):
    load_mnist("train", root=root)
    before = raw(root).stat()
    load_mnist("test", root=str(root))
    after = raw(root).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_verified_files_load_without_their_archives(root):
    first, _ = load_mnist("train", root=root)
    for archive in root.glob("*.gz"):
        archive.unlink()
    assert torch.equal(load_mnist("train", root=root)[0], first)


def test_the_device_is_where_the_tensors_are_put(root):
    images, labels = load_mnist("train", root=root, device="meta")
    assert (images.device.type, labels.device.type) == ("meta", "meta")


@pytest.mark.parametrize("split", ["Train", "validation", "", None, True])
def test_a_split_that_is_neither_train_nor_test_is_refused(split):
    with pytest.raises(
        ValueError, match=re.escape(f'"train" (60,000 images) or "test" (10,000); found {split!r}')
    ):
        load_mnist(split)


# Damage


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (cut, "bytes that do not unpack"),
        (flip, "found"),
        (lambda _: b"", "found 0 bytes"),
        (lambda _: b"no archive at all", "found 17 bytes that do not unpack"),
        (lambda c: gzip.compress(flip(gzip.decompress(c))), "found 4,720 bytes with SHA-256"),
        (lambda c: gzip.compress(cut(gzip.decompress(c))), "found 2,360 bytes with SHA-256"),
        (lambda c: gzip.compress(gzip.decompress(c) + b"x"), "found more than 4,720 bytes"),
        (lambda c: c + gzip.compress(bytes(10**8)), "found more than 4,720 bytes"),
        (lambda c: c[:-8] + bytes(8), "bytes that do not unpack"),  # its checksum and its length
    ],
    ids=["cut", "flipped", "empty", "other", "altered", "short", "long", "bomb", "checksum"],
)
def test_a_damaged_archive_is_refused_and_nothing_is_written(root, contents, damage, found):
    archive = root / f"{IMAGES}.gz"
    archive.write_bytes(damage(archive.read_bytes()))
    before = tree(root)
    with pytest.raises(ValueError, match="truncated or altered") as error:
        load_mnist("train", root=root)
    for part in (str(archive), "expected an archive of 4,720 bytes", found, "git checkout"):
        assert part in str(error.value)
    assert tree(root) == before


@pytest.mark.parametrize("damage", [cut, flip, lambda _: b""])
def test_a_damaged_unpacked_file_heals_from_its_archive(root, contents, damage):
    load_mnist("train", root=root)
    for name in contents:
        raw(root, name).write_bytes(damage(raw(root, name).read_bytes()))
    images, _ = load_mnist("train", root=root)
    assert images.mul(255).byte().numpy().tobytes() == contents[IMAGES][16:]
    assert tree(root / "MNIST" / "raw") == contents


@pytest.mark.parametrize("damage", [cut, flip, lambda _: b""])
def test_a_damaged_unpacked_file_without_its_archive_is_refused_and_kept(root, damage):
    load_mnist("train", root=root)
    (root / f"{IMAGES}.gz").unlink()
    raw(root).write_bytes(damage(raw(root).read_bytes()))
    before = tree(root)
    with pytest.raises(ValueError, match="truncated or altered") as error:
        load_mnist("test", root=root)
    for part in (str(raw(root)), "expected 4,720 bytes", "found", "Delete it", f"{IMAGES}.gz"):
        assert part in str(error.value)
    assert tree(root) == before


# Nothing there: the network


def test_missing_files_without_a_network_are_one_clear_error(tmp_path, contents, capsys):
    folder = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match="neither there nor on the network") as error:
        load_mnist("train", root=folder)
    for part in (*(f"{name}.gz" for name in contents), str(folder), "git checkout"):
        assert part in str(error.value)
    assert not folder.exists()


def test_the_error_names_only_the_file_that_is_missing(root):
    (root / f"{IMAGES}.gz").unlink()
    with pytest.raises(FileNotFoundError, match=rf"^expected {IMAGES}\.gz in "):
        load_mnist("train", root=root)
    assert not raw(root).exists()


@pytest.fixture
def mirror(tmp_path, contents, mnist, monkeypatch):
    """A folder that a server on this machine gives to torchvision as its only mirror."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    resources = [
        (path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in folder.iterdir()
    ]

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=folder)
    ) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        monkeypatch.setattr(mnist, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(mnist, "resources", resources)
        yield folder
        server.shutdown()


def test_missing_files_are_downloaded_by_torchvision(tmp_path, mirror, contents):
    images, _ = load_mnist("test", root=tmp_path / "new")
    assert len(images) == 3
    assert tree(tmp_path / "new") == {f"MNIST/raw/{name}": c for name, c in contents.items()}


def test_a_mirror_that_sends_something_else_is_not_believed(tmp_path, mirror):
    for archive in mirror.iterdir():
        archive.write_bytes(cut(archive.read_bytes()))
    with pytest.raises(FileNotFoundError, match="corrupted"):
        load_mnist("test", root=tmp_path / "new")
    assert not (tmp_path / "new").exists()


# Folders and disks that cannot be written to


@pytest.fixture
def public(contents):
    """A folder with the four small archives that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for name, content in contents.items():
            (root / f"{name}.gz").write_bytes(gzip.compress(content))
        yield root


@contextlib.contextmanager
def read_only(root: Path):
    """Lock a folder, for a superuser too: the body runs without a superuser's rights."""
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for folder in folders:
            folder.chmod(0o755)


def test_a_read_only_folder_is_refused_and_stays_as_it_was(public):
    before = tree(public)
    with read_only(public), pytest.raises(PermissionError, match="cannot write") as error:
        load_mnist("train", root=public)
    for part in (IMAGES, str(public), "found 'Permission denied'", "copy the archives"):
        assert part in str(error.value)
    assert tree(public) == before
    assert not (public / "MNIST").exists()


def test_a_read_only_folder_of_verified_files_loads(public):
    first, _ = load_mnist("train", root=public)
    with read_only(public):
        assert torch.equal(load_mnist("train", root=public)[0], first)


def test_a_damaged_file_in_a_read_only_folder_is_refused(public):
    load_mnist("train", root=public)
    raw(public).write_bytes(b"damaged")
    with read_only(public), pytest.raises(PermissionError, match="cannot write"):
        load_mnist("train", root=public)
    assert raw(public).read_bytes() == b"damaged"


def test_a_full_disk_leaves_no_part_of_a_file(root, full_disk):
    before = tree(root)
    with full_disk(), pytest.raises(OSError, match=f"cannot write {IMAGES}") as error:
        load_mnist("train", root=root)
    assert error.value.errno == errno.EFBIG
    assert tree(root) == before


def test_loads_at_the_same_time_do_not_hurt_each_other(root, contents):
    with ThreadPoolExecutor(8) as pool:
        loads = list(pool.map(lambda _: load_mnist("train", root=root), range(32)))
    assert all(torch.equal(images, loads[0][0]) for images, _ in loads)
    assert tree(root / "MNIST" / "raw") == contents


# torchvision


@pytest.mark.parametrize(
    "first", ["", "with contextlib.suppress(RuntimeError): import torchvision"]
)
def test_its_mnist_class_is_found_beside_any_torch(printed, first):
    program = f"""
        import contextlib
        {first}
        from vae_helpers.data import _torchvision_mnist
        print(_torchvision_mnist().__name__)
    """
    assert printed(program) == "MNIST\n"


def test_what_is_there_is_loaded_without_it(printed):
    program = """
        import sys
        from vae_helpers.data import load_mnist
        images, labels = load_mnist("test")
        print(tuple(images.shape), labels[:3].tolist(), "torchvision" in sys.modules)
    """
    assert printed(program) == "(10000, 784) [7, 2, 1] False\n"


# Binarization


def test_binary_images_are_ink_as_often_as_their_grey_value_says():
    grey = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).repeat(100_000, 1)
    drawn = binarize(grey, generator=torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    # Four standard errors of a mean of 100,000 draws are at most 4 · 0.5 / 316 = 0.0063; where
    # the grey value is 0 or 1 nothing is random.
    assert (drawn.mean(0) - grey[0]).abs().max() < 0.0064
    assert torch.equal(drawn[:, [0, 4]], grey[:, [0, 4]])


def test_binarization_repeats_under_a_seed_and_is_new_in_every_call():
    grey = torch.full((3, 50), 0.5)
    first, again = (binarize(grey, generator=torch.Generator().manual_seed(1)) for _ in "ab")
    assert torch.equal(first, again)
    assert not torch.equal(binarize(grey), binarize(grey))
    assert first.dtype == grey.dtype
    assert torch.equal(grey, torch.full((3, 50), 0.5))


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0, float("nan")])
def test_what_is_no_grey_value_is_not_binarized(value):
    with pytest.raises(ValueError, match=r"values in \[0, 1\]; found values from"):
        binarize(torch.tensor([[0.5, value]]))


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="device must be one that this machine has, cpu"):
        load_mnist("train", root=tmp_path, device="cuda:99")
