"""Splits the computation of a batch into three steps, so that steps of successive batches overlap.

If a GPU or a worker computes, `prepare` runs concurrently in another thread; `launch` starts the computation, and
`collect` waits for it. A potential that computes on the CPU of this process takes its steps one after another: a second
thread would wait for Python's lock more than it helped (small MACE, two cores: 8 % slower). A batch is in one step at a
time, and each step receives the batches in order.

If a batch does not fit on the device, all other running batches are collected first and prepared ones are discarded.
The retry then has the device to itself, and no prediction is assigned to the wrong batch.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

from harness.compute.device import as_torch_error, release_memory
from harness.compute.lookahead import Lookahead
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import Potential

PREPARED_AHEAD: Final = 2
"""Maximum number of prepared batches that wait."""

LAUNCHED_AHEAD: Final = 2
"""Maximum number of batches that run or wait in the queue of a device; more would only take memory."""

Job = TypeVar("Job")
_Input = TypeVar("_Input")
_Output = TypeVar("_Output")


@runtime_checkable
class StagedPotential(Protocol):
    """A potential that computes in steps; `compute` runs all three in a row."""

    @property
    def overlaps(self) -> bool:
        """Whether it computes outside this process, which can then prepare the next batches meanwhile."""
        ...

    def prepare(self, batch: StructureBatch) -> Any:
        """Prepares a batch ahead of time; may run in another thread than the other steps."""
        ...

    def launch(self, prepared: Any) -> Any:
        """Starts the computation of what `prepare` returned."""
        ...

    def collect(self, launched: Any) -> Prediction:
        """Waits for the prediction of what `launch` returned."""
        ...


@dataclass(frozen=True, slots=True)
class _AllAtOnce:
    """Adapts a potential without steps to the `StagedPotential` interface."""

    potential: Potential
    overlaps: bool = False

    def prepare(self, batch: StructureBatch) -> StructureBatch:
        """Returns the batch."""
        return batch

    def launch(self, prepared: StructureBatch) -> Prediction:
        """Computes the batch."""
        return self.potential.compute(prepared)

    def collect(self, launched: Prediction) -> Prediction:
        """Returns the prediction."""
        return launched


def staged(potential: Potential) -> StagedPotential:
    """The potential itself if it has steps, or a wrapper that does all its work in the second step."""
    return potential if isinstance(potential, StagedPotential) else _AllAtOnce(potential)


Caught = Callable[[], tuple[type[Exception], ...]]
"""Error types of a single batch that are returned in place of its prediction; others end the stream. Called when an
error occurs, since a library may be imported only then."""

Split = Callable[[Job, StructureBatch], Iterable[tuple[Job, StructureBatch]]]
"""Splits a batch into parts that are computed one by one, each with a job that identifies it to the caller."""


def whole(job: Job, batch: StructureBatch) -> Iterable[tuple[Job, StructureBatch]]:
    """The batch, not split."""
    return ((job, batch),)


def compute_ahead(
    potential: Potential, jobs: Iterator[tuple[Job, StructureBatch]], caught: Caught, split: "Split[Job]" = whole
) -> Iterator[tuple[Job, Prediction | Exception]]:
    """Computes a stream of batches; where that helps, the next ones are read and prepared meanwhile.

    While the caller handles an error, nothing else is running: launched batches are collected, and prepared ones are
    discarded and prepared again later. The caller may therefore compute the batch in smaller parts immediately.

    Args:
        potential: The potential.
        jobs: Batches, each with a job that identifies it to the caller; they may be read in another thread.
        caught: Error types of a batch that are yielded in place of its prediction.
        split: Splits a batch before it is computed. It is called again for a batch that was prepared and discarded, and
            may then return smaller parts, once the caller knows what fits; called in either thread.

    Yields:
        Job and prediction, in the order of the jobs, each as soon as it is available: a job never waits for the next
        one to arrive.
    """
    steps = staged(potential)
    if steps.overlaps:
        yield from _Overlapping(steps, caught, split).outcomes(jobs)
        return
    for job, batch in jobs:
        for part, piece in split(job, batch):
            outcome = _in_a_row(steps, piece, caught)
            if isinstance(outcome, Exception):
                release_memory()
            yield part, outcome


def _in_a_row(steps: StagedPotential, batch: StructureBatch, caught: Caught) -> Prediction | Exception:
    running = _attempt(steps.launch, _attempt(steps.prepare, batch, caught), caught)
    return _attempt(steps.collect, running, caught)


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Job]):
    """A waiting batch.

    Attributes:
        job: Identifies the batch.
        batch: The structures.
        prepared: Result or error of `prepare`, in a list of one, from which it is popped so that no stack frame keeps
            it alive; empty if it was discarded.
    """

    job: Job
    batch: StructureBatch
    prepared: list[Any]


class _Overlapping(Generic[Job]):
    """Batches on their way through a potential that computes outside this process.

    Args:
        steps: The potential.
        caught: As for `compute_ahead`.
        split: As for `compute_ahead`.
    """

    def __init__(self, steps: StagedPotential, caught: Caught, split: "Split[Job]") -> None:
        self._steps, self._caught, self._split = steps, caught, split
        self._waiting: set[_Waiting[Job]] = set()
        self._launched: deque[tuple[Job, Any]] = deque()
        self._device = threading.Lock()
        """Held while a batch is prepared, and while the caller has the device to itself."""

    def outcomes(self, jobs: Iterator[tuple[Job, StructureBatch]]) -> Iterator[tuple[Job, Prediction | Exception]]:
        """Job and prediction or error, in the order of the jobs."""
        yield from self._outcomes_before_the_last(jobs)
        while self._launched:
            yield from self._collected()

    def _outcomes_before_the_last(
        self, jobs: Iterator[tuple[Job, StructureBatch]]
    ) -> Iterator[tuple[Job, Prediction | Exception]]:
        """The outcomes of all jobs except those still running when the last one was launched."""
        with Lookahead(self._prepared(jobs), PREPARED_AHEAD) as ahead:
            for each in ahead:
                self._waiting.remove(each)
                is_refused = False
                if each.prepared:
                    is_refused = self._launch(each)
                else:
                    yield from self._outcomes_before_the_last(iter([(each.job, each.batch)]))
                while self._launched and (is_refused or len(self._launched) >= LAUNCHED_AHEAD or not ahead.is_ready()):
                    yield from self._collected()

    def _prepared(self, jobs: Iterator[tuple[Job, StructureBatch]]) -> Iterator[_Waiting[Job]]:
        """Runs in the lookahead thread."""
        for job, batch in jobs:
            pieces = iter(self._split(job, batch))
            while (each := self._next_prepared(pieces)) is not None:
                yield each

    def _next_prepared(self, pieces: Iterator[tuple[Job, StructureBatch]]) -> _Waiting[Job] | None:
        # The batch is split only when its turn comes: the caller may learn meanwhile what fits.
        with self._device:
            for part, piece in pieces:
                each = _Waiting(part, piece, [_attempt(self._steps.prepare, piece, self._caught)])
                self._waiting.add(each)
                return each
        return None

    def _launch(self, each: _Waiting[Job]) -> bool:
        """Launches a batch; true if that raised an error."""
        running = _attempt(self._steps.launch, each.prepared.pop(), self._caught)
        self._launched.append((each.job, running))
        return isinstance(running, Exception)

    def _collected(self) -> Iterator[tuple[Job, Prediction | Exception]]:
        """The outcome of the batch that was launched first; if it is an error, the outcomes of all."""
        first = self._collect_first()
        if not isinstance(first[1], Exception):
            yield first
            return
        # Predictions of the other launched batches are valid, so they are kept.
        outcomes = deque([first, *(self._collect_first() for _ in range(len(self._launched)))])
        with self._device:
            for each in self._waiting:
                each.prepared.clear()
            release_memory()
            while outcomes:
                yield outcomes.popleft()

    def _collect_first(self) -> tuple[Job, Prediction | Exception]:
        job, running = self._launched.popleft()
        return job, _attempt(self._steps.collect, running, self._caught)


def _attempt(step: Callable[[_Input], _Output], value: _Input | Exception, caught: Caught) -> _Output | Exception:
    """Result of a step, or its error, which then replaces all further steps."""
    if isinstance(value, Exception):
        return value
    try:
        return step(value)
    except Exception as cause:
        error = cause if isinstance(cause, caught()) else as_torch_error(cause)
        if not isinstance(error, caught()):
            raise
        # The frames of its traceback would keep the tensors of the failed attempt alive.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
