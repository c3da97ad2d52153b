"""Keeps a second process out of a folder that one process writes at a time."""

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
    """Keeps other processes out of a folder for the length of a block.

    The system holds the lock (`flock`), not the file: it ends with the process however that ends, and a file that a
    killed one left behind keeps nobody out.

    Args:
        folder: Made if need be, and removed at the end if nothing came into it.
        others: What else may be at work there, such as `training`, for the message.
        remedy: What to do then beside waiting, such as `choose another --out`.
        name: Name of the lock file.
        keep: Whether the lock file stays, since processes that were started meanwhile keep the folder.

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
                # Before the lock ends: nobody else can have taken the file that is removed.
                with contextlib.suppress(OSError):
                    (folder / name).unlink()
            if is_new:
                with contextlib.suppress(OSError):
                    folder.rmdir()


@contextlib.contextmanager
def in_turn(folder: Path, name: str = LOCK_NAME) -> Iterator[None]:
    """Waits until no other process is in such a block of the same folder; for changes that take a moment.

    Args:
        folder: Made if need be.
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
        BlockingIOError: If another process has it, and this one is not to wait.
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
                    "the file system of %s cannot lock (%s); see to it that nothing else writes there",
                    path.parent,
                    cause.strerror,
                )
            # The process before may have removed the file between the two calls, and a third one made it anew.
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
    """What the process that has a lock wrote into its file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lock:
            text = lock.readline(_MOST_SHOWN).strip()
    except OSError:
        text = ""
    return f" ({''.join(char for char in text if char.isprintable())})" if text else ""
