"""Opens and closes the workers of each engine: local processes, dask, Slurm through dask, parsl, MPI.

Each function yields an executor of `concurrent.futures`. If the block fails or is interrupted, pending calls are
abandoned.
"""

import contextlib
import importlib
import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.errors import MissingPackageError, SetupError, UsageError
from dataset_builders.engines.separate_processes import SeparateProcesses
from dataset_builders.engines.threads import limit_threads_of_children

FIRST_WORKER_TIMEOUT: Final = 30
"""Time limit for a dask scheduler to answer and to report a worker, s."""

MOST_AHEAD: Final = 1024
"""Calls that are submitted ahead if workers may join later."""

_OURS: Final = "dataset_builders"
_SAME_PACKAGES: Final = "expected the same packages as here. Install mlip-ood where scheduler and workers run"
_MPI_COMMAND: Final = "mpiexec -n N python -m mpi4py.futures -m dataset_builders build --executor mpi ..."


@dataclass(frozen=True, slots=True)
class Pool:
    """Open workers.

    Attributes:
        executor: Runs calls on the workers.
        workers: Number of concurrent calls; `None` if the engine does not report it.
        lost: Exceptions of the future of a call whose worker died, on an engine that continues with other workers. An
            engine that cannot continue raises `BrokenExecutor` or `CancelledError` from all its futures.
        window: Number of calls submitted ahead: more than its workers, including those that may join later.
    """

    executor: Executor
    workers: int | None
    lost: tuple[type[Exception], ...] = ()
    window: int = MOST_AHEAD


@contextlib.contextmanager
def local_processes(workers: int) -> Iterator[Pool]:
    """Processes on this machine with one thread each.

    The thread limits are set before the workers start, since numerical libraries read them at import.
    """
    limit_threads_of_children()
    executor = SeparateProcesses(workers)
    try:
        yield Pool(executor, workers, (BrokenProcessPool,), window=2 * workers)
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


