import importlib.util
import os
import sys

import pytest

from dataset_builders.core.errors import MissingPackageError, SetupError, UsageError
from dataset_builders.core.usable_cpus import usable_cpus
from dataset_builders.engines import choice as executors
from dataset_builders.engines import workers as engines
from dataset_builders.engines.choice import choose_executor


def open_and_close(text, workers=None):
    with choose_executor(text, workers)() as pool:
        return pool


@pytest.mark.parametrize(
    ("text", "workers", "message"),
    [
        ("ray", None, "unknown executor 'ray'; expected one of local, dask://HOST:PORT, dask-slurm, parsl:CONFIG, mpi"),
        ("dask://", None, "unknown executor 'dask://'"),
        ("local:4", None, "unknown executor 'local:4'"),
        ("local", 0, "--workers 0; expected 1 or more"),
        ("dask://host:8786", 4, "--executor dask://host:8786 with --workers 4: it has its own workers"),
        ("mpi", 4, "--executor mpi with --workers 4: mpiexec sets their number"),
        ("parsl:config.py", 4, "its configuration sets their number; omit --workers"),
        ("dask-slurm", None, "--executor dask-slurm needs --workers N"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, workers, message):
    with pytest.raises(UsageError, match=message):
        choose_executor(text, workers)


def test_local_workers_are_as_many_as_asked_for_or_as_usable_cpus():
    assert open_and_close("local", 1).workers == 1
    assert open_and_close("local").workers == usable_cpus()


@pytest.mark.parametrize(
    ("text", "workers", "package", "extra"),
    [
        ("dask://127.0.0.1:1", None, "distributed", "dask"),
        ("dask-slurm", 2, "dask_jobqueue", "slurm"),
        ("parsl:config.py", None, "parsl", "parsl"),
        ("mpi", None, "mpi4py", "mpi"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(text, workers, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"'{package}', which is not installed.*'mlip-ood\[{extra}\]'"):
        open_and_close(text, workers)


def test_no_scheduler(monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.setattr(engines, "FIRST_WORKER_TIMEOUT", 1)
    with pytest.raises(
        SetupError, match=r"no dask scheduler answers at 127.0.0.1:1: .* Start one with `dask scheduler`"
    ):
        open_and_close("dask://127.0.0.1:1")


def test_a_scheduler_without_workers(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.setattr(engines, "FIRST_WORKER_TIMEOUT", 1)
    with distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster:
        address = cluster.scheduler_address.replace("tcp", "dask")
        with pytest.raises(SetupError, match="had no worker for 1 s; start some with `dask worker"):
            open_and_close(address)


def test_a_dask_worker_without_our_package(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.setattr(engines, "_OURS", "no_such_module")
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        pytest.raises(SetupError, match=r"1 dask workers, first .*, have no module no_such_module; expected the same"),
        engines._dask_pool(client),
    ):
        pass


def test_no_slurm(monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="needs the extra slurm")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SetupError, match="no `sbatch` here"):
        open_and_close("dask-slurm", 2)


def test_a_slurm_job_that_is_not_described(monkeypatch):
    dask = pytest.importorskip("dask", reason="needs the extra slurm")
    monkeypatch.setattr(engines.shutil, "which", lambda _: "/usr/bin/sbatch")
    with (
        dask.config.set({"jobqueue.slurm.cores": None}),
        pytest.raises(UsageError, match=r"does not describe a Slurm job: You must specify how much cores"),
    ):
        open_and_close("dask-slurm", 2)


def test_a_job_that_slurm_refuses(monkeypatch, tmp_path):
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'invalid partition' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SetupError, match=r"Slurm refuses the job .* invalid partition"):
        engines._try_job("#!/bin/sh\n")


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("absent.py", None, "no such file; expected a Python file that defines `config`"),
        ("empty.py", "", "its `config` is NoneType; expected a parsl.Config"),
        ("wrong.py", "config = 3", "its `config` is int; expected a parsl.Config"),
        ("no.such.module", None, "no such module; expected FILE.py or a module"),
    ],
)
def test_no_configuration_of_parsl(source, content, message, tmp_path, monkeypatch):
    pytest.importorskip("parsl", reason="needs the extra parsl")
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / source).write_text(content)
    with pytest.raises(UsageError, match=message):
        open_and_close(f"parsl:{source}")


@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="needs the extra mpi")
def test_mpi_outside_an_mpi_job():
    with pytest.raises(UsageError, match=r"requires an MPI job; start it as: mpiexec -n N python -m mpi4py.futures"):
        open_and_close("mpi")


def test_every_engine_has_another_prefix():
    prefixes = [engine.prefix for engine in executors.ENGINES]
    assert len(set(prefixes)) == len(prefixes)
