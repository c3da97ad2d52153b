"""What passes between harness and worker, and workers that do not keep to it."""

import logging
import resource
import struct
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import ModelError
from harness.compute.meter import Footprint, meter_of
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions
from harness.models.registry import ModelSource, families, named_as
from harness.worker.client import WorkerPotential, WorkerSpec
from harness.worker.protocol import (
    LONGEST_TEXT,
    Message,
    ProtocolError,
    UnsendableError,
    decoded,
    encoded,
    longest_answer,
    receive,
    send,
)

HERE = Path(__file__).parent
BATCH = StructureBatch(
    np.array([8, 1, 1, 6]), np.arange(12.0).reshape(4, 3), n_atoms=np.array([3, 1]), smiles=("O", "C")
)


@pytest.fixture
def deeds(tmp_path: Path) -> Path:
    path = tmp_path / "deeds"
    path.write_text("")
    return path


@pytest.fixture
def worker(deeds: Path) -> Iterator[WorkerPotential]:
    potential = started(deeds)
    yield potential
    potential.close()


def started(deeds: Path, *, head: str | None = None, batch: float = 20.0, message: float = 20.0) -> WorkerPotential:
    return WorkerPotential(
        WorkerSpec(
            *("liar", deeds, LoadOptions(head=head)),
            module_folders=(HERE,),
            load_seconds=60.0,
            batch_seconds=batch,
            message_seconds=message,
        )
    )


