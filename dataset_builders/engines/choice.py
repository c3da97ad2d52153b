"""The engines, by their names for `--executor`.

An engine only needs to provide an executor of `concurrent.futures`: a new one is one function
in `workers.py` and one line in `ENGINES`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from dataset_builders.core.errors import UsageError
from dataset_builders.core.usable_cpus import usable_cpus
from dataset_builders.engines.workers import (
    Pool,
    dask_scheduler,
    dask_slurm,
    local_processes,
    mpi_processes,
    parsl_pool,
)

OpenPool = Callable[[], AbstractContextManager[Pool]]
"""Opens the workers; the end of the block stops them, or leaves them to their owner."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One kind of workers.

    Attributes:
        prefix: Start of the `--executor` value; all of it if there is no target.
        target: Placeholder of what follows the prefix, for messages; empty for an engine without a target.
        owner: What determines the number of workers, for messages; empty if `--workers` does.
        default_workers: Their number without `--workers`; `None` if `--workers` is required or not allowed.
        open: Opens the workers, given the target and their number.
    """

    prefix: str
    target: str
    owner: str
    default_workers: Callable[[], int] | None
    open: Callable[[str, int], AbstractContextManager[Pool]]


ENGINES: Final = (
    Engine("local", "", "", usable_cpus, lambda _, workers: local_processes(workers)),
    Engine("dask://", "HOST:PORT", "it has its own workers", None, lambda address, _: dask_scheduler(address)),
    Engine("dask-slurm", "", "", None, lambda _, workers: dask_slurm(workers)),
    Engine("parsl:", "CONFIG", "its configuration sets their number", None, lambda source, _: parsl_pool(source)),
    Engine("mpi", "", "mpiexec sets their number", None, lambda _, __: mpi_processes()),
)


def choose_executor(text: str, workers: int | None) -> OpenPool:
    """Reads `--executor` and `--workers`.

    Args:
        text: Name of the engine, with its target.
        workers: Number of workers, if given.

    Raises:
        UsageError: If there is no such engine, or it does not support that number of workers.
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
            raise UsageError(f"--executor {text} with --workers {workers}: {engine.owner}; omit --workers")
        return 0
    if workers is not None:
        return workers
    if engine.default_workers is None:
        raise UsageError(f"--executor {text} needs --workers N, the number of workers to request")
    return engine.default_workers()
