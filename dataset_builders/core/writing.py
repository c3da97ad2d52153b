"""Explains why a place cannot be written to."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import SetupError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def writing(place: Path, remedy: str) -> Iterator[None]:
    """Turns a refusal of the file system in a block into an error with a remedy.

    Args:
        place: File or folder that the block writes.
        remedy: What else helps, such as `choose another --out`.

    Raises:
        SetupError: If the file system refuses.
    """
    try:
        yield
    except OSError as cause:
        raise unwritable(place, cause, remedy) from cause


def unwritable(place: Path, cause: OSError, remedy: str) -> SetupError:
    """The error for a place that cannot be written to.

    Args:
        place: File or folder.
        cause: What the system said.
        remedy: What else helps, besides room on a full disk.
    """
    room = "free some space and run the same command again, which keeps finished work, or " if is_full(cause) else ""
    return SetupError(f"cannot write to {place}: {cause.strerror or cause}; {room}{remedy}")


def is_full(cause: OSError) -> bool:
    """Whether a disk or a quota is full."""
    return cause.errno in _FULL


def is_refused_write(cause: OSError) -> bool:
    """Whether a disk is full or read-only, which no call but a write reports."""
    return is_full(cause) or cause.errno == errno.EROFS
