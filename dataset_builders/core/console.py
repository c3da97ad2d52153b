"""Turns the outcome of a command into an exit code and at most one error message."""

import os
import select
import sys
import traceback
from collections.abc import Callable
from typing import Final, TextIO

from dataset_builders.core.errors import MlipOodError, SetupError
from dataset_builders.core.own_packages import require_own_packages
from dataset_builders.core.printable import print_on_any_output
from dataset_builders.core.writing import is_refused_write

EXIT_INTERRUPTED: Final = 130
EXIT_CLOSED_OUTPUT: Final = 141
"""128 + SIGPIPE, which shells report for a program whose output pipe was closed."""
TRACEBACK_VARIABLE: Final = "MLIP_OOD_TRACEBACK"

_ROOM: Final = "free some space or choose another folder, and run the same command again, which keeps finished work"


def exit_code_of(command: Callable[[], int]) -> int:
    """Runs a command and returns its exit code.

    An expected error, or a disk that is full or read-only, is printed to standard error, with its traceback only if the
    variable `MLIP_OOD_TRACEBACK` is 1.
    An unexpected error propagates with its traceback. If the reader of the output stops reading, as `head` does, the
    command ends without a message.
    """
    print_on_any_output()
    try:
        code = _outcome(command)
        _flush()
    except BrokenPipeError:
        if not _discard_closed_output():
            raise  # Another pipe broke, such as that of a worker.
        return EXIT_CLOSED_OUTPUT
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            return EXIT_CLOSED_OUTPUT  # Rich has discarded the output and would exit with 1.
        try:
            _flush()
        except BrokenPipeError:
            _discard_closed_output()
            return EXIT_CLOSED_OUTPUT
        raise
    return code


def _outcome(command: Callable[[], int]) -> int:
    try:
        require_own_packages()
        return command()
    except MlipOodError as error:
        print(f"error: {error}", file=sys.stderr)
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            traceback.print_exc()
        return error.exit_code
    except OSError as error:
        if not is_refused_write(error):
            raise
        named = "" if error.filename is None else f" {error.filename}"
        print(f"error: cannot write{named}: {error.strerror}; {_ROOM}", file=sys.stderr)
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            traceback.print_exc()
        return SetupError.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume from finished work", file=sys.stderr)
        return EXIT_INTERRUPTED


def _flush() -> None:
    """Writes the buffered output now, since Python reports a failure at exit as an error."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_closed_output() -> bool:
    """Whether standard output or standard error has no reader any more; further output to it is discarded."""
    closed = [_discard_if_closed(stream) for stream in (sys.stdout, sys.stderr) if stream is not None]
    return any(closed)


def _discard_if_closed(stream: TextIO) -> bool:
    descriptor = stream.fileno()
    events = select.poll()
    events.register(descriptor, 0)  # POLLERR and POLLHUP are always reported.
    if not events.poll(0):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return True
