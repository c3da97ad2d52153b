"""Turns the outcome of a command into an exit code and at most one error message."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Final

from dataset_builders.core.errors import MlipOodError
from dataset_builders.core.own_packages import require_own_packages
from dataset_builders.core.printable import print_on_any_output

EXIT_INTERRUPTED: Final = 130
TRACEBACK_VARIABLE: Final = "MLIP_OOD_TRACEBACK"


def exit_code_of(command: Callable[[], int]) -> int:
    """Runs a command and returns its exit code.

    An expected error is printed to standard error, with its traceback only if the variable `MLIP_OOD_TRACEBACK` is 1.
    An unexpected error propagates with its traceback.
    """
    print_on_any_output()
    try:
        require_own_packages()
        return command()
    except MlipOodError as error:
        print(f"error: {error}", file=sys.stderr)
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            traceback.print_exc()
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume from finished work", file=sys.stderr)
        return EXIT_INTERRUPTED
