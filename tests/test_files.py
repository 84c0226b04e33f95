"""Claims about `write_atomically`: a reader finds the old file or the new one."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from vae_helpers.files import write_atomically


@pytest.fixture
def path(tmp_path):
    """An old file, alone in its folder before and after."""
    path = tmp_path / "file"
    write_atomically(path, b"old")
    yield path
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_finds_a_part_of_a_file(path):
    versions = [b"", bytes(300_000), b"1" * 200_000]
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write_atomically, path, v) for v in versions * 20]
        while not all(writer.done() for writer in writers):
            assert path.read_bytes() in [b"old", *versions]
        assert {writer.result() for writer in writers} == {None}
    assert path.read_bytes() in versions


def test_a_full_disk_leaves_the_old_file_and_says_so(path, full_disk):
    with full_disk(), pytest.raises(OSError, match=r"expected a folder .* found .* or choose") as e:
        write_atomically(path, bytes(1000))
    assert (e.value.errno, e.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interruption_before_the_end_leaves_the_old_file(path, monkeypatch, step):
    monkeypatch.setattr(os, step, Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_missing_folder_is_an_error_that_names_the_file(path):
    missing = path.parent / "no" / "file"
    with pytest.raises(FileNotFoundError, match="expected a folder") as error:
        write_atomically(missing, b"new")
    assert error.value.filename == str(missing)
