"""Locks a folder that only one process may write at a time."""

import contextlib
import errno
import logging
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from dataset_builders.core.errors import SetupError

LOCK_NAME: Final = ".lock"

_UNSUPPORTED: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_MOST_SHOWN: Final = 300
_LOG: Final = logging.getLogger(__name__)


@contextlib.contextmanager
def sole_user(folder: Path, others: str, remedy: str, name: str = LOCK_NAME, *, keep: bool = False) -> Iterator[int]:
    """Locks a folder against other processes for the duration of a block.

    The lock is the system's (`flock`), not the file's existence: it ends with the process, and the file that a killed
    process leaves behind locks nobody out.

    Args:
        folder: Created if needed, and removed at the end if it is empty.
        others: What may use the folder at the same time, such as `training`, for the message.
        remedy: Alternative to waiting, such as `choose another --out`.
        name: Name of the lock file.
        keep: Whether the lock file stays, for child processes that keep the lock.

    Yields:
        A file descriptor; the folder stays locked while any process holds it open.

    Raises:
        SetupError: If the folder is in use, or cannot be written.
    """
    is_new = not folder.exists()
    with _locked(folder, others, remedy, name) as lock:
        try:
            yield lock.fileno()
        finally:
            if not keep:
                # Before the lock is released: no other process can have locked the removed file.
                with contextlib.suppress(OSError):
                    (folder / name).unlink()
            if is_new:
                with contextlib.suppress(OSError):
                    folder.rmdir()


@contextlib.contextmanager
def in_turn(folder: Path, name: str = LOCK_NAME) -> Iterator[None]:
    """Waits until no other process is in such a block for the same folder; for brief changes.

    Args:
        folder: Created if needed.
        name: Name of the lock file, which is removed at the end.

    Raises:
        OSError: If the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _file_of_lock(folder / name, wait=True):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (folder / name).unlink()


@contextlib.contextmanager
def _locked(folder: Path, others: str, remedy: str, name: str) -> Iterator[IO[str]]:
    path = folder / name
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(_file_of_lock(path, wait=False))
            lock.truncate(0)
            lock.write(_self_description())
            lock.flush()
        except BlockingIOError as cause:
            raise SetupError(
                f"{folder} is in use by another {others}{_holder(path)}; wait until it ends, or {remedy}"
            ) from cause
        except OSError as cause:
            raise SetupError(f"cannot write to {folder}: {cause.strerror or cause}; {remedy}") from cause
        yield lock


@contextlib.contextmanager
def _file_of_lock(path: Path, *, wait: bool) -> Iterator[IO[str]]:
    """The lock file, open and locked.

    Raises:
        BlockingIOError: If another process holds the lock and `wait` is false.
    """
    import fcntl

    while True:
        with path.open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as cause:
                if cause.errno not in _UNSUPPORTED:
                    raise
                _LOG.warning(
                    "the file system of %s does not support locks (%s); make sure that no other process writes there",
                    path.parent,
                    cause.strerror,
                )
            # The previous holder may have removed the file between the two calls, and a third process created it again.
            if _is_at(path, lock):
                yield lock
                return


def _is_at(path: Path, lock: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _self_description() -> str:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {os.getpid()} on {platform.node()} since {since}: {command}\n"


def _holder(path: Path) -> str:
    """Description of the process that holds a lock, from its file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lock:
            text = lock.readline(_MOST_SHOWN).strip()
    except OSError:
        text = ""
    return f" ({''.join(char for char in text if char.isprintable())})" if text else ""
