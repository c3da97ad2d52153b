"""What work costs on the workers that would do it, from the time of a sample."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Final, TypeVar

from dataset_builders.core.errors import SetupError
from dataset_builders.engines.workers import Pool

Piece = TypeVar("Piece")

MAX_PROBES: Final = 256
"""Most pieces that are timed."""

BYTES_PER_ATOM: Final = 23.3
"""Size of the Parquet files of the mini edition for each atom of each of their frames; the fixed part of a file counts
less in a larger one."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a piece of the sample took.

    Attributes:
        n_atoms: Atoms of its molecule.
        cost: Its estimated cost, on the scale of the whole.
        cpu_seconds: Processor time.
        seconds: Time by the clock; more than the processor time where others compute too.
    """

    n_atoms: int
    cost: float
    cpu_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Rate:
    """What a probe found.

    Attributes:
        cpu_seconds: Processor seconds for each unit of estimated cost.
        seconds: Seconds by the clock for the same, on one worker while all compute.
        error: Standard error of the processor time, relative.
        timings: What was timed; empty if nothing is to be done.
    """

    cpu_seconds: float
    seconds: float
    error: float
    timings: tuple[Timing, ...]

    def wall_time(self, cost: float, workers: int | None) -> str:
        """Time by the clock that work of some cost takes, for the terminal; `-` where the workers are not counted."""
        return duration(cost * self.seconds / workers) if workers else "-"

    def text(self, noun: str) -> str:
        """What was timed, for the terminal.

        Args:
            noun: What was timed, in the plural.
        """
        atoms = [timing.n_atoms for timing in self.timings]
        times = [timing.cpu_seconds for timing in self.timings]
        text = (
            f"from {len(atoms)} {noun} of molecules of {min(atoms)} to {max(atoms)} atoms, which took "
            f"{min(times):.1f} to {max(times):.1f} s each; standard error {self.error:.0%}"
        )
        share = self.cpu_seconds / self.seconds
        if share >= 0.9:
            return text
        return f"{text}\neach worker had {share:.0%} of a core meanwhile: the time by the clock counts on the same"


def wall_time_title(workers: int | None) -> str:
    """Title of the column of `Rate.wall_time`."""
    return f"time, {workers} worker{'' if workers == 1 else 's'}" if workers else "time"


NO_RATE: Final = Rate(0.0, 0.0, 0.0, ())
"""The rate of nothing."""


def number_of_probes(pool: Pool, fewest: int) -> int:
    """How many pieces are timed: one for each worker, so that all are busy at once, within bounds."""
    return min(max(fewest, pool.workers or 1), MAX_PROBES)


def sample_by_cost(pieces: Sequence[Piece], count: int, cost: Callable[[Piece], float]) -> Iterator[Piece]:
    """Draws pieces with chances in proportion to their estimated cost.

    They lie at equal distances along the list. The mean of time over estimated cost then tells the whole without bias,
    however rough the estimate: it only decides how many pieces it takes.

    Args:
        pieces: All pieces, the cheapest first.
        count: How many to draw; a dear piece may be drawn more than once.
        cost: Estimated cost of a piece, on any scale.
    """
    total = sum(cost(piece) for piece in pieces)
    passed, drawn = 0.0, 0
    for piece in pieces:
        passed += cost(piece)
        while (2 * drawn + 1) * total < 2 * count * passed:
            drawn += 1
            yield piece


def results_of(
    pool: Pool, calls: Sequence[tuple[Any, ...]], on_result: Callable[[Any], None] = lambda _: None
) -> list[Any]:
    """Makes calls on all workers at once.

    Args:
        pool: The workers.
        calls: Function and arguments of each call.
        on_result: Told of each result, in the order of the calls.

    Raises:
        SetupError: If a worker dies.
    """
    died: tuple[type[Exception], ...] = (BrokenExecutor, *pool.lost)
    results = []
    try:
        futures = [pool.executor.submit(*call) for call in calls]
        for future in futures:
            results.append(future.result())
            on_result(results[-1])
        return results
    except died as cause:
        raise SetupError(
            f"a worker died over the probe: {cause}; the machine may be short of memory, try fewer --workers"
        ) from cause


def rate_of(timings: Sequence[Timing]) -> Rate:
    """The rate of a sample that was drawn by cost; of two or more pieces."""
    cpu = [timing.cpu_seconds / timing.cost for timing in timings]
    clock = [timing.seconds / timing.cost for timing in timings]
    return Rate(fmean(cpu), fmean(clock), stdev(cpu) / math.sqrt(len(cpu)) / fmean(cpu), tuple(timings))


def duration(seconds: float) -> str:
    """A time for people, such as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:,.1f} h"
