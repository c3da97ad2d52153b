"""`python -m harness.worker READ WRITE`: a worker on two ends of pipes, given as file descriptors."""

import os
import sys

from harness.worker.sandbox import cut_off_network


def main() -> int:
    """Serves the pipes until they are closed."""
    # First of all: numerical libraries start threads, and a process with threads cannot change its namespaces.
    is_cut_off = cut_off_network()
    from harness.worker.server import serve

    with os.fdopen(int(sys.argv[1]), "rb") as incoming, os.fdopen(int(sys.argv[2]), "wb") as outgoing:
        return serve(incoming, outgoing, is_cut_off=is_cut_off)


if __name__ == "__main__":
    sys.exit(main())
