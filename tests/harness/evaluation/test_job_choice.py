import os
from pathlib import Path

import pytest

from dataset_builders.core.errors import UsageError
from harness.core.potential import Isolation
from harness.data.dataset import open_dataset
from harness.evaluation import job_choice as module
from harness.evaluation.job_choice import IN_ONE_PROCESS, JobChoice, job_choice
from harness.evaluation.run import RunOptions, evaluate_model
from harness.inference import jobs
from harness.models.resolve import resolve_model


@pytest.fixture(autouse=True)
def eight_cpus_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cpus", lambda: 8)
    monkeypatch.setattr(module, "may_have_gpu", lambda: False)
    for name in ("OMP_NUM_THREADS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("asked", "device", "isolation", "threads", "expected"),
    [
        (None, "auto", "auto", None, JobChoice(8, 1)),
        (None, "cpu", "always", None, JobChoice(8, 1)),
        (3, "cpu", "auto", None, JobChoice(3, 2)),
        (16, "cpu", "strict", None, JobChoice(16, 1)),
        (1, "cpu", "auto", None, IN_ONE_PROCESS),
        (None, "cpu", "auto", "2", JobChoice(4, 2)),
        (None, "cpu", "auto", "8", IN_ONE_PROCESS),
        (None, "cpu", "auto", "1,2", JobChoice(8, 1)),
        (4, "cpu", "auto", "3", JobChoice(4, 3)),
        (None, "cuda", "auto", None, IN_ONE_PROCESS),
        (1, "cuda:1", "auto", None, IN_ONE_PROCESS),
        (None, "cpu", "never", None, IN_ONE_PROCESS),
    ],
)
def test_processes_and_their_threads(
    asked: int | None,
    device: str,
    isolation: Isolation,
    threads: str | None,
    expected: JobChoice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert job_choice(asked, device, isolation) == expected


def test_a_gpu_that_may_be_there_is_left_to_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "may_have_gpu", lambda: True)
    assert job_choice(None, "auto", "auto") == IN_ONE_PROCESS
    assert job_choice(None, "cpu", "auto") == JobChoice(8, 1)
    assert job_choice(4, "auto", "auto") == JobChoice(4, 2)


@pytest.mark.parametrize(
    ("device", "isolation", "message"),
    [
        ("cuda", "auto", "--jobs 4, but --device cuda computes in one process; --jobs is for CPUs; leave out --jobs"),
        ("cpu", "never", "--jobs 4, but --isolation never computes in the process of the command alone"),
    ],
)
def test_several_processes_where_one_computes(device: str, isolation: Isolation, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        job_choice(4, device, isolation)


def test_processes_of_torchrun_share_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert job_choice(None, "cpu", "auto") == IN_ONE_PROCESS
    with pytest.raises(UsageError, match="--jobs 2, but 2 processes share this evaluation already"):
        job_choice(2, "cpu", "auto")


@pytest.mark.parametrize("isolation", ["auto", "always"])
def test_workers_of_a_family_write_the_bytes_of_one_process(
    isolation: Isolation, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LEAST_TIMED_SECONDS", 0.0)
    monkeypatch.setattr(jobs, "PAYS_OFF", 0.0)
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 2)
    # The first process waits for the other, so that both compute however fast the machine is.
    wait = jobs.Joining.count

    def count(joining: jobs.Joining, *given: object) -> None:
        wait(joining, *given)  # type: ignore[arg-type]
        while joining._n_joining and not joining._joined and not joining._peaks:
            os.sched_yield()

    monkeypatch.setattr(jobs.Joining, "count", count)
    files = []
    for most in (1, 2):
        options = RunOptions(
            ("task4",), tmp_path / str(most), batch_atoms=20, isolation=isolation, quiet=True, jobs=JobChoice(most, 1)
        )
        run = evaluate_model(resolve_model("mmff94"), open_dataset(str(tiny_dataset)), options)
        assert run is not None
        files.append({path.name: path.read_bytes() for path in (run.directory / "predictions").iterdir()})
        cost = run.result.cost
        assert cost is not None
        assert cost.n_processes == most
    assert files[0] == files[1]
    assert cost.jobs is not None
    assert cost.jobs.used == 2
    assert cost.memory_text is not None
    assert cost.memory_text.endswith("in 2 processes")
    assert "OMP_NUM_THREADS" not in os.environ
