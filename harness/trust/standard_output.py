"""Keeps output of third-party code off standard output, which is reserved for tables and JSON."""

import contextlib
import ctypes
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

_OUTPUT: Final = 1
_ERRORS: Final = 2


class _OntoErrors(io.TextIOBase):
    """Replaces standard output and writes to standard error; closing it closes nothing."""

    def __init__(self, errors: Any) -> None:
        self._errors = errors

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._errors, "encoding", None) or "utf-8"

    @property
    def buffer(self) -> Any:
        return self._errors.buffer

    def write(self, text: str) -> int:
        return int(self._errors.write(text))

    def flush(self) -> None:
        self._errors.flush()

    def fileno(self) -> int:
        return int(self._errors.fileno())

    def isatty(self) -> bool:
        return bool(self._errors.isatty())

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass


@contextlib.contextmanager
def printing_on_standard_error() -> Iterator[None]:
    """Redirects to standard error what Python, compiled code or child processes print meanwhile.

    Both streams are restored afterwards, whatever was done to them. This applies to all threads; blocks may be nested.
    """
    output, errors = sys.stdout, sys.stderr
    _flush(output)
    kept = _copy_of(_OUTPUT)
    if kept is not None:
        _point(_OUTPUT, _ERRORS)
    sys.stdout = _OntoErrors(errors)
    try:
        yield
    finally:
        _flush(sys.stdout)
        if kept is not None:
            _flush_compiled_code()
            _point(_OUTPUT, kept)
            os.close(kept)
        sys.stdout, sys.stderr = output, errors


def _flush(stream: Any) -> None:
    # Third-party code may have closed, removed or replaced a stream.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        stream.flush()


def _flush_compiled_code() -> None:
    """Flushes C's own buffer, which would otherwise appear later, on the other stream."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)


def _copy_of(descriptor: int) -> int | None:
    try:
        return os.dup(descriptor)
    except OSError:
        return None


def _point(descriptor: int, target: int) -> None:
    with contextlib.suppress(OSError):
        os.dup2(target, descriptor)
