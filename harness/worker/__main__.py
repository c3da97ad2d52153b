"""`python -m harness.worker SOCKET`: a worker at one end of a socket pair, given as a file descriptor."""

import os
import sys
import traceback
from multiprocessing.connection import Connection
from typing import NoReturn

from harness.worker.sandbox import cut_off_network


def main() -> NoReturn:
    """Serves the harness until it closes the connection."""
    # Must come first: numerical libraries start threads, and a process with threads cannot change its namespaces.
    is_cut_off = cut_off_network()
    from harness.worker.server import serve

    with Connection(int(sys.argv[1])) as connection:
        try:
            code = serve(connection, is_cut_off=is_cut_off)
        # The log of the worker must show any error.
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        # Skips the interpreter's shutdown, which would wait for the thread that waits for the next message.
        os._exit(code)


if __name__ == "__main__":
    main()
