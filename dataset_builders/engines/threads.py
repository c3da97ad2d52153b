"""One thread for each worker: more gain nothing for molecules of this size, and can change the last bits of a label."""

import os
from typing import Final

from dataset_builders.core.errors import SetupError

THREAD_LIMITS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def limit_threads_of_children() -> None:
    """Sets the variables that numerical libraries read when they are imported, for processes started from here."""
    for name in THREAD_LIMITS:
        os.environ[name] = "1"


def require_one_thread() -> None:
    """Makes tblite compute on one thread in this thread, however the process was started.

    Engines start their workers in their own ways, some with numerical libraries loaded already, so the variables
    alone do not decide. OpenMP keeps a number for each thread that calls it: call this in the thread that computes.

    Raises:
        SetupError: If a library would still run on more threads.
    """
    limit_threads_of_children()
    import tblite.interface  # noqa: F401 (brings its OpenMP library, which is what must be limited)
    from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

    threadpool_limits(1)
    wide = [library for library in threadpool_info() if library["num_threads"] > 1]
    if wide:
        names = ", ".join(f"{library['filepath']} ({library['num_threads']} threads)" for library in wide)
        raise SetupError(
            f"a worker would compute on more than one thread, which changes the last bits of labels: {names}; expected "
            f"one. Start the workers with {' '.join(f'{name}=1' for name in THREAD_LIMITS)} in their environment"
        )
