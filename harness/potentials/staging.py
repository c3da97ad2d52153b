"""A potential's work on a batch in three steps, so that steps of successive batches overlap.

Where the computing goes on elsewhere, on a GPU or in a worker, `prepare` runs beside it in another thread; `launch`
starts it, and `collect` waits for it. A potential that computes on the CPU of this process takes its steps one after
the other: a second thread would wait for Python's lock more than it helped (small MACE, two cores: 8 % slower). One
batch is at one step at a time, and each step sees the batches in their order.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

from harness.potentials.base import Potential
from harness.potentials.lookahead import Lookahead
from harness.structures import Prediction, StructureBatch

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


def compute_ahead(
    potential: Potential, jobs: Iterator[tuple[Job, StructureBatch]], caught: Callable[[], tuple[type[Exception], ...]]
) -> Iterator[tuple[Job, Prediction | Exception]]:
    """Computes a stream of batches; where that helps, the next ones are read and prepared meanwhile.

    Args:
        potential: What computes.
        jobs: Batches, each with whatever tells the caller which one it is; they may be read in another thread.
        caught: The types of errors of a single batch that stand in the place of its prediction; others end the
            stream. Called when there is an error, since a library may be imported only then.

    Yields:
        Job and prediction, in the order of the jobs, each as soon as it is there: a job is never held back until
        the next one comes.
    """
    steps = staged(potential)

    if not steps.overlaps:
        for job, batch in jobs:
            running = _attempt(steps.launch, _attempt(steps.prepare, batch, caught), caught)
            yield job, _attempt(steps.collect, running, caught)
        return

    def prepared() -> Iterator[tuple[Job, Any]]:
        for job, batch in jobs:
            yield job, _attempt(steps.prepare, batch, caught)

    launched: deque[tuple[Job, Any]] = deque()
    with Lookahead(prepared(), PREPARED_AHEAD) as waiting:
        for job, ready in waiting:
            launched.append((job, _attempt(steps.launch, ready, caught)))
            while launched and (len(launched) >= LAUNCHED_AHEAD or not waiting.is_ready()):
                first, running = launched.popleft()
                yield first, _attempt(steps.collect, running, caught)
        for first, running in launched:
            yield first, _attempt(steps.collect, running, caught)


def _attempt(
    step: Callable[[_Input], _Output], value: _Input | Exception, caught: Callable[[], tuple[type[Exception], ...]]
) -> _Output | Exception:
    """Result of a step, or its error, which then takes the place of all further steps."""
    if isinstance(value, Exception):
        return value
    try:
        return step(value)
    except Exception as cause:
        if not isinstance(cause, caught()):
            raise
        # Frames of its traceback would keep the tensors of the failed attempt alive.
        cause.__cause__ = cause.__context__ = None
        return cause.with_traceback(None)
