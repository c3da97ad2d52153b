"""Other processes of this machine that join an evaluation on a CPU once they pay for their start.

The first process begins by itself, so that a small evaluation costs nothing more. From its measured speed follows the
time that is left; other processes start if that is more than `PAYS_OFF` times what starting one takes.
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from harness.compute.hardware import available_memory, peak_resident_of
from harness.core.batch import StructureBatch
from harness.core.potential import Potential

PAYS_OFF: Final = 2.0
"""Time that is left, in starts of a process, beyond which others join: two processes then end a quarter earlier."""

LEAST_START_SECONDS: Final = 5.0
"""Shortest time that starting a process is taken to need: a potential whose library is imported already loads faster
here than it would there."""

LEAST_TIMED_SECONDS: Final = 0.5
"""Shortest time from which the speed is taken."""

SHARE_OF_MEMORY: Final = 0.8
"""Fraction of the available memory that other processes may take."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """A potential, and the processes of this machine that may compute with it.

    Attributes:
        potential: The potential of the first process.
        most: Their number, the first one included.
        start: Starts another one, with the same potential, for a `with` block; called in any thread.
        load_seconds: Time that the first one took to load the potential.
        reason: Why there is only one, if the potential or the user allows no more.
    """

    potential: Potential
    most: int = 1
    start: Callable[[], AbstractContextManager[Potential]] | None = None
    load_seconds: float = 0.0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class JobFigures:
    """The processes that computed, and the figures that they were chosen by, as `results/cost.py` records them.

    Attributes:
        allowed: Processes that were allowed.
        used: Processes that computed.
        alone_per_second: Structures per second of the first one alone.
        together_per_second: Structures per second of all of them.
        start_seconds: Time that the slowest of the others took to start.
        reason: Why the first one computed everything.
        peak_resident_bytes: Sum of their peak memory.
    """

    allowed: int
    used: int
    alone_per_second: float | None
    together_per_second: float | None
    start_seconds: float | None
    reason: str | None
    peak_resident_bytes: int | None


@dataclass(slots=True)
class _Counted:
    """Structures counted over some time."""

    since: float
    until: float
    n_structures: int = 0

    def add(self, n_structures: int, now: float) -> None:
        self.n_structures += n_structures
        self.until = now

    @property
    def seconds(self) -> float:
        return self.until - self.since

    @property
    def rate(self) -> float | None:
        return self.n_structures / self.seconds if self.n_structures and self.seconds > 0.0 else None


@dataclass(slots=True)
class Joining:
    """Decides from the measured speed whether other processes join, and keeps what it was decided from.

    Attributes:
        jobs: The processes allowed.
        n_left: Atoms of the structures that are not computed yet.
        n_shards: Shards to compute; no more processes are of use.
    """

    jobs: Jobs
    n_left: int
    n_shards: int
    _started: float = field(default_factory=time.perf_counter)
    _first_batch: float | None = None
    _alone: _Counted | None = None
    _atoms_alone: int = 0
    _together: _Counted | None = None
    _reason: str | None = None
    _n_joining: int = 0
    _is_decided: threading.Event = field(default_factory=threading.Event)
    _joined: dict[int, float] = field(default_factory=dict)
    _at_work: set[int] = field(default_factory=set)
    _peaks: list[int | None] = field(default_factory=list)

    @property
    def most(self) -> int:
        """Processes that could be of use."""
        return max(1, min(self.jobs.most, self.n_shards))

    def count(self, batch: StructureBatch, number: int) -> None:
        """Counts structures that a process has computed, and decides when there is enough to decide from.

        Args:
            batch: The structures.
            number: The process, 0 for the first one.
        """
        now, n_structures, n_atoms = time.perf_counter(), batch.n_structures, len(batch.atomic_numbers)
        self.n_left -= n_atoms
        if number:
            self._at_work.add(number)
        if self._first_batch is None or self._alone is None:
            # The first batch also compiles and allocates; it counts as part of a start.
            self._first_batch = now - self._started
            self._alone = _Counted(now, now)
        elif not self._n_joining:
            self._alone.add(n_structures, now)
            self._atoms_alone += n_atoms
        elif self._together is not None:
            self._together.add(n_structures, now)
        elif len(self._at_work) == self._n_joining:
            self._together = _Counted(now, now)
        if not self._is_decided.is_set():
            self._decide()

    def wait(self, number: int) -> bool:
        """Waits until it is decided whether another process joins; called in the thread that would start it."""
        self._is_decided.wait()
        return number <= self._n_joining

    def end(self) -> None:
        """Tells those that still wait that nothing is left to compute."""
        self._is_decided.set()

    def joined(self, number: int, seconds: float) -> None:
        """Notes that a process has loaded the potential, and how long that took."""
        self._joined[number] = seconds

    def left(self, number: int, peak_resident: int | None) -> None:
        """Notes that a process has ended, and its peak memory."""
        self._peaks.append(peak_resident)
        if number not in self._at_work:
            self._n_joining = max(0, self._n_joining - 1)

    def figures(self) -> JobFigures | None:
        """What was decided, and the figures that it was decided from; `None` if one process was asked for."""
        if self.jobs.most == 1 and self.jobs.reason is None:
            return None
        together = None if self._together is None else self._together.rate
        own = peak_resident_of(self.jobs.potential)
        known = [peak for peak in (own, *self._peaks) if peak is not None]
        return JobFigures(
            allowed=self.jobs.most,
            used=1 + len(self._at_work),
            alone_per_second=None if self._alone is None else self._alone.rate,
            together_per_second=together,
            start_seconds=max(self._joined.values(), default=None),
            reason=None if self._at_work else self.jobs.reason or self._reason or "it ended before others were needed",
            peak_resident_bytes=sum(known) if len(known) == 1 + len(self._peaks) else None,
        )

    def _decide(self) -> None:
        timed = 0.0 if self._alone is None else self._alone.seconds
        if self.most == 1 or timed < LEAST_TIMED_SECONDS or not self._atoms_alone or self._first_batch is None:
            return
        start = max(LEAST_START_SECONDS, self.jobs.load_seconds + self._first_batch)
        # By atoms, since a window of the plan begins with its largest structures.
        seconds = timed * self.n_left / self._atoms_alone
        if seconds <= PAYS_OFF * start:
            self._reason = f"{seconds:.1f} s were left, and another process takes {start:.1f} s"
            return
        n_fitting = self._n_fitting()
        self._n_joining = min(self.most - 1, n_fitting)
        if not self._n_joining:
            self._reason = "the available memory holds no other process"
        self._is_decided.set()

    def _n_fitting(self) -> int:
        """How many more processes the memory holds; no limit where the system does not tell."""
        available, peak = available_memory(), peak_resident_of(self.jobs.potential)
        return self.most if available is None or not peak else int(SHARE_OF_MEMORY * available / peak)
