import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from dataset_builders.core.errors import DataError, ModelError
from harness.compute.lookahead import Lookahead
from harness.compute.staging import StagedPotential, compute_ahead, staged
from harness.core.batch import Prediction, StructureBatch
from tests.harness.potentials.molecules import molecules
from tests.harness.toy_potential import TRAITS, Harmonic


class InSteps:
    """Notes the steps that it takes, and the threads that they run in."""

    traits = TRAITS
    overlaps = True

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.threads: set[str] = set()

    def prepare(self, batch: StructureBatch) -> int:
        self.threads.add(threading.current_thread().name)
        return batch.n_structures

    def launch(self, prepared: int) -> int:
        if prepared == 2:
            raise MemoryError("two are too many")
        self.steps.append(f"launch {prepared}")
        return prepared

    def collect(self, launched: int) -> Prediction:
        self.steps.append(f"collect {launched}")
        return Prediction(np.full(launched, 1.0 * launched), np.zeros((0, 3)), {})

    def compute(self, batch: StructureBatch) -> Prediction:
        return self.collect(self.launch(self.prepare(batch)))


def batches(*sizes: int) -> Iterator[tuple[int, StructureBatch]]:
    for size in sizes:
        yield (
            size,
            StructureBatch(
                np.ones(size, dtype=np.int64), np.zeros((size, 3)), np.ones(size, dtype=np.int64), ("H",) * size
            ),
        )


def caught() -> tuple[type[Exception], ...]:
    return (MemoryError,)


def test_a_potential_without_steps_computes_in_the_second() -> None:
    plain = Harmonic()
    assert not isinstance(plain, StagedPotential)
    batch = molecules()
    steps = staged(plain)
    prediction = steps.collect(steps.launch(steps.prepare(batch)))
    assert np.array_equal(prediction.energy, plain.compute(batch).energy)
    potential = InSteps()
    assert staged(potential) is potential


def test_predictions_come_in_the_order_of_the_jobs_and_errors_in_their_place() -> None:
    potential = InSteps()
    outcomes = list(compute_ahead(potential, batches(1, 2, 3, 4), caught))
    assert [job for job, _ in outcomes] == [1, 2, 3, 4]
    assert [str(outcome) for _, outcome in outcomes if isinstance(outcome, Exception)] == ["two are too many"]
    assert [outcome.energy[0] for _, outcome in outcomes if isinstance(outcome, Prediction)] == [1.0, 3.0, 4.0]
    assert potential.threads == {"lookahead"}


def test_the_next_batch_is_launched_before_the_last_is_collected() -> None:
    potential = InSteps()

    def after_a_while() -> Iterator[tuple[int, StructureBatch]]:
        yield from batches(1, 3, 4)

    jobs = compute_ahead(potential, after_a_while(), caught)
    time.sleep(0.01)
    list(jobs)
    assert potential.steps.index("launch 3") < potential.steps.index("collect 3")
    assert sorted(potential.steps) == sorted(f"{step} {size}" for step in ("launch", "collect") for size in (1, 3, 4))


def test_on_a_cpu_the_steps_follow_one_another() -> None:
    potential = InSteps()
    potential.overlaps = False
    outcomes = list(compute_ahead(potential, batches(1, 2, 3), caught))
    assert potential.steps == ["launch 1", "collect 1", "launch 3", "collect 3"]
    assert [isinstance(outcome, MemoryError) for _, outcome in outcomes] == [False, True, False]
    assert potential.threads == {threading.current_thread().name}


def test_a_prediction_does_not_wait_for_the_next_job() -> None:
    told = threading.Event()

    def slow() -> Iterator[tuple[int, StructureBatch]]:
        yield from batches(1)
        assert told.wait(10), "the first prediction was held back"
        yield from batches(3)

    for job, _ in compute_ahead(InSteps(), slow(), caught):
        if job == 1:
            told.set()


def test_other_errors_end_the_stream() -> None:
    class Broken(InSteps):
        def collect(self, launched: int) -> Prediction:
            raise ModelError("broken")

    with pytest.raises(ModelError, match="broken"):
        list(compute_ahead(Broken(), batches(1), caught))

    def unreadable() -> Iterator[tuple[int, StructureBatch]]:
        yield from batches(1)
        raise DataError("the file is gone")

    with pytest.raises(DataError, match="the file is gone"):
        list(compute_ahead(InSteps(), unreadable(), caught))


def test_a_caught_error_keeps_no_tensors_alive() -> None:
    ((_, error),) = compute_ahead(InSteps(), batches(2), caught)
    assert isinstance(error, MemoryError)
    assert error.__traceback__ is error.__context__ is error.__cause__ is None


def test_reading_ahead_is_bounded_and_ends_with_the_block() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with Lookahead(numbers(), 2) as ahead:
        assert next(ahead) == 0
        time.sleep(0.05)
        assert len(taken) <= 4  # one taken, two that wait, and one at the door
    names = [thread.name for thread in threading.enumerate()]
    assert "lookahead" not in names


def test_the_end_is_there_more_than_once() -> None:
    with Lookahead(iter([7]), 1) as ahead:
        assert list(ahead) == [7]
        assert list(ahead) == []
        assert ahead.is_ready()
