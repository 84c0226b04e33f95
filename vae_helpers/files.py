"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old one or the whole new one, never a part.

    Where the folder is missing, read-only or full, an OSError says so; an old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        problem = "expected a folder that can be written to and has room"
        repair = "An old file is as it was. Repair that, or choose another"
        message = f"cannot write the file: {problem}, found {error.strerror!r}. {repair}"
        raise OSError(error.errno, message, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
