"""A potential's work on a batch in three steps, so that steps of successive batches overlap.

Where the computing goes on elsewhere, on a GPU or in a worker, `prepare` runs beside it in another thread; `launch`
starts it, and `collect` waits for it. A potential that computes on the CPU of this process takes its steps one after
the other: a second thread would wait for Python's lock more than it helped (small MACE, two cores: 8 % slower). One
batch is at one step at a time, and each step sees the batches in their order.

Where a batch does not fit on the device, all others that are under way are collected first, and what was prepared is
given up, so that whoever computes it again has the device for itself and no answer meets the question of another.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

from harness.compute.device import in_pytorchs_words, release_memory
from harness.compute.lookahead import Lookahead
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import Potential

PREPARED_AHEAD: Final = 2
"""Batches that wait, prepared, for their turn."""

LAUNCHED_AHEAD: Final = 2
"""Batches that are being computed or wait in the queue of a device; more would only take memory."""

Job = TypeVar("Job")
_Input = TypeVar("_Input")
_Output = TypeVar("_Output")


@runtime_checkable
class StagedPotential(Protocol):
    """A potential that does its work in steps; `compute` is all three in a row."""

    @property
    def overlaps(self) -> bool:
        """Whether it computes elsewhere, so that this process can prepare the next batches meanwhile."""
        ...

    def prepare(self, batch: StructureBatch) -> Any:
        """What can be done for a batch before its turn; may be called in another thread than the other steps."""
        ...

    def launch(self, prepared: Any) -> Any:
        """Starts the computing of what `prepare` returned."""
        ...

    def collect(self, launched: Any) -> Prediction:
        """The prediction of what `launch` returned, as soon as it is there."""
        ...


@dataclass(frozen=True, slots=True)
class _AllAtOnce:
    """Gives a potential without steps the steps of one that has them."""

    potential: Potential
    overlaps: bool = False

    def prepare(self, batch: StructureBatch) -> StructureBatch:
        """The batch."""
        return batch

    def launch(self, prepared: StructureBatch) -> Prediction:
        """Computes it."""
        return self.potential.compute(prepared)

    def collect(self, launched: Prediction) -> Prediction:
        """What was computed."""
        return launched


def staged(potential: Potential) -> StagedPotential:
    """The potential itself, if it works in steps, or one that does all its work in the second step."""
    return potential if isinstance(potential, StagedPotential) else _AllAtOnce(potential)


Caught = Callable[[], tuple[type[Exception], ...]]
"""The types of errors of a single batch that stand in the place of its prediction; others end the stream. Called when
there is an error, since a library may be imported only then."""

Split = Callable[[Job, StructureBatch], Iterable[tuple[Job, StructureBatch]]]
"""Parts a batch into those that are computed one by one, each with what tells the caller which one it is."""


def whole(job: Job, batch: StructureBatch) -> Iterable[tuple[Job, StructureBatch]]:
    """The batch as it is."""
    return ((job, batch),)


def compute_ahead(
    potential: Potential, jobs: Iterator[tuple[Job, StructureBatch]], caught: Caught, split: "Split[Job]" = whole
) -> Iterator[tuple[Job, Prediction | Exception]]:
    """Computes a stream of batches; where that helps, the next ones are read and prepared meanwhile.

    While the caller looks at an error, nothing else is under way: what was launched is collected, and what was
    prepared is given up and made again later. So the caller may compute the batch in smaller pieces there and then.

    Args:
        potential: What computes.
        jobs: Batches, each with whatever tells the caller which one it is; they may be read in another thread.
        caught: The types of errors of a batch that stand in the place of its prediction.
        split: Parts a batch before it is computed. It is asked again for a batch that was prepared and given up, and so
            may answer with smaller pieces once the caller knows what fits; called in either thread.

    Yields:
        Job and prediction, in the order of the jobs, each as soon as it is there: a job is never held back until
        the next one comes.
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
    """A batch that waits for its turn.

    Attributes:
        job: Which one it is.
        batch: The structures.
        prepared: What was made of it, or the error of that, alone in a list, which hands it on so that no frame on the
            way keeps it alive; empty where it was given up.
    """

    job: Job
    batch: StructureBatch
    prepared: list[Any]


class _Overlapping(Generic[Job]):
    """Batches on their way through a potential that computes elsewhere.

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
        """Held while a batch is prepared, and while the caller has the device for itself."""

    def outcomes(self, jobs: Iterator[tuple[Job, StructureBatch]]) -> Iterator[tuple[Job, Prediction | Exception]]:
        """Job and prediction or error, in the order of the jobs."""
        yield from self._outcomes_before_the_last(jobs)
        while self._launched:
            yield from self._collected()

    def _outcomes_before_the_last(
        self, jobs: Iterator[tuple[Job, StructureBatch]]
    ) -> Iterator[tuple[Job, Prediction | Exception]]:
        """The outcomes of all jobs but those that are still under way when the last one was launched."""
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
        """Runs in the thread that looks ahead."""
        for job, batch in jobs:
            pieces = iter(self._split(job, batch))
            while (each := self._next_prepared(pieces)) is not None:
                yield each

    def _next_prepared(self, pieces: Iterator[tuple[Job, StructureBatch]]) -> _Waiting[Job] | None:
        # The batch is parted only when its turn has come: the caller may learn meanwhile what fits.
        with self._device:
            for part, piece in pieces:
                each = _Waiting(part, piece, [_attempt(self._steps.prepare, piece, self._caught)])
                self._waiting.add(each)
                return each
        return None

    def _launch(self, each: _Waiting[Job]) -> bool:
        """Whether there was an error."""
        running = _attempt(self._steps.launch, each.prepared.pop(), self._caught)
        self._launched.append((each.job, running))
        return isinstance(running, Exception)

    def _collected(self) -> Iterator[tuple[Job, Prediction | Exception]]:
        """The outcome of the first batch that was launched; if that is an error, the outcomes of all."""
        first = self._collect_first()
        if not isinstance(first[1], Exception):
            yield first
            return
        # Their predictions are kept: what was computed beside the batch that failed is as good as any.
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
    """Result of a step, or its error, which then takes the place of all further steps."""
    if isinstance(value, Exception):
        return value
    try:
        return step(value)
    except Exception as cause:
        error = cause if isinstance(cause, caught()) else in_pytorchs_words(cause)
        if not isinstance(error, caught()):
            raise
        # Frames of its traceback would keep the tensors of the failed attempt alive.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
