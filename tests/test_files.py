"""Claims about `write_atomically`: a reader finds the old file or the new one."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from vae_helpers.files import write_atomically


def test_a_file_is_made_and_replaced_whole(tmp_path):
    path = tmp_path / "file"
    for content in (b"old", b"", b"a longer new one"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_finds_a_part_of_a_file(tmp_path):
    path, versions = tmp_path / "file", [bytes([byte]) * 300_000 for byte in range(2)]
    write_atomically(path, versions[0])
    with ThreadPoolExecutor() as pool:
        writers = [
            pool.submit(lambda v=v: [write_atomically(path, v) for _ in range(20)])
            for v in versions
        ]
        reads = 0
        while reads < 50 or not all(writer.done() for writer in writers):
            assert path.read_bytes() in versions
            reads += 1
        assert all(writer.result() == [None] * 20 for writer in writers)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, full_disk):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with full_disk(), pytest.raises(OSError, match=r"expected a folder .* found .* or choose") as e:
        write_atomically(path, bytes(1000))
    assert (e.value.errno, e.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interruption_before_the_end_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "no" / "file"
    with pytest.raises(FileNotFoundError) as error:
        write_atomically(path, b"new")
    assert error.value.filename == str(path)
