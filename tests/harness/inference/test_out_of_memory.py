"""A device that is too small for some batches changes no number, in this process and in a worker."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from dataset_builders.core.errors import SetupError
from harness.compute.staging import LAUNCHED_AHEAD, compute_ahead
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, Potential
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.scan import scan_dataset
from harness.inference.batching import Plan, make_plan
from harness.inference.predict import compute_shards
from harness.inference.windows import read_windows
from harness.worker.client import WorkerPotential, WorkerSpec
from tests.harness.crowded import Queue, Step, springs

Run = Callable[[Potential], dict[str, bytes]]

HERE = Path(__file__).parents[1]
BATCH_ATOMS = 300
MOLECULES = ("COOH-12-H", "CN-12-H", "H-12-H", "COOH-8-H", "NH2-6-H", "OH-4-H", "H-4-H", "CN-2-H", "H-2-H")
LIMITS = (41, 60, 75, 99, 149, 150, 200, 290)
"""From the largest molecule of the data set to nearly a batch."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> PinnedDataset:
    """Molecules of task4, of 8 to 41 atoms: each frame is computed dozens of times here."""
    folder = tmp_path_factory.mktemp("few")
    for path in open_dataset("mini").directory.glob("task4/*.parquet"):
        (folder / "task4").mkdir(exist_ok=True)
        pq.write_table(pq.read_table(path, filters=[("molecule_id", "in", MOLECULES)]), folder / "task4" / path.name)
    return open_dataset(str(folder))


@pytest.fixture(scope="module")
def plan(few: PinnedDataset) -> Plan:
    """Three shards, with batches of 266 to 295 atoms and a small one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 60)
        made = make_plan(scan_dataset(few, ("task4",)), BATCH_ATOMS)
    assert [len(shard.bounds) - 1 for shard in made.shards] == [6, 2, 2]
    return made


@pytest.fixture(scope="module")
def undisturbed(few: PinnedDataset, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return computed(Queue(10**6), few, plan, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("limits") / "limit"
    path.write_text("1000000 torch")
    return path


@pytest.fixture(scope="module")
def worker(limits: Path) -> Iterator[WorkerPotential]:
    potential = WorkerPotential(WorkerSpec("crowded", limits, LoadOptions(), module_folders=(HERE,)))
    yield potential
    potential.close()


@pytest.fixture
def run(few: PinnedDataset, plan: Plan, tmp_path: Path) -> Run:
    return lambda potential: computed(potential, few, plan, tmp_path)


def computed(potential: Potential, dataset: PinnedDataset, plan: Plan, folder: Path) -> dict[str, bytes]:
    """The files of a run, byte for byte."""
    compute_shards(potential, plan, read_windows(dataset, plan), folder, {"model_hash": "a"})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("limit", "step"), [*((limit, "launch") for limit in LIMITS), *((99, step) for step in ("prepare", "collect"))]
)
def test_what_overlaps_in_this_process_ends_with_the_same_bytes(
    run: Run, undisturbed: dict[str, bytes], limit: int, step: Step
) -> None:
    queue = Queue(limit, step)
    assert run(queue) == undisturbed
    assert queue.refused
    assert not queue.queue


@pytest.mark.parametrize("limit", LIMITS)
def test_a_worker_ends_with_the_same_bytes(
    run: Run, undisturbed: dict[str, bytes], worker: WorkerPotential, limits: Path, limit: int
) -> None:
    limits.write_text(f"{limit} torch")
    assert run(worker) == undisturbed


@pytest.mark.parametrize(
    "kind",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "Failed to allocate 123456 bytes on device 'cuda:0'",
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 7 bytes",
    ],
)
@pytest.mark.parametrize("where", ["process", "worker"])
def test_a_full_device_by_another_name_is_one(
    run: Run, undisturbed: dict[str, bytes], worker: WorkerPotential, limits: Path, kind: str, where: str
) -> None:
    limits.write_text(f"100 {kind}")
    assert run(Queue(100, kind=kind) if where == "process" else worker) == undisturbed


def alternating(n_batches: int) -> list[StructureBatch]:
    """Batches of four and of two molecules of ten atoms, all different."""
    random = np.random.default_rng(0)
    sizes = [4 if number % 2 == 0 else 2 for number in range(n_batches)]
    return [
        StructureBatch(np.full(10 * n, 6), random.normal(size=(10 * n, 3)), np.full(n, 10), ("C",) * n) for n in sizes
    ]


@pytest.mark.parametrize("where", ["process", "worker"])
def test_each_batch_of_a_stream_gets_its_own_prediction(worker: WorkerPotential, limits: Path, where: str) -> None:
    limits.write_text("30 torch")
    potential = Queue(30) if where == "process" else worker
    batches = alternating(16)
    jobs = iter(list(enumerate(batches)))
    seen = []
    for job, outcome in compute_ahead(potential, jobs, lambda: (torch.OutOfMemoryError,)):
        batch = batches[job]
        if isinstance(outcome, Prediction):
            energy = outcome.energy
        else:
            halves = [potential.compute(batch.slice(start, start + 2)) for start in (0, 2)]
            energy = np.concatenate([half.energy for half in halves])
        assert np.array_equal(energy, springs(batch).energy)
        seen.append((job, isinstance(outcome, Prediction)))
    assert seen == [(job, job % 2 == 1) for job in range(16)]


def test_the_device_is_empty_when_a_batch_is_computed_again(run: Run) -> None:
    queue = Queue(100)
    run(queue)
    assert queue.beside
    assert set(queue.beside) == {0}


@pytest.mark.parametrize("limit", LIMITS)
def test_after_a_first_failure_batches_are_smaller(run: Run, limit: int, caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue(limit)
    with caplog.at_level(logging.WARNING):
        run(queue)
    # What was launched already is refused, too; after that, one failure for each time that the size is halved.
    n_halvings = int(np.ceil(np.log2(BATCH_ATOMS / limit)))
    assert len(queue.refused) <= LAUNCHED_AHEAD * n_halvings
    first = queue.launched.index(queue.refused[0])
    assert max(queue.launched[first + LAUNCHED_AHEAD :]) <= queue.refused[0] // 2
    assert "does not fit in the memory of cpu; it is halved, as are later ones" in caplog.text


def test_what_fits_is_never_parted(run: Run, plan: Plan) -> None:
    queue = Queue(10**6)
    run(queue)
    n_batches = sum(len(shard.bounds) - 1 for shard in plan.shards)
    assert len(queue.launched) == n_batches


@pytest.mark.parametrize("where", ["process", "worker"])
def test_a_molecule_that_alone_does_not_fit_is_named_with_the_reason(
    run: Run, worker: WorkerPotential, limits: Path, where: str
) -> None:
    limits.write_text("40 torch")
    potential = Queue(40) if where == "process" else worker
    message = r"alone \(41 atoms\) does not fit in the memory of cpu \(CUDA out of memory. Tried to allocate 7 GiB\)"
    with pytest.raises(SetupError, match=message):
        run(potential)


def test_the_plan_stays_so_that_a_run_goes_on_where_it_was(
    run: Run, plan: Plan, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    run(Queue(99))
    (tmp_path / f"{plan.shards[0].name}.parquet").unlink()
    queue = Queue(10**6)
    assert run(queue) == undisturbed
    assert len(queue.launched) == len(plan.shards[0].bounds) - 1
