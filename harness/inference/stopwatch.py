"""Times a running evaluation, and measures the memory that it takes.

Time runs from the end of the first batch to the end of the last: reading, neighbours, the network, transfers, checks
and writing, as they overlap in a run. Loading, compiling, the first batch and the metrics are left out.
"""

import logging
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from harness.compute.hardware import peak_resident_of
from harness.compute.meter import meter_of
from harness.core.potential import Potential
from harness.inference.jobs import JobFigures
from harness.inference.progress import OnStructures, Source
from harness.results.cost import JobsRecord, TimedPart

_LOG: Final = logging.getLogger(__name__)


class Stopwatch:
    """Times what one process computes of a run, and writes it down when its `with` block ends.

    Args:
        potential: The potential; nothing may be running on it when the block begins.
        directory: Folder of the run.
        rank: Rank of this process.
    """

    def __init__(self, potential: Potential, directory: Path, rank: int) -> None:
        self._potential, self._directory, self._rank = potential, directory, rank
        self._started = datetime.now(UTC)
        self._n_computed = self._n_timed = 0
        self._first: float | None = None
        self._last = 0.0
        self._meter = meter_of(potential)
        self.jobs: JobFigures | None = None
        """The processes that computed, if there could be several; set at the end."""

    def __enter__(self) -> Self:
        if self._meter is not None:
            self._meter.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._n_computed:
            return
        # After an error batches may still run, among which nothing can be measured.
        footprint = self._meter.end() if self._meter is not None and error is None else None
        try:
            self._part(None if footprint is None else footprint.peak).save(self._directory)
        except OSError as cause:
            _LOG.warning("the speed of this run is not recorded: cannot write to %s (%s)", self._directory, cause)

    def watched(self, on_structures: OnStructures) -> OnStructures:
        """Wraps a progress callback so that the stopwatch sees each batch, too."""

        def count(structures: int, source: Source) -> None:
            if source == "computed":
                self._count(structures)
            on_structures(structures, source)

        return count

    def _part(self, peak_device_bytes: int | None) -> TimedPart:
        traits = self._potential.traits
        return TimedPart(
            started=self._started,
            rank=self._rank,
            processor=traits.processor or traits.device,
            threads=traits.threads,
            n_computed=self._n_computed,
            n_timed=self._n_timed,
            seconds=0.0 if self._first is None else self._last - self._first,
            peak_device_bytes=peak_device_bytes,
            peak_resident_bytes=peak_resident_of(self._potential),
            jobs=None if self.jobs is None else JobsRecord(**asdict(self.jobs)),
        )

    def _count(self, structures: int) -> None:
        now = time.perf_counter()
        self._n_computed += structures
        if self._first is None:
            self._first = now
        else:
            self._n_timed += structures
        self._last = now
