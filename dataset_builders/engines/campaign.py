"""Pieces of work on their way through the workers of an engine, and what becomes of those whose workers die.

A piece whose worker dies is a suspect, and so is each piece that was in hand when an engine broke. Suspects wait until
the others are done and then have the workers to themselves, one at a time: only a piece that dies alone is given up.
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
"""How many workers may die over a piece, the last ones with nothing beside it, before it is given up; and how many
engines may break in a row without a finished piece before that is told."""

_FEWEST_WORKERS: Final = 8
"""Where single workers die and the engine goes on, `MAX_DEATHS` for each of at least this many workers, in a row and
without a finished piece, say that no worker can do the work."""

Piece = TypeVar("Piece", bound=Hashable)
Report = TypeVar("Report")


def _itself(piece: Any) -> Any:
    return piece


@dataclass(frozen=True, slots=True)
class Work(Generic[Piece, Report]):
    """What is done with each piece.

    Attributes:
        noun: What a piece is called in messages, in the plural.
        do: Does a piece in a worker and returns its report, failures included; engines send it there by pickling. An
            `MlipOodError` that it raises ends the whole; whatever else it raises is the failure of that piece.
        lost: Report of a piece that is given up, with the cause in words.
        failures: Failures in a report, in words.
        progress: Called with each report.
        payload: What is sent to the worker for a piece, made when its turn comes; the piece itself by default.
        name: What a piece is called in messages.
    """

    noun: str
    do: Callable[[Any], Report]
    lost: Callable[[Piece, str], Report]
    failures: Callable[[Report], Sequence[str]]
    progress: Callable[[Report], None]
    payload: Callable[[Piece], Any] = _itself
    name: Callable[[Piece], str] = str


def do_all(pieces: Sequence[Piece], work: Work[Piece, Report], open_pool: OpenPool) -> list[str]:
    """Does all pieces on an engine, in order; those that are lost with a dying worker are done again.

    Returns:
        What failed, in words; the other pieces are done.

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
        f"the workers died {campaign.barren} times before one of the {noun} was done, {len(left)} {noun} are "
        f"left, first {work.name(left[0])}: the machine may be short of memory; try fewer --workers",
    ]


class _HopelessError(Exception):
    """No worker seems able to do the work."""


class _Campaign(Generic[Piece, Report]):
    """Pieces on their way, and what went wrong with them.

    Args:
        pieces: The pieces to do.
        work: What is done with them.

    Attributes:
        failures: Why pieces failed.
        barren: Deaths in a row, of workers or of a whole engine, since a piece was done among others.
        is_hopeless: Whether these are too many to go on.
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
        """Pieces that are not done and not given up."""
        return [*self._waiting, *self._suspects]

    def run(self, open_pool: OpenPool) -> None:
        """Does the pieces that are left; comes back when all are settled, or when the workers broke as a whole."""
        # Until the engine says how many calls run at a time, any of those under way may have been the one.
        in_hand: int | None = None
        self._is_alone = False
        try:
            with open_pool() as pool:
                in_hand = pool.workers
                self._run_together(pool)
                self._run_alone(pool)
        except (BrokenExecutor, CancelledError):
            self._after_break(in_hand)
        except _HopelessError:
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
                self._count_barren(MAX_DEATHS * max(pool.workers or 0, _FEWEST_WORKERS))

    def _run_alone(self, pool: Pool) -> None:
        """Does suspects one at a time, those that died least first: so innocent ones do not wait for the others."""
        self._is_alone = True
        while self._suspects:
            future = self._submit(self._suspects.popleft(), pool)
            try:
                self._take(future)
            except pool.lost:
                self._suspect(self._pending.pop(future))

    def _submit(self, piece: Piece, pool: Pool) -> "Future[Report | Raised]":
        # Noted before it is sent, so that no piece is forgotten where sending it fails.
        self._waiting.appendleft(piece)
        call = partial(attempt, self._work.do)
        future = pool.executor.submit(call, self._work.payload(piece))
        self._waiting.popleft()
        self._pending[future] = piece
        return future

    def _take(self, future: "Future[Report | Raised]") -> None:
        """Settles the piece of a future, or makes it a suspect where it ran out of memory.

        Raises:
            Exception: What the engine raises for a call that was lost.
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
        """Takes what was done before the engine broke, and suspects the pieces that its workers had in hand."""
        under_way = dict(self._pending)
        for future in under_way:
            if future.done() and not future.cancelled() and not future.exception():
                self._take(future)
        unsettled = list(self._pending.values())
        self._pending.clear()
        # Pieces are taken in turn, so one of the first that are left was in the hands of the worker that died.
        n_suspects = in_hand or len(unsettled)
        for piece in unsettled[:n_suspects]:
            self._suspect(piece)
        self._waiting.extendleft(reversed(unsettled[n_suspects:]))
        if not self._is_alone or not unsettled:
            self.barren += 1
            self.is_hopeless = self.barren >= MAX_DEATHS

    def _suspect(self, piece: Piece) -> None:
        """Counts a death over a piece, which is given up if it was alone and died often enough."""
        self._deaths[piece] += 1
        if not self._is_alone or self._deaths[piece] < MAX_DEATHS:
            self._suspects.append(piece)
            return
        cause = (
            f"{self._work.name(piece)}: its worker died {self._deaths[piece]} times, at last while nothing else was at "
            "work; it needs more memory than a worker has, or a library crashes on it"
        )
        self._settle(self._work.lost(piece, cause))

    def _count_barren(self, limit: int) -> None:
        self.barren += 1
        if self.barren >= limit:
            # What is under way is given up with the workers.
            self._waiting.extendleft(reversed(self._pending.values()))
            self._pending.clear()
            raise _HopelessError

    def _settle(self, report: Report) -> None:
        self.failures.extend(self._work.failures(report))
        self._work.progress(report)
