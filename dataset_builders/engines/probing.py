"""Estimates the cost of work on the actual workers, from a timed sample."""

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
"""Most work units that are timed."""

BYTES_PER_ATOM: Final = 23.3
"""Size of the Parquet files of the mini edition per atom and frame; less in larger files, whose overhead is smaller."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Timing of one work unit of the sample.

    Attributes:
        n_atoms: Number of atoms of its molecule.
        cost: Its estimated cost, on the scale of all units.
        cpu_seconds: CPU time.
        seconds: Wall-clock time; longer than the CPU time if cores are shared.
    """

    n_atoms: int
    cost: float
    cpu_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Cost rate measured by a probe.

    Attributes:
        cpu_seconds: CPU time per unit of estimated cost, s.
        seconds: Wall-clock time for the same, on one worker while all compute, s.
        error: Relative standard error of the CPU time.
        timings: The timed units; empty if no work is left.
    """

    cpu_seconds: float
    seconds: float
    error: float
    timings: tuple[Timing, ...]

    def wall_time(self, cost: float, workers: int | None) -> str:
        """Wall-clock time for work of a given cost, for the terminal; `-` if the number of workers is unknown."""
        return duration(cost * self.seconds / workers) if workers else "-"

    def text(self, noun: str) -> str:
        """Summary of the timed units, for the terminal.

        Args:
            noun: Plural noun for the units.
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
        return f"{text}\neach worker got {share:.0%} of a core; the wall-clock times assume the same"


def wall_time_title(workers: int | None) -> str:
    """Column title of `Rate.wall_time`."""
    return f"time, {workers} worker{'' if workers == 1 else 's'}" if workers else "time"


NO_RATE: Final = Rate(0.0, 0.0, 0.0, ())
"""The rate if no work is left."""


def number_of_probes(pool: Pool, fewest: int) -> int:
    """Number of units to time: one per worker, so that all are busy at once, within bounds."""
    return min(max(fewest, pool.workers or 1), MAX_PROBES)


def sample_by_cost(pieces: Sequence[Piece], count: int, cost: Callable[[Piece], float]) -> Iterator[Piece]:
    """Draws work units with probabilities proportional to their estimated cost.

    Systematic sampling along the cumulative cost. The mean of time over estimated cost is then an unbiased rate for all
    units, however rough the estimate, which only affects the variance.

    Args:
        pieces: All units, the cheapest first.
        count: Number to draw; an expensive unit may be drawn more than once.
        cost: Estimated cost of a unit, on any scale.
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
        on_result: Called with each result, in the order of the calls.

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
            f"a worker died during the probe: {cause}; the machine may be short of memory, try fewer --workers"
        ) from cause


def rate_of(timings: Sequence[Timing]) -> Rate:
    """The rate from a sample drawn by cost, of at least two units."""
    cpu = [timing.cpu_seconds / timing.cost for timing in timings]
    clock = [timing.seconds / timing.cost for timing in timings]
    return Rate(fmean(cpu), fmean(clock), stdev(cpu) / math.sqrt(len(cpu)) / fmean(cpu), tuple(timings))


def duration(seconds: float) -> str:
    """A duration as text, such as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:,.1f} h"
