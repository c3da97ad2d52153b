"""`python -m harness.worker READ WRITE`: a worker on two ends of pipes, given as file descriptors."""

import os
import sys
import traceback
from typing import NoReturn

from harness.worker.sandbox import cut_off_network


def main() -> NoReturn:
    """Serves the pipes until they are closed."""
    # First of all: numerical libraries start threads, and a process with threads cannot change its namespaces.
    is_cut_off = cut_off_network()
    from harness.worker.server import serve

    with os.fdopen(int(sys.argv[1]), "rb") as incoming, os.fdopen(int(sys.argv[2]), "wb") as outgoing:
        try:
            code = serve(incoming, outgoing, is_cut_off=is_cut_off)
        # Whatever it is, it is among the last words.
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        # Without the interpreter's own end, which would wait for the thread that waits for the next message.
        os._exit(code)


if __name__ == "__main__":
    main()
