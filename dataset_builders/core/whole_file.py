"""Writes files atomically: each is complete or absent."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write, which is moved into place when the block ends without an error.

    A reader sees the old file or the new one, never a part, also after a power cut. Parent folders are created. The
    file has the permissions of any new file (the umask decides), also if a library writes it for its owner alone.

    Args:
        path: Final path of the file.

    Raises:
        OSError: If the folder cannot be written to, or the disk is full; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, since a file is replaced atomically only within one file system; under a unique name, since two
    # machines that share the folder may write the same file under the same process id.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.touch()
        permissions = partial.stat().st_mode
        yield partial
        if partial.stat().st_mode != permissions:
            partial.chmod(permissions)
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as cause:
        # A full disk refuses a write to an open file, and such an error does not say to which.
        if cause.filename is None:
            cause.filename = str(path)
        raise
    finally:
        # Report why writing failed, even if the temporary file cannot be removed.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Writes a text in UTF-8, atomically.

    Raises:
        OSError: If the folder cannot be written to.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
