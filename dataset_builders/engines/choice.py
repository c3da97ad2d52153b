"""The engines by the name that `--executor` gives them.

The build asks an engine for nothing but an executor of `concurrent.futures`: one more engine is one
function in `engines.py` and one line in `ENGINES`.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from dataset_builders.core.errors import UsageError
from dataset_builders.engines.workers import (
    Pool,
    dask_scheduler,
    dask_slurm,
    local_processes,
    mpi_processes,
    parsl_pool,
)

OpenPool = Callable[[], AbstractContextManager[Pool]]
"""Opens the workers; they are given up, or left to their owner, at the end of the block."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How a kind of workers is asked for.

    Attributes:
        prefix: What `--executor` starts with; all of it where there is no target.
        target: What stands behind the prefix, for messages; empty for an engine that needs nothing.
        owner: Who says how many workers there are; empty where `--workers` does.
        default_workers: Their number without `--workers`; `None` where it must be given, or others say it.
        open: Opens them, given the target and the number of workers.
    """

    prefix: str
    target: str
    owner: str
    default_workers: Callable[[], int] | None
    open: Callable[[str, int], AbstractContextManager[Pool]]


def cores() -> int:
    """Cores that this process may use, which a batch scheduler may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


ENGINES: Final = (
    Engine("local", "", "", cores, lambda _, workers: local_processes(workers)),
    Engine("dask://", "HOST:PORT", "those of the scheduler work", None, lambda address, _: dask_scheduler(address)),
    Engine("dask-slurm", "", "", None, lambda _, workers: dask_slurm(workers)),
    Engine("parsl:", "CONFIG", "its configuration says how many", None, lambda source, _: parsl_pool(source)),
    Engine("mpi", "", "mpiexec says how many", None, lambda _, __: mpi_processes()),
)


def choose_executor(text: str, workers: int | None) -> OpenPool:
    """Reads `--executor` and `--workers`.

    Args:
        text: Name of the engine, with its target.
        workers: Number of workers, where one was given.

    Raises:
        UsageError: If there is no such engine, or it does not go with that number of workers.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}; expected 1 or more")
    for engine in ENGINES:
        target = text.removeprefix(engine.prefix)
        if text.startswith(engine.prefix) and bool(target) == bool(engine.target):
            number = _number_of_workers(engine, text, workers)
            return lambda: engine.open(target, number)
    known = ", ".join(engine.prefix + engine.target for engine in ENGINES)
    raise UsageError(f"unknown executor {text!r}; expected one of {known}")


def _number_of_workers(engine: Engine, text: str, workers: int | None) -> int:
    if engine.owner:
        if workers is not None:
            raise UsageError(f"--executor {text} with --workers {workers}: {engine.owner}; leave --workers out")
        return 0
    if workers is not None:
        return workers
    if engine.default_workers is None:
        raise UsageError(f"--executor {text} needs --workers N, the number of workers to ask for")
    return engine.default_workers()
