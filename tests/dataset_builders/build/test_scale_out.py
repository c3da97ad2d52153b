"""The same small edition on every engine, with workers that die and in shards: always the same bytes."""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pyarrow.parquet as pq
import pytest

from dataset_builders.build.edition import make_missing_frames
from dataset_builders.build.edition_folder import write_repository
from dataset_builders.build.fanout import missing_units
from dataset_builders.cli import main
from dataset_builders.engines.choice import choose_executor
from dataset_builders.folder.mini import MINI_DIRECTORY
from tests.dataset_builders.small_build import small_settings

SMALL_BUILD = [sys.executable, "-m", "tests.dataset_builders.small_build"]


def folder_bytes(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def wait_for(condition, what):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after two minutes"
        time.sleep(0.02)


def first_unit(root):
    return lambda: list((root / "work").glob("*/*.parquet"))


def run(command, **environment):
    # Two threads where the engine does not see to it that there is one: the workers must.
    variables = os.environ | {"OMP_NUM_THREADS": "2"} | environment
    finished = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=variables)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
def test_a_dask_cluster_that_loses_a_worker_ends_with_the_same_bytes(small_build, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    _, reference = small_build
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    settings = small_settings(tmp_path / "work")
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        pids = client.run(os.getpid)
        open_pool = choose_executor(cluster.scheduler_address.replace("tcp", "dask"), None)
        build = threading.Thread(target=make_missing_frames, args=(settings, open_pool))
        build.start()
        wait_for(first_unit(tmp_path), "unit")
        busy = next((worker for worker, units in client.processing().items() if units), min(pids))
        os.kill(pids[busy], signal.SIGKILL)
        build.join(120)
        assert not build.is_alive()
        assert busy not in client.scheduler_info(n_workers=-1)["workers"]
    write_repository(settings, tmp_path / "out")
    assert folder_bytes(tmp_path / "out") == folder_bytes(reference)


def test_two_shards_at_once_make_each_unit_once_and_merge_to_the_same_bytes(small_build, tmp_path):
    settings, reference = small_build
    shards = [
        subprocess.Popen(
            [*SMALL_BUILD, str(tmp_path), "--workers", "1", "--shard", f"{number}/2"], stderr=subprocess.PIPE
        )
        for number in (1, 2)
    ]
    for shard in shards:
        _, error = shard.communicate(timeout=200)
        assert shard.returncode == 0, error.decode()
    assert not (tmp_path / "out").exists()
    merged = small_settings(tmp_path / "work")
    assert missing_units(merged) == []
    assert not list(merged.work_dir.rglob(".*.partial"))
    assert {path.name for path in merged.work_dir.iterdir()} == {
        "build.json",
        *(path.name for path in settings.work_dir.iterdir()),
    }
    write_repository(merged, tmp_path / "out")
    assert folder_bytes(tmp_path / "out") == folder_bytes(reference)


def test_labels_of_a_dask_cluster_are_those_of_local_processes_and_of_the_edition(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    pytest.importorskip("pyscf", reason="needs the extra dft")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    subset = ["--subset", "train=1", "validation=0", "test_id=1", "test_ood=1"]
    command = ["relabel", "mini", "--from", "wb97x", "--labels", "gfn2-xtb", "--task", "task2", *subset]
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address.replace("tcp", "dask")
        assert main([*command, "--executor", address, "--out", str(tmp_path / "dask")]) == 0
    assert main([*command, "--workers", "1", "--out", str(tmp_path / "local")]) == 0
    assert folder_bytes(tmp_path / "dask") == folder_bytes(tmp_path / "local")
    edition = {
        (row["molecule_id"], row["trajectory"], row["frame"]): row["energy"]
        for row in pq.read_table(MINI_DIRECTORY / "task2").to_pylist()
    }
    again = pq.read_table(tmp_path / "dask" / "task2").to_pylist()
    assert len(again) == 96
    for row in again:
        before = edition[row["molecule_id"], row["trajectory"], row["frame"]]
        assert row["energy"] == pytest.approx(before, abs=1e-6)


@pytest.mark.slow
def test_parsl_loses_a_worker_and_ends_with_the_same_bytes(small_build, tmp_path):
    pytest.importorskip("parsl", reason="needs the extra parsl")
    psutil = pytest.importorskip("psutil")
    _, reference = small_build
    (tmp_path / "workers.py").write_text(
        "from parsl import Config\n"
        "from parsl.executors import HighThroughputExecutor\n"
        "from parsl.providers import LocalProvider\n"
        "workers = HighThroughputExecutor(address='127.0.0.1', loopback_address='127.0.0.1', max_workers_per_node=2,\n"
        "    provider=LocalProvider(init_blocks=1, max_blocks=1))\n"
        f"config = Config(executors=[workers], run_dir={str(tmp_path / 'runinfo')!r})\n"
    )
    command = [*SMALL_BUILD, str(tmp_path), "--executor", f"parsl:{tmp_path / 'workers.py'}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "2"}) as build:
        wait_for(first_unit(tmp_path), "unit")
        # Parsl lets go of its manager, which is known by the folder of its logs.
        (manager,) = (
            process
            for process in psutil.process_iter(["cmdline"])
            if str(tmp_path) in " ".join(process.info["cmdline"] or ())
            and process.info["cmdline"][1].endswith("process_worker_pool.py")
        )
        max(manager.children(), key=lambda worker: worker.cpu_times().user).kill()
        _, error = build.communicate(timeout=200)
    assert build.returncode == 0, error.decode()
    assert folder_bytes(tmp_path / "out") == folder_bytes(reference)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no mpiexec on this machine")
@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="needs the extra mpi")
def test_mpi_ends_with_the_same_bytes(small_build, tmp_path):
    _, reference = small_build
    # Open MPI only: as root, and with more processes than cores; MPICH looks at neither.
    allowed = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
    start = ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", *SMALL_BUILD[1:]]
    run([*start, str(tmp_path), "--executor", "mpi"], **allowed)
    assert folder_bytes(tmp_path / "out") == folder_bytes(reference)


@pytest.mark.slow
def test_dask_slurm_ends_with_the_same_bytes(small_build, tmp_path):
    """With an `sbatch` that runs the script at once, in place of Slurm."""
    pytest.importorskip("dask_jobqueue", reason="needs the extra slurm")
    _, reference = small_build
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    programs.mkdir()
    jobs.mkdir()
    for name, text in {
        "sbatch": f'[ "$1" = --test-only ] && exit 0\nbash "$1" >{jobs}/log 2>&1 &\n'
        f'touch {jobs}/$!\necho "Submitted batch job $!"\n',
        "scancel": 'for job; do kill "$job" 2>/dev/null; done; true\n',
    }.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}")
        (programs / name).chmod(stat.S_IRWXU)
    (tmp_path / "jobqueue.yaml").write_text(
        "jobqueue:\n  slurm:\n    cores: 1\n    memory: 1GB\n    processes: 1\n    walltime: '00:10:00'\n"
        "    job-command: bash\n    scheduler-options: {host: 127.0.0.1, dashboard_address: ':0'}\n"
    )
    try:
        run(
            [*SMALL_BUILD, str(tmp_path), "--executor", "dask-slurm", "--workers", "2"],
            PATH=f"{programs}:{os.environ['PATH']}",
            DASK_CONFIG=str(tmp_path),
        )
    finally:
        for job in jobs.iterdir():
            with suppress(ValueError, ProcessLookupError):
                os.kill(int(job.name), signal.SIGTERM)
    assert folder_bytes(tmp_path / "out") == folder_bytes(reference)
