"""Several processes of one machine: who joins, the same bytes whoever computes, and what happens to one that ends."""

import contextlib
import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ModelError
from harness.core.batch import StructureBatch
from harness.core.potential import Potential
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.scan import scan_dataset
from harness.inference import jobs as module
from harness.inference.batching import Plan, make_plan
from harness.inference.jobs import JobFigures, Jobs
from harness.inference.predict import SHARDS_WAITING, compute_shards, compute_together
from harness.inference.progress import OnStructures, no_progress
from harness.inference.windows import read_windows
from harness.worker.client import HelperEndedError
from tests.harness.toy_potential import Harmonic

IDENTITY = {"model_hash": "a"}


@pytest.fixture(scope="module")
def dataset(tiny_dataset: Path) -> PinnedDataset:
    return open_dataset(str(tiny_dataset))


@pytest.fixture
def plan(dataset: PinnedDataset, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 16)
    monkeypatch.setattr("harness.inference.batching.ATOMS_PER_WINDOW", 1000)
    return make_plan(scan_dataset(dataset, ("task1",)), 50)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others join after the second batch."""
    monkeypatch.setattr(module, "LEAST_TIMED_SECONDS", 0.0)
    monkeypatch.setattr(module, "LEAST_START_SECONDS", 0.0)
    monkeypatch.setattr(module, "PAYS_OFF", 0.0)


@dataclass
class Others:
    """Starts potentials in threads, as the harness starts workers."""

    before: Callable[[StructureBatch], None] = lambda _: None
    refusal: str | None = None
    started: list[Harmonic] = field(default_factory=list)
    n_closed: int = 0

    @contextlib.contextmanager
    def start(self) -> Iterator[Potential]:
        if self.refusal is not None:
            raise HelperEndedError(self.refusal)
        self.started.append(Harmonic(before=self.before, delay=0.01))
        try:
            yield self.started[-1]
        finally:
            self.n_closed += 1


@dataclass
class Run:
    """Computes the plan into a folder of its own."""

    dataset: PinnedDataset
    plan: Plan
    folder: Path

    def __call__(self, jobs: Jobs, on_structures: OnStructures = no_progress) -> JobFigures | None:
        windows = read_windows(self.dataset, self.plan)
        return compute_together(jobs, self.plan, windows, self.folder / "several", IDENTITY, on_structures)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "several").glob("*.parquet")}

    def files_of_one(self) -> dict[str, bytes]:
        folder = self.folder / "one"
        compute_shards(Harmonic(), self.plan, read_windows(self.dataset, self.plan), folder, IDENTITY)
        return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


@pytest.fixture
def run(dataset: PinnedDataset, plan: Plan, tmp_path: Path) -> Run:
    return Run(dataset, plan, tmp_path)


@pytest.mark.usefixtures("at_once")
def test_three_processes_write_the_bytes_of_one(run: Run) -> None:
    first, others = Harmonic(delay=0.02), Others()
    counted: list[int] = []
    record = run(Jobs(first, 3, others.start), lambda number, _: counted.append(number))
    assert run.files() == run.files_of_one()
    assert sum(counted) == run.plan.n_frames
    sizes = [sum(first.sizes), *(sum(each.sizes) for each in others.started)]
    assert sum(sizes) == run.plan.n_frames
    assert len(sizes) == 3
    assert min(sizes) > 0
    assert others.n_closed == 2
    assert record is not None
    assert (record.allowed, record.used, record.reason) == (3, 3, None)
    assert record.alone_per_second is not None
    assert record.together_per_second is not None
    assert record.start_seconds is not None


def test_a_short_evaluation_stays_in_one_process(run: Run) -> None:
    others = Others()
    record = run(Jobs(Harmonic(delay=0.001), 8, others.start))
    assert others.started == []
    assert record is not None
    assert (record.allowed, record.used, record.together_per_second) == (8, 1, None)
    assert record.reason == "it ended before others were needed"
    assert run.files() == run.files_of_one()


def test_what_is_left_must_pay_for_a_start(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_TIMED_SECONDS", 0.0)
    others = Others()
    record = run(Jobs(Harmonic(delay=0.001), 2, others.start, load_seconds=600.0))
    assert others.started == []
    assert record is not None
    assert re.fullmatch(r"[\d.]+ s were left, and another process takes 600\.\d s", record.reason or "")


@pytest.mark.usefixtures("at_once")
def test_no_more_processes_than_the_memory_holds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_memory", lambda: 2**20)
    others = Others()
    record = run(Jobs(Harmonic(delay=0.001), 2, others.start))
    assert others.started == []
    assert record is not None
    assert record.reason == "the available memory holds no other process"


def test_batches_of_finished_shards_are_freed(
    dataset: PinnedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 4)
    plan = make_plan(scan_dataset(dataset, ("task1",)), 50)
    alive: list[weakref.ref[FloatArray]] = []
    most = 0

    def count(batch: StructureBatch) -> None:
        nonlocal most
        alive.append(weakref.ref(batch.positions))
        most = max(most, sum(each() is not None for each in alive))

    Run(dataset, plan, tmp_path)(Jobs(Harmonic(before=count)))
    # The shard at hand, the next one, one that is being written, and those that wait for that.
    n_shards = 3 + SHARDS_WAITING
    bound = sum(sorted(len(shard.bounds) - 1 for shard in plan.shards)[-n_shards:])
    assert most <= bound < len(alive) / 2


def test_one_process_is_not_on_record_unless_something_kept_it_alone(run: Run) -> None:
    assert run(Jobs(Harmonic())) is None
    assert run(Jobs(Harmonic(), reason="because")) is None  # nothing is missing any more


def test_the_reason_of_the_model_is_on_record(run: Run) -> None:
    record = run(Jobs(Harmonic(), reason="its 4 threads use the CPUs"))
    assert record is not None
    assert (record.allowed, record.used, record.reason) == (1, 1, "its 4 threads use the CPUs")


@pytest.mark.usefixtures("at_once")
def test_one_that_cannot_start_is_named_and_the_others_go_on(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    record = run(Jobs(Harmonic(delay=0.002), 2, Others(refusal="no memory").start))
    assert run.files() == run.files_of_one()
    assert "toy: process 2 of 2 ended; the others go on: no memory" in caplog.text
    assert record is not None
    assert record.used == 1


@pytest.mark.usefixtures("at_once")
def test_the_shard_of_one_that_ends_is_computed_by_the_first(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    n_batches = 0

    def end(_: StructureBatch) -> None:
        nonlocal n_batches
        n_batches += 1
        if n_batches == 6:  # in the middle of its second shard
            raise HelperEndedError("out of memory, says the system")

    with caplog.at_level(logging.WARNING):
        record = run(Jobs(Harmonic(delay=0.01), 2, Others(end).start))
    assert run.files() == run.files_of_one()
    assert "process 2 of 2 ended" in caplog.text
    assert record is not None
    assert record.used == 2


@pytest.mark.usefixtures("at_once")
def test_an_error_of_another_process_is_raised_once_and_finished_shards_are_kept(run: Run) -> None:
    n_batches = 0

    def fail(_: StructureBatch) -> None:
        nonlocal n_batches
        n_batches += 1
        if n_batches > 8:
            raise ModelError("a bad element")

    with pytest.raises(ModelError, match="a bad element"):
        run(Jobs(Harmonic(delay=0.01), 2, Others(fail).start))
    kept = run.files()
    whole = run.files_of_one()
    assert 1 <= len(kept) < len(whole)
    assert all(whole[name] == content for name, content in kept.items())
    rest = Harmonic()
    run(Jobs(rest))
    assert run.files() == whole
    assert sum(rest.sizes) < run.plan.n_frames


@pytest.mark.usefixtures("at_once")
def test_an_interruption_stops_all_and_the_rest_is_computed_later(run: Run) -> None:
    others = Others()
    n_batches = 0

    def interrupt(_: int, __: str) -> None:
        nonlocal n_batches
        n_batches += 1
        if n_batches == 12:
            raise KeyboardInterrupt("by the user")

    with pytest.raises(KeyboardInterrupt, match="by the user"):
        run(Jobs(Harmonic(delay=0.01), 2, others.start), interrupt)
    assert others.n_closed == len(others.started) == 1
    assert not [each for each in threading.enumerate() if each.name.startswith("stream-")]
    assert 1 <= len(run.files()) < len(run.plan.shards)
    run(Jobs(Harmonic(delay=0.005), 2, others.start))
    assert run.files() == run.files_of_one()
