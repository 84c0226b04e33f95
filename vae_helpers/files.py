"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old one or the whole new one, never a part.

    Args:
        path: the file; its folder exists.
        content: the whole new content.

    Raises:
        OSError: the folder is missing, read-only or full; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            error.errno,
            "cannot write the file: expected a folder that can be written to and has room, "
            f"found {error.strerror!r}. An old file is as it was. Repair that, or choose another",
            str(path),
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
