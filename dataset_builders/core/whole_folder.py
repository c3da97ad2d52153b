"""Replaces a folder by one written beside it, so that the old or the new one always exists.

No file system replaces a non-empty folder atomically. So the old folder is moved aside, the new one is moved in, and
the old one is deleted. If this is interrupted, the old folder remains complete under a temporary name, and `settle`
moves it back: call it before replacing a folder or certifying a data-set folder.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import SetupError

_FRESH: Final = "partial"
_ASIDE: Final = "old"


@contextlib.contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """Yields an empty folder to fill, which is moved into place when the block ends without an error.

    An existing folder stays until then. Parent folders are created.

    Args:
        place: Final path of the folder.

    Raises:
        SetupError: If the file system refuses; the message names the path of the new folder, if it exists.
    """
    settle(place)
    fresh = _beside(place, _FRESH)
    with _explained(f"the folder {fresh} cannot be created"):
        fresh.mkdir(parents=True)
    try:
        with _explained(f"the files of {place} cannot be written to {fresh}"):
            yield fresh
            _sync(fresh)
    except BaseException:
        # Report why filling failed, even if the temporary folder cannot be removed.
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _put(fresh, place)


def settle(place: Path) -> None:
    """Completes an interrupted replacement: moves the old folder back if there is no new one, and removes leftovers.

    Raises:
        SetupError: If the old folder cannot be moved back; the message names its path.
    """
    if not place.parent.is_dir():
        return
    _restore(place)
    for remains in (*_remains(place, _ASIDE), *_remains(place, _FRESH)):
        _remove(remains)


def settle_all(directory: Path) -> None:
    """Moves back the old folders in a directory that were moved aside and not replaced.

    It removes nothing, so a reader may call it while other processes write there.

    Raises:
        SetupError: As for `settle`.
    """
    pattern = re.compile(rf"\.(.+)\.[0-9a-f]{{16}}\.{_ASIDE}")
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    for name in sorted({found[1] for found in map(pattern.fullmatch, names) if found}):
        _restore(directory / name)


def _restore(place: Path) -> None:
    if os.path.lexists(place) or not (aside := _remains(place, _ASIDE)):
        return
    newest = max(aside, key=lambda path: path.stat().st_mtime)
    with _explained(f"the former {place} is complete at {newest} and cannot be moved back; move it there"):
        newest.rename(place)


def _put(fresh: Path, place: Path) -> None:
    """Moves a folder into place; an existing one is moved aside and deleted."""
    remedy = f"the new folder is complete at {fresh}, and no other command has changed it: move it to {place}"
    aside = None
    if os.path.lexists(place):
        aside = _beside(place, _ASIDE)
        with _explained(f"{place} cannot be moved aside and is unchanged; {remedy}"):
            place.rename(aside)
    try:
        fresh.rename(place)
    except OSError as cause:
        where = ""
        if aside is not None:
            where = _put_back(aside, place)
        raise SetupError(f"the new folder cannot be moved to {place}: {cause}{where}; {remedy}") from cause
    if aside is not None:
        _remove(aside)


def _put_back(aside: Path, place: Path) -> str:
    """Where the old folder is after an attempt to move it back, for a message."""
    try:
        aside.rename(place)
    except OSError as cause:
        return f". The old one is complete at {aside} ({cause})"
    return ". The old one is in place and unchanged"


def _remove(remains: Path) -> None:
    # Leftovers that cannot be removed, such as files that a network file system keeps while they are open, do no harm;
    # the next call tries again.
    if remains.is_symlink() or remains.is_file():
        with contextlib.suppress(OSError):
            remains.unlink()
    else:
        shutil.rmtree(remains, ignore_errors=True)


def _beside(place: Path, kind: str) -> Path:
    # A unique name, since two machines that share the folder may do this at the same time.
    return place.with_name(f".{place.name}.{secrets.token_hex(8)}.{kind}")


def _remains(place: Path, kind: str) -> list[Path]:
    pattern = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{16}}\.{kind}")
    return [path for path in place.parent.iterdir() if pattern.fullmatch(path.name)]


def _sync(folder: Path) -> None:
    """Waits until the files of a folder are on the disk, so that they survive a power cut after the move."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        raise SetupError(
            f"{what} ({cause}). Is the disk full, or the folder read-only? A network file system refuses such calls "
            "while another program has a file of the folder open, and some mounts refuse to move folders at all"
        ) from cause
