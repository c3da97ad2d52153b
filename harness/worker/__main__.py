"""`python -m harness.worker SOCKET [POLICY]`: a worker at one end of a socket pair, given as a file descriptor."""

import os
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from harness.worker.kernel_limits import LimitError
from harness.worker.sandbox import confine, cut_off_network


def main() -> NoReturn:
    """Serves the harness until it closes the connection."""
    # Must come first: numerical libraries start threads, and a process with threads cannot change its namespaces.
    is_cut_off, refusal = _isolated(*sys.argv[2:])
    from harness.worker.server import refuse, serve

    with Connection(int(sys.argv[1])) as connection:
        try:
            code = serve(connection, is_cut_off=is_cut_off) if refusal is None else refuse(connection, refusal)
        # The log of the worker must show any error.
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        # Skips the interpreter's shutdown, which would wait for the thread that waits for the next message.
        os._exit(code)


def _isolated(policy: str | None = None) -> tuple[bool, str | None]:
    """Whether the network is cut off, and why a policy could not be followed; then nothing may be loaded."""
    if policy is None:
        return cut_off_network(), None
    try:
        confine(Path(policy))
    except LimitError as cause:
        return False, str(cause)
    return True, None


if __name__ == "__main__":
    main()
