"""Pieces of work on their way through the workers of an engine, and what becomes of those whose workers die."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from dataset_builders.engines import Pool
from dataset_builders.executors import OpenPool

MAX_DEATHS: Final = 3
"""How many workers may die over a piece, and how many engines may break without a finished one, before that is told."""

Piece = TypeVar("Piece", bound=Hashable)
Report = TypeVar("Report")


@dataclass(frozen=True, slots=True)
class Work(Generic[Piece, Report]):
    """What is done with each piece.

    Attributes:
        noun: What a piece is called in messages, in the plural.
        do: Does a piece in a worker and returns its report, failures included; engines send it there by pickling.
            What it raises ends the whole.
        lost: Report of a piece that is given up, with the cause in words.
        failures: Failures in a report, in words.
        progress: Called with each report.
    """

    noun: str
    do: Callable[[Piece], Report]
    lost: Callable[[Piece, str], Report]
    failures: Callable[[Report], Sequence[str]]
    progress: Callable[[Report], None]


def do_all(pieces: Sequence[Piece], work: Work[Piece, Report], open_pool: OpenPool) -> list[str]:
    """Does all pieces on an engine, in order; those that are lost with a dying worker are done again.

    Returns:
        What failed, in words; the other pieces are done.

    Raises:
        SetupError: If the engine cannot be reached, or its workers cannot do the work.
    """
    campaign = _Campaign(pieces, work)
    breaks = 0
    while campaign.waiting and breaks < MAX_DEATHS:
        before = len(campaign.waiting)
        campaign.run(open_pool)
        breaks = breaks + 1 if len(campaign.waiting) == before else 0
    if not campaign.waiting:
        return campaign.failures
    noun = work.noun
    return [
        *campaign.failures,
        f"the workers died {MAX_DEATHS} times before one of the {noun} was done, {len(campaign.waiting)} {noun} are "
        f"left, first {campaign.waiting[0]}: the machine may be short of memory; try fewer --workers",
    ]


class _Campaign(Generic[Piece, Report]):
    """Pieces on their way, and what went wrong with them.

    Args:
        pieces: The pieces to do.
        work: What is done with them.

    Attributes:
        waiting: Pieces that are not done and not given up, in the order of their turn.
        failures: Why pieces failed.
    """

    def __init__(self, pieces: Sequence[Piece], work: Work[Piece, Report]) -> None:
        self.waiting = list(pieces)
        self.failures: list[str] = []
        self._work = work
        self._deaths: Counter[Piece] = Counter()
        self._settled: set[Piece] = set()

    def run(self, open_pool: OpenPool) -> None:
        """Does the waiting pieces; comes back when all are settled, or when the workers broke as a whole."""
        pending: dict[Future[Report], Piece] = {}
        in_hand = 1
        try:
            with open_pool() as pool:
                in_hand = pool.workers or 1
                self._run_on(pool, pending)
        except (BrokenExecutor, CancelledError):
            for future, piece in pending.items():
                if future.done() and not future.cancelled() and not future.exception():
                    self._settle(piece, future.result())
            # Pieces are taken in turn, so one of the first that are left was in the hands of the worker that died.
            for piece in self._unsettled()[:in_hand]:
                self._blame(piece)
        # Suspects come last: what breaks the workers again shall not keep the others from being done.
        self.waiting = sorted(self._unsettled(), key=lambda piece: self._deaths[piece])

    def _run_on(self, pool: Pool, pending: dict[Future[Report], Piece]) -> None:
        done: SimpleQueue[Future[Report]] = SimpleQueue()

        def submit(piece: Piece) -> None:
            future = pool.executor.submit(self._work.do, piece)
            pending[future] = piece
            future.add_done_callback(done.put)

        for piece in self.waiting:
            submit(piece)
        while pending:
            future = done.get()
            piece = pending[future]
            try:
                self._settle(piece, future.result())
            except pool.lost:
                if self._blame(piece):
                    submit(piece)
            del pending[future]

    def _settle(self, piece: Piece, report: Report) -> None:
        self._settled.add(piece)
        self.failures.extend(self._work.failures(report))
        self._work.progress(report)

    def _blame(self, piece: Piece) -> bool:
        """Counts a death of a worker over a piece; whether it may be tried again."""
        self._deaths[piece] += 1
        if self._deaths[piece] < MAX_DEATHS:
            return True
        cause = f"{piece}: its worker died {MAX_DEATHS} times; it may be short of memory, try fewer --workers"
        self._settle(piece, self._work.lost(piece, cause))
        return False

    def _unsettled(self) -> list[Piece]:
        return [piece for piece in self.waiting if piece not in self._settled]
