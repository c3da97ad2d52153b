"""Sends work units to the workers of an engine, and handles those whose workers die.

A unit whose worker dies is a suspect, and so is each unit in progress when an engine breaks. Suspects wait until the
other units are done, and then run one at a time with nothing beside them: a unit is given up only if it fails alone.
"""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from dataset_builders.engines.attempts import Raised, attempt
from dataset_builders.engines.choice import OpenPool
from dataset_builders.engines.workers import Pool

MAX_DEATHS: Final = 3
"""Deaths of workers on a unit, the last without other work, after which it is given up; also the number of engines that
may break in a row, without a finished unit, before the command fails."""

_FEWEST_WORKERS: Final = 8
"""If the engine survives the deaths of single workers, `MAX_DEATHS` for each of at least this many workers in a row,
without a finished unit, mean that no worker can do the work."""

Piece = TypeVar("Piece", bound=Hashable)
Report = TypeVar("Report")


def _unchanged(piece: Any) -> Any:
    return piece


@dataclass(frozen=True, slots=True)
class Work(Generic[Piece, Report]):
    """How each work unit is processed.

    Attributes:
        noun: Plural noun for the units in messages.
        do: Processes a unit in a worker and returns its report, including failures; engines pickle it. An
            `MlipOodError` that it raises ends the command; any other exception is a failure of that unit.
        lost: Report of a unit that is given up, with the cause as text.
        failures: Failures in a report, as text.
        progress: Called with each report.
        payload: Data sent to the worker for a unit, created when it is sent; the unit itself by default.
        name: Name of a unit in messages.
    """

    noun: str
    do: Callable[[Any], Report]
    lost: Callable[[Piece, str], Report]
    failures: Callable[[Report], Sequence[str]]
    progress: Callable[[Report], None]
    payload: Callable[[Piece], Any] = _unchanged
    name: Callable[[Piece], str] = str


def do_all(pieces: Sequence[Piece], work: Work[Piece, Report], open_pool: OpenPool) -> list[str]:
    """Processes all units on an engine, in order; units lost with a dying worker are repeated.

    Returns:
        The failures, as text; all other units are done.

    Raises:
        SetupError: If the engine cannot be reached, or its workers cannot do the work.
    """
    campaign = _Campaign(pieces, work)
    while campaign.left() and not campaign.is_hopeless:
        campaign.run(open_pool)
    left = campaign.left()
    if not left:
        return campaign.failures
    noun = work.noun
    return [
        *campaign.failures,
        f"the workers died {campaign.barren} times before any of the {noun} was done; {len(left)} {noun} are "
        f"left, the first is {work.name(left[0])}: the machine may be short of memory; try fewer --workers",
    ]


class _NoProgressError(Exception):
    """No worker seems able to do the work."""


class _Campaign(Generic[Piece, Report]):
    """State of the work units, and their failures.

    Args:
        pieces: The units to process.
        work: How they are processed.

    Attributes:
        failures: Causes of failed units.
        barren: Deaths in a row, of workers or engines, since a unit was last done beside others.
        is_hopeless: Whether these are too many to continue.
    """

    def __init__(self, pieces: Sequence[Piece], work: Work[Piece, Report]) -> None:
        self.failures: list[str] = []
        self.barren = 0
        self.is_hopeless = False
        self._work = work
        self._waiting = deque(pieces)
        self._suspects: deque[Piece] = deque()
        self._deaths: Counter[Piece] = Counter()
        self._pending: dict[Future[Report | Raised], Piece] = {}
        self._is_alone = False

    def left(self) -> list[Piece]:
        """Units that are neither done nor given up."""
        return [*self._waiting, *self._suspects]

    def run(self, open_pool: OpenPool) -> None:
        """Processes the units that are left; returns when all are settled or the engine breaks."""
        # Without a number of workers from the engine, any submitted call may have been running.
        in_hand: int | None = None
        self._is_alone = False
        try:
            with open_pool() as pool:
                in_hand = pool.workers
                self._run_together(pool)
                self._run_alone(pool)
        except (BrokenExecutor, CancelledError):
            self._after_break(in_hand)
        except _NoProgressError:
            self.is_hopeless = True

    def _run_together(self, pool: Pool) -> None:
        done: SimpleQueue[Future[Report | Raised]] = SimpleQueue()
        while self._waiting or self._pending:
            while self._waiting and len(self._pending) < pool.window:
                self._submit(self._waiting.popleft(), pool).add_done_callback(done.put)
            future = done.get()
            try:
                self._take(future)
            except pool.lost:
                self._suspect(self._pending.pop(future))
                self._count_without_progress(MAX_DEATHS * max(pool.workers or 0, _FEWEST_WORKERS))

    def _run_alone(self, pool: Pool) -> None:
        """Runs suspects one at a time, those with the fewest deaths first, so that harmless ones do not wait."""
        self._is_alone = True
        while self._suspects:
            future = self._submit(self._suspects.popleft(), pool)
            try:
                self._take(future)
            except pool.lost:
                self._suspect(self._pending.pop(future))

    def _submit(self, piece: Piece, pool: Pool) -> "Future[Report | Raised]":
        # Recorded before it is sent, so that no unit is lost if sending fails.
        self._waiting.appendleft(piece)
        call = partial(attempt, self._work.do)
        future = pool.executor.submit(call, self._work.payload(piece))
        self._waiting.popleft()
        self._pending[future] = piece
        return future

    def _take(self, future: "Future[Report | Raised]") -> None:
        """Settles the unit of a future, or makes it a suspect if it ran out of memory.

        Raises:
            Exception: As the engine raises it for a lost call.
        """
        outcome = future.result()
        piece = self._pending.pop(future)
        if not isinstance(outcome, Raised):
            self.barren = 0
            self._settle(outcome)
        elif outcome.is_memory:
            self._suspect(piece)
        else:
            self.barren = 0
            self._settle(self._work.lost(piece, f"{self._work.name(piece)}: {outcome.text}"))

    def _after_break(self, in_hand: int | None) -> None:
        """Collects results from before the engine broke, and makes the units in progress suspects."""
        under_way = dict(self._pending)
        for future in under_way:
            if future.done() and not future.cancelled() and not future.exception():
                self._take(future)
        unsettled = list(self._pending.values())
        self._pending.clear()
        # Units start in order, so one of the first that are left was running on the worker that died.
        n_suspects = in_hand or len(unsettled)
        for piece in unsettled[:n_suspects]:
            self._suspect(piece)
        self._waiting.extendleft(reversed(unsettled[n_suspects:]))
        if not self._is_alone or not unsettled:
            self.barren += 1
            self.is_hopeless = self.barren >= MAX_DEATHS

    def _suspect(self, piece: Piece) -> None:
        """Counts a death on a unit, which is given up if it ran alone and its workers died often enough."""
        self._deaths[piece] += 1
        if not self._is_alone or self._deaths[piece] < MAX_DEATHS:
            self._suspects.append(piece)
            return
        cause = (
            f"{self._work.name(piece)}: its worker died {self._deaths[piece]} times, the last time with no other work "
            "running; it needs more memory than a worker has, or a library crashes on it"
        )
        self._settle(self._work.lost(piece, cause))

    def _count_without_progress(self, limit: int) -> None:
        self.barren += 1
        if self.barren >= limit:
            # Calls in progress are abandoned with the workers.
            self._waiting.extendleft(reversed(self._pending.values()))
            self._pending.clear()
            raise _NoProgressError

    def _settle(self, report: Report) -> None:
        self.failures.extend(self._work.failures(report))
        self._work.progress(report)