def most_memory() -> int:
    """Bytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("another_number", "an answer to request 99; open requests: 1"),
        ("absurd_length", "a message of more than .* bytes, the maximum for its answer"),
        ("long_answer", "a message of more than .* bytes, the maximum for its answer"),
        ("text", "a message of more than .* bytes, the maximum for its answer"),
        ("negative_length", "0 bytes that are not a message"),
        ("garbage", "64 bytes that are not a message"),
        ("no_number", "a message whose kind is 'computed' and whose number is 'one'"),
        ("no_forces", r"'computed' with \['energy'\] for a batch"),
        ("another_kind", r"'loaded' with \[\] for a batch"),
        ("odd_failures", "{'-1': 'no'} for the failures of a batch"),
    ],
)
def test_a_worker_that_lies_is_reported_with_its_model(
    worker: WorkerPotential, deeds: Path, deed: str, said: str
) -> None:
    deeds.write_text(deed)
    before, started_at = most_memory(), time.monotonic()
    with pytest.raises(ModelError, match=rf"the worker of \S+/deeds sent {said}.*; expected the answer to an open"):
        worker.compute(BATCH)
    assert time.monotonic() - started_at < 15.0
    assert most_memory() - before < 100e6


def test_an_answer_that_comes_twice_is_not_that_of_the_next_question(worker: WorkerPotential, deeds: Path) -> None:
    deeds.write_text("answer_twice")
    assert worker.compute(BATCH).failures == {}
    with pytest.raises(ModelError, match="sent an answer to request 1; open requests: 2"):
        worker.compute(BATCH)


def test_a_worker_that_lies_while_it_loads_is_reported(deeds: Path) -> None:
    with pytest.raises(ModelError, match=r"deeds sent 'loaded' with invalid traits"):
        started(deeds, head="liar")


@pytest.mark.parametrize("deed", ["half_a_header", "half_an_answer", "half_an_answer_and_a_child"])
def test_a_worker_that_stops_inside_a_message_is_ended_and_started_again(
    deeds: Path, deed: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = started(deeds, message=0.5)
    deeds.write_text(f"{deed} honest")
    started_at = time.monotonic()
    assert worker.compute(BATCH).failures == {}
    assert time.monotonic() - started_at < 40.0
    assert "it did not complete an answer within 0.5 s" in caplog.text
    # Nobody blames a lack of memory for what the harness did.
    assert "lack of memory" not in caplog.text
    worker.close()


def test_a_worker_that_sends_slowly_is_left_alone(worker: WorkerPotential, deeds: Path) -> None:
    deeds.write_text("slowly")
    process = worker._worker._process
    assert worker.compute(BATCH).failures == {}
    assert process.poll() is None
    assert worker._worker._process is process


def test_an_answer_that_came_with_another_is_not_waited_for(deeds: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = started(deeds, batch=1.0)
    with caplog.at_level(logging.WARNING):
        first, second = (worker.launch(worker.prepare(BATCH)) for _ in range(2))
        time.sleep(1.0)
        assert [worker.collect(each).failures for each in (first, second)] == [{}, {}]
    assert caplog.text == ""
    worker.close()


def test_answers_are_distinguished_by_number_and_not_by_order(worker: WorkerPotential) -> None:
    small = BATCH.slice(1, 2)
    first, second = (worker.launch(worker.prepare(batch)) for batch in (BATCH, small))
    assert len(worker.collect(second).energy) == 1
    assert len(worker.collect(first).energy) == 2


def test_a_worker_that_takes_no_more_questions_does_not_hold_up_its_end(deeds: Path) -> None:
    worker = started(deeds)
    deeds.write_text("slowly")
    n_atoms = 10**6
    large = StructureBatch(np.ones(n_atoms, dtype=int), np.zeros((n_atoms, 3)), np.array([n_atoms]), ("H",))
    started_at = time.monotonic()
    for batch in (BATCH, large, large):
        worker.launch(worker.prepare(batch))
    worker.close()
    assert time.monotonic() - started_at < 20.0


def test_what_is_no_array_of_numbers_is_the_models_fault(worker: WorkerPotential, deeds: Path) -> None:
    deeds.write_text("complex_energy")
    with pytest.raises(ModelError, match="the model returned something other than an array of numbers"):
        worker.compute(BATCH)


def test_a_long_cause_is_cut(worker: WorkerPotential, deeds: Path) -> None:
    deeds.write_text("long_cause")
    cause = worker.compute(BATCH).failures[0]
    assert len(cause) == LONGEST_TEXT
    assert cause.endswith("...")


def test_a_worker_measures_its_own_memory(worker: WorkerPotential, deeds: Path) -> None:
    renamed = named_as(worker, ModelSource("named", families()[0], deeds))
    for potential in (worker, renamed):
        meter = meter_of(potential)
        assert meter is not None
        meter.begin()
        potential.compute(BATCH)
        assert meter.end() == Footprint(3000, 20, 10)
    deeds.write_text("odd_meter")
    with pytest.raises(ModelError, match=r"sent a footprint of \{'available': 'much'"):
        worker.meter().end()


def test_a_worker_without_a_meter_measures_nothing() -> None:
    worker = WorkerPotential(WorkerSpec("harness.potentials.zero", "zero", LoadOptions()))
    meter = worker.meter()
    meter.begin()
    assert meter.end() is None
    worker.close()


NUMBERS = st.integers(min_value=0, max_value=2**53)
ARRAYS = st.dictionaries(
    st.text(max_size=5),
    st.tuples(st.sampled_from(["f8", "f4", "i8", "u1"]), st.lists(st.integers(0, 4), max_size=3)),
    max_size=3,
)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=10), NUMBERS, st.dictionaries(st.text(max_size=5), st.text(max_size=5)), ARRAYS)
def test_a_message_arrives_as_it_was_sent(
    kind: str, number: int, body: dict[str, str], arrays: dict[str, tuple[str, list[int]]]
) -> None:
    values = {name: np.ones(shape, dtype=dtype) for name, (dtype, shape) in arrays.items()}
    found = decoded(encoded(Message(kind, body, values, number)))
    assert (found.kind, found.number, found.body) == (kind, number, body)
    assert found.arrays.keys() == values.keys()
    for name, array in values.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)


WHOLE = encoded(Message("computed", {"failures": {"0": "no"}}, {"energy": np.ones(3), "forces": np.ones((4, 3))}, 7))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0))
def test_damaged_bytes_are_no_message_or_one_of_the_right_form(changes: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    try:
        message = decoded(bytes(content[: len(content) - cut % 20]))
    except ProtocolError:
        return
    assert type(message.number) is int
    for array in message.arrays.values():
        assert array.sum() is not None  # every number of it can be read


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_other_bytes_are_no_message(content: bytes) -> None:
    with pytest.raises(ProtocolError, match="are not a message"):
        decoded(content)


def test_no_message_holds_complex_numbers() -> None:
    with pytest.raises(UnsendableError, match="complex"):
        encoded(Message("computed", {}, {"energy": np.zeros(2) * 1j}))


def test_the_end_between_messages_is_distinguished_from_one_inside() -> None:
    ours, theirs = Pipe()
    send(theirs, Message("first"))
    theirs.close()
    assert receive(ours) == Message("first")
    assert receive(ours) is None
    ours, theirs = Pipe()
    theirs._send(struct.pack("!i", 100) + b"x")
    theirs.close()
    with pytest.raises(OSError, match="end of file during message"):
        receive(ours)


def test_too_long_a_message_is_not_read() -> None:
    ours, theirs = Pipe()
    send(theirs, Message("long", {"text": "x" * 1000}))
    with pytest.raises(ProtocolError, match="a message of more than 100 bytes"):
        receive(ours, 100)


@pytest.mark.parametrize("n_structures", [1, 100])
def test_the_longest_honest_answer_fits(n_structures: int) -> None:
    """Every structure failed, with as long a cause as there can be, of characters that take most bytes."""
    n_atoms = 3 * n_structures
    prediction = Prediction(
        np.zeros(n_structures),
        np.zeros((n_atoms, 3)),
        dict.fromkeys(range(n_structures), "\N{GRINNING FACE}" * LONGEST_TEXT),
    )
    failures = {str(place): cause for place, cause in prediction.failures.items()}
    arrays = {"energy": prediction.energy, "forces": prediction.forces}
    answer = Message("computed", {"failures": failures}, arrays, 2**53)
    assert len(encoded(answer)) <= longest_answer(n_structures, n_atoms)
