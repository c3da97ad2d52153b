"""The number of threads of the arithmetic of a process, and of the processes that it starts."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

_VARIABLE: Final = "OMP_NUM_THREADS"


def wanted_threads() -> int | None:
    """The number that the user has set for each process; `None` if there is none."""
    text = os.environ.get(_VARIABLE, "").split(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) else None


@contextlib.contextmanager
def threads_per_process(number: int | None) -> Iterator[None]:
    """Sets the number for a `with` block: of PyTorch, imported or not, and of libraries that read the same variable.

    Args:
        number: Threads; `None` to change nothing.
    """
    if number is None:
        yield
        return
    before, torch = os.environ.get(_VARIABLE), sys.modules.get("torch")
    threads = None if torch is None else torch.get_num_threads()
    os.environ[_VARIABLE] = str(number)
    if torch is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before
        torch = sys.modules.get("torch")
        if torch is not None:
            # One that was imported meanwhile has read the variable, and would have used all CPUs.
            torch.set_num_threads(threads or wanted_threads() or os.cpu_count() or 1)
