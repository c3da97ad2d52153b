"""Writes files that are either whole or absent."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives the path of a file to write, which takes its place when the block ends without an error.

    A reader sees the old file or the new one, never a part of it, also after a power cut. Folders above
    it are made.

    Args:
        path: Where the file belongs.

    Raises:
        OSError: If the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, since a file is replaced in one step only within one file system; under a name of its own,
    # since two machines that share the folder may write the same file under the same process id.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        # Why the writing failed is what must be told, even where the remains cannot be removed.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Writes a text in UTF-8, all of it or nothing.

    Raises:
        OSError: If the folder cannot be written to.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
