"""Pieces of work that misbehave in their workers, for tests of what becomes of the others."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Piece:
    """A number, and what happens when its turn comes."""

    number: int
    kind: str = "good"
    folder: Path = Path()

    def __str__(self):
        return f"piece {self.number}"


@dataclass(frozen=True, slots=True)
class Report:
    number: int
    error: str = ""
    load: object = None


class NeedsTwoError(Exception):
    """Cannot be read back: its arguments are not those that it was made with."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class UnreadableError(Exception):
    def __str__(self):
        raise RuntimeError("no readable message")


def others_at_work(piece):
    return len([path for path in piece.folder.glob("*.busy") if path.stem != str(piece.number)])


def do(piece):
    busy = piece.folder / f"{piece.number}.busy"
    busy.touch()
    (piece.folder / f"{piece.number}-{time.monotonic_ns()}.{others_at_work(piece)}.tried").touch()
    try:
        return _KINDS[piece.kind](piece)
    finally:
        busy.unlink()


def _good(piece):
    time.sleep(0.01)
    return Report(piece.number)


def _ends(piece):
    # Dies before `finally`: what it leaves behind is no piece at work.
    (piece.folder / f"{piece.number}.busy").unlink()
    os._exit(3)


def _is_killed(piece):
    (piece.folder / f"{piece.number}.busy").unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def _dies_beside_others(piece):
    """Like a piece that needs all the memory of the machine."""
    time.sleep(0.02)
    if others_at_work(piece) or not list(piece.folder.glob(f"{piece.number}-*.tried"))[1:]:
        _is_killed(piece)
    return Report(piece.number)


def _is_short_of_memory(piece):
    if not list(piece.folder.glob(f"{piece.number}-*.tried"))[1:]:
        raise MemoryError
    return Report(piece.number)


def _raises(error):
    def raise_it(piece):
        raise error

    return raise_it


_KINDS = {
    "good": _good,
    "ends": _ends,
    "killed": _is_killed,
    "greedy": _dies_beside_others,
    "short": _is_short_of_memory,
    "never enough": _raises(MemoryError("8 TB")),
    "raises": _raises(ValueError("a bad angle")),
    "exits": _raises(SystemExit(7)),
    "unreadable": _raises(NeedsTwoError("salt", "pepper")),
    "speechless": _raises(UnreadableError()),
    "unsendable": lambda piece: Report(piece.number, load=lambda: sys),
}
