"""Replaces a folder by one that was made beside it, such that the old or the new one is always there.

No file system replaces a folder that is not empty in one step. So the old one is moved aside, the new one in, and the
old one is deleted. Where that ends between two calls, the old folder lies whole under a name of its own, and `settle`
puts it back: whoever replaces a folder, or reads a data-set folder for its certificate, settles first.
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
    """Gives an empty folder to fill, which takes its place when the block ends without an error.

    A folder that is there stays until then. Folders above it are made.

    Args:
        place: Where the folder belongs.

    Raises:
        SetupError: If the file system refuses; the message says where the new folder lies, once there is one.
    """
    settle(place)
    fresh = _beside(place, _FRESH)
    with _explained(f"the folder {fresh} cannot be made"):
        fresh.mkdir(parents=True)
    try:
        with _explained(f"the files of {place} cannot be written to {fresh}"):
            yield fresh
            _sync(fresh)
    except BaseException:
        # Why the filling failed is what must be told, even where the remains cannot be removed.
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _put(fresh, place)


def settle(place: Path) -> None:
    """Ends a replacement that broke off: the old folder goes back where no new one is, and remains are removed.

    Raises:
        SetupError: If the old folder cannot be put back; the message says where it lies.
    """
    if not place.parent.is_dir():
        return
    _restore(place)
    for remains in (*_remains(place, _ASIDE), *_remains(place, _FRESH)):
        _remove(remains)


def settle_all(directory: Path) -> None:
    """Puts back the old folders of a directory that were moved aside and have no successor.

    It removes nothing, so that a reader can call it while others write there.

    Raises:
        SetupError: As `settle` does.
    """
    pattern = re.compile(rf"\.(.+)\.[0-9a-f]{{16}}\.{_ASIDE}")
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    for name in sorted({found[1] for found in map(pattern.fullmatch, names) if found}):
        _restore(directory / name)


def _restore(place: Path) -> None:
    if os.path.lexists(place) or not (aside := _remains(place, _ASIDE)):
        return
    newest = max(aside, key=lambda path: path.stat().st_mtime)
    with _explained(f"the folder that was {place} lies whole at {newest} and cannot be moved back; move it there"):
        newest.rename(place)


def _put(fresh: Path, place: Path) -> None:
    """Moves a folder to its place, and what is there aside and away."""
    remedy = f"the new folder lies whole at {fresh}, and no other command has touched it: move it to {place}"
    aside = None
    if os.path.lexists(place):
        aside = _beside(place, _ASIDE)
        with _explained(f"{place} cannot be moved aside, and stays as it was; {remedy}"):
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
    """Where the old folder lies after an attempt to put it back, for a message."""
    try:
        aside.rename(place)
    except OSError as cause:
        return f". The old one lies whole at {aside} ({cause})"
    return ". The old one is there as it was"


def _remove(remains: Path) -> None:
    # What cannot be removed, such as the files that a network file system keeps for whoever has them open, is in
    # nobody's way; the next call tries again.
    if remains.is_symlink() or remains.is_file():
        with contextlib.suppress(OSError):
            remains.unlink()
    else:
        shutil.rmtree(remains, ignore_errors=True)


def _beside(place: Path, kind: str) -> Path:
    # A name of its own, since two machines that share the folder may work at the same time.
    return place.with_name(f".{place.name}.{secrets.token_hex(8)}.{kind}")


def _remains(place: Path, kind: str) -> list[Path]:
    pattern = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{16}}\.{kind}")
    return [path for path in place.parent.iterdir() if pattern.fullmatch(path.name)]


def _sync(folder: Path) -> None:
    """Waits until the files of a folder are on the disk, so that a power cut after the move leaves them whole."""
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
            f"{what} ({cause}). Is the disk full, or not yours to write to? A network file system refuses such calls "
            "while another program has a file of the folder open, and some mounts refuse to move folders at all"
        ) from cause
