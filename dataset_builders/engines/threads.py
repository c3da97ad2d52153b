"""One thread per worker: more are not faster for molecules of this size, and can change the last bits of a label."""

import os
from typing import Final

from dataset_builders.core.errors import SetupError

THREAD_LIMITS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def limit_threads_of_children() -> None:
    """Sets the thread limits that numerical libraries read at import, for child processes."""
    for name in THREAD_LIMITS:
        os.environ[name] = "1"


def require_one_thread() -> None:
    """Makes tblite use one thread for calls from this thread, however the process was started.

    Some engines start workers with numerical libraries already loaded, so environment variables are not enough. OpenMP
    has a limit for each calling thread: call this in the thread that computes.

    Raises:
        SetupError: If a library would still use more threads.
    """
    limit_threads_of_children()
    import tblite.interface  # noqa: F401 (loads the OpenMP library that must be limited)
    from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

    threadpool_limits(1)
    wide = [library for library in threadpool_info() if library["num_threads"] > 1]
    if wide:
        names = ", ".join(f"{library['filepath']} ({library['num_threads']} threads)" for library in wide)
        raise SetupError(
            f"a worker would compute on more than one thread, which changes the last bits of labels: {names}; expected "
            f"one. Start the workers with {' '.join(f'{name}=1' for name in THREAD_LIMITS)} in their environment"
        )
