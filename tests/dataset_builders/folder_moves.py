"""Replacements of a folder that end between two moves, for tests of the commands that replace one."""

import errno
import os
from pathlib import Path

import pytest

from dataset_builders.core.errors import SetupError


def stop_at_move(monkeypatch, number, error):
    """Raises an error in place of a move of a folder, counted from 1, and of all moves after it."""
    moves = []
    rename = os.rename

    def stopping(source, target, **keywords):
        if Path(source).is_dir():
            moves.append(source)
            if len(moves) >= number:
                raise error
        return rename(source, target, **keywords)

    monkeypatch.setattr(os, "rename", stopping)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_replacing(monkeypatch, write, place, command):
    """Checks a command that replaces a folder which is there: refused moves, and a stop between the two moves.

    Args:
        write: Writes the folder; raises what a move raises.
        place: The folder.
        command: The next command, which reads it.
    """
    before = bytes_of(place)
    others = sorted(place.parent.iterdir())
    for number in (errno.EXDEV, errno.ENOTEMPTY, errno.EBUSY, errno.EACCES):
        with monkeypatch.context() as patch:
            stop_at_move(patch, 1, OSError(number, os.strerror(number)))
            with pytest.raises(SetupError, match=rf"{place.name} cannot be moved aside.*the new folder is complete at"):
                write()
        assert bytes_of(place) == before
    (place / "note").write_text("this is the old one")
    old = bytes_of(place)
    with monkeypatch.context() as patch:
        # Nothing catches it, as nothing catches a signal that kills.
        stop_at_move(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write()
    assert not place.exists()
    command()
    assert bytes_of(place) == old
    write()
    assert bytes_of(place) == before
    assert sorted(place.parent.iterdir()) == others