@contextlib.contextmanager
def dask_scheduler(address: str) -> Iterator[Pool]:
    """The workers of a running dask scheduler; they stay when the block ends.

    Args:
        address: HOST:PORT.

    Raises:
        MissingPackageError: If distributed is not installed.
        SetupError: If no scheduler answers, or it has no worker.
    """
    distributed = _package("distributed", "dask", "--executor dask://")
    try:
        client = distributed.Client(f"tcp://{address}", timeout=FIRST_WORKER_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as cause:
        raise SetupError(
            f"no dask scheduler answers at {address}: {cause}. Start one with `dask scheduler` and give its address"
        ) from cause
    with client:
        try:
            client.wait_for_workers(1, timeout=FIRST_WORKER_TIMEOUT)
        except TimeoutError as cause:
            raise SetupError(
                f"the dask scheduler at {address} had no worker for {FIRST_WORKER_TIMEOUT} s; start some with "
                f"`dask worker {address} --nworkers N --nthreads 1`"
            ) from cause
        with _dask_pool(client) as pool:
            yield pool


@contextlib.contextmanager
def dask_slurm(workers: int) -> Iterator[Pool]:
    """Dask workers in Slurm jobs, as described in the user's dask configuration (`jobqueue.slurm`).

    A worker whose job ends, for instance at its time limit, is replaced.

    Raises:
        MissingPackageError: If dask-jobqueue is not installed.
        SetupError: If Slurm is not available or refuses the job.
        UsageError: If the configuration does not describe a job.
    """
    jobqueue = _package("dask_jobqueue", "slurm", "--executor dask-slurm")
    distributed = _package("distributed", "slurm", "--executor dask-slurm")
    if shutil.which("sbatch") is None:
        raise SetupError("--executor dask-slurm: no `sbatch` here; run it on a machine that submits Slurm jobs")
    try:
        cluster = jobqueue.SLURMCluster()
    except (ValueError, TypeError) as cause:
        raise UsageError(
            f"dask's configuration does not describe a Slurm job: {cause}. Set jobqueue.slurm.cores, memory, "
            "processes and walltime in ~/.config/dask/jobqueue.yaml; docs/scaling.md has an example"
        ) from cause
    with cluster:
        _try_job(cluster.job_script())
        cluster.adapt(minimum=workers, maximum=workers)
        with distributed.Client(cluster, set_as_default=False) as client:
            print("waiting for Slurm to start the first worker", file=sys.stderr)
            client.wait_for_workers(1)
            with _dask_pool(client) as pool:
                yield pool


def _try_job(script: str) -> None:
    """Checks that Slurm would accept a job; dask submits it in the background and would wait forever."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        tried = subprocess.run(
            ["sbatch", "--test-only", file.name], capture_output=True, text=True, check=False, timeout=120
        )
    if tried.returncode:
        raise SetupError(
            f"Slurm refuses the job that dask's configuration describes: {tried.stderr.strip()}. Correct "
            "jobqueue.slurm in ~/.config/dask/jobqueue.yaml"
        )


@contextlib.contextmanager
def _dask_pool(client: Any) -> Iterator[Pool]:
    from distributed.scheduler import KilledWorker

    # A worker that cannot unpickle its call ends silently, and the call waits forever for another one.
    lacking = [
        name for name, found in client.run(lambda: importlib.util.find_spec(_OURS) is not None).items() if not found
    ]
    if lacking:
        raise SetupError(f"{len(lacking)} dask workers, first {lacking[0]}, have no module {_OURS}; {_SAME_PACKAGES}")
    executor = client.get_executor(pure=False)
    try:
        workers = sum(client.nthreads().values())
        yield Pool(executor, workers, (KilledWorker,), window=max(2 * workers, MOST_AHEAD))
    except BaseException as cause:
        executor.shutdown(wait=False)
        # The scheduler unpickles each call too.
        missing = cause.__cause__
        if not isinstance(missing, ModuleNotFoundError):
            raise
        raise SetupError(f"the dask scheduler has no module {missing.name}; {_SAME_PACKAGES}") from cause


@contextlib.contextmanager
def parsl_pool(source: str) -> Iterator[Pool]:
    """The workers described by a parsl configuration.

    Args:
        source: A Python file, or a module, that defines `config`, a `parsl.Config`.

    Raises:
        MissingPackageError: If parsl is not installed.
        UsageError: If there is no such configuration.
        SetupError: If parsl cannot start workers.
    """
    _package("parsl", "parsl", "--executor parsl")
    from parsl.concurrent import ParslPoolExecutor
    from parsl.executors.errors import BadStateException
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    # Parsl starts its programs by name, even if the environment of this Python is not activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    executor = ParslPoolExecutor(_parsl_config(source))
    try:
        yield Pool(executor, None, (ManagerLost, WorkerLost))
    except BadStateException as cause:
        executor.shutdown(wait=False)
        raise SetupError(f"parsl cannot start workers with {source}: {cause}. Its logs are in runinfo/") from cause
    except BaseException:
        executor.shutdown(wait=False)
        raise
    executor.shutdown(wait=True)


def _parsl_config(source: str) -> Any:
    from parsl import Config

    if source.endswith(".py"):
        if not Path(source).is_file():
            raise UsageError(f"--executor parsl:{source}: no such file; expected a Python file that defines `config`")
        found = runpy.run_path(source).get("config")
    else:
        try:
            found = getattr(importlib.import_module(source), "config", None)
        except ModuleNotFoundError as cause:
            if cause.name is None or not f"{source}.".startswith(f"{cause.name}."):
                raise
            raise UsageError(
                f"--executor parsl:{source}: no such module; expected FILE.py or a module that defines `config`"
            ) from cause
    if not isinstance(found, Config):
        raise UsageError(f"--executor parsl:{source}: its `config` is {type(found).__name__}; expected a parsl.Config")
    return found


@contextlib.contextmanager
def mpi_processes() -> Iterator[Pool]:
    """The other processes of an MPI job started with `mpi4py.futures`.

    A process that dies ends the whole job, as usual for MPI; the same command resumes from finished units.

    Raises:
        MissingPackageError: If mpi4py is not installed.
        UsageError: If this is not such a job, or has a single process.
    """
    # Not imported: ASE would then use it in this process.
    if importlib.util.find_spec("mpi4py") is None:
        raise MissingPackageError("mpi4py", "mpi", "--executor mpi")
    # Without it, every process would run the build and start others.
    if "mpi4py.futures" not in sys.orig_argv:
        raise UsageError(f"--executor mpi requires an MPI job; start it as: {_MPI_COMMAND}")
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor
    except (ImportError, RuntimeError) as cause:
        raise SetupError(
            f"mpi4py finds no MPI library: {cause}; install Open MPI or MPICH, or load its module"
        ) from cause
    workers = MPI.COMM_WORLD.Get_size() - 1
    if workers < 1:
        raise UsageError(f"--executor mpi in a job with one process has no worker; start it as: {_MPI_COMMAND}")
    with MPIPoolExecutor() as executor:
        try:
            yield Pool(executor, workers)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _package(name: str, extra: str, purpose: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as cause:
        if cause.name != name:
            raise
        raise MissingPackageError(name, extra, purpose) from cause
