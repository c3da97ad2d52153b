"""The last output of a worker, for messages."""

import threading
from typing import IO, Final

_LINES: Final = 12
_LINE_LENGTH: Final = 300
_BYTES: Final = 2**16
_SECONDS: Final = 0.5
"""Longest wait for the rest of what a worker that ended had written; a child process may hold its output open."""


class LastOutput:
    """Reads what a worker prints, in a thread, and keeps only the end: a model may print more than a disk can hold.

    Args:
        stream: Standard output and standard error of the worker, unbuffered; closed when the worker and its child
            processes have ended.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._tail = bytearray()
        # The thread holds no reference to this object, or it would keep a forgotten worker alive.
        self._thread = threading.Thread(target=_read, args=(stream, self._tail), name="worker-output", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """The last lines, joined into one."""
        self._thread.join(_SECONDS)
        lines = bytes(self._tail).decode("utf-8", errors="replace").splitlines()
        printable = ["".join(char for char in line if char.isprintable()) for line in lines if line.strip()][-_LINES:]
        shown = [line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]}..." for line in printable]
        return "last output: " + " | ".join(shown) if shown else "without output"


def _read(stream: IO[bytes], tail: bytearray) -> None:
    with stream:
        while block := stream.read(_BYTES):
            tail += block
            del tail[:-_BYTES]
