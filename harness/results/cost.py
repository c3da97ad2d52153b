"""What an evaluation cost: structures per second, on which processor, and peak memory.

Each process of a run writes what it timed into a file of its own, and the result holds what they give together. Nothing
of it enters an identity, a hash of predictions or the equality of results.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, FiniteFloat, ValidationError, model_validator

from dataset_builders.core.hub.explaining import first_line
from dataset_builders.core.whole_file import write_text_whole
from harness.results.estimate import Record

TIMING_NAME: Final = "timing"
"""Folder of a run with what its processes timed."""

_LOG: Final = logging.getLogger(__name__)

_MAX_COUNT: Final = 2**53
"""Larger counts are no measurement, and beyond the range in which a float is exact."""

_LEAST_SECONDS: Final = 1e-6
"""Shorter times are no measurement; a speed from them could be infinite."""

_Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
_CountOfPart = Annotated[int, Field(ge=0, le=2**40)]
_Speed = Annotated[FiniteFloat, Field(ge=1e-30, le=1e30)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_GIB: Final = 2**30


class JobsRecord(Record):
    """The processes of one machine that computed a part of a run on a CPU, and the speeds by which they were chosen.

    Attributes:
        allowed: Processes that were allowed.
        used: Processes that computed.
        alone_per_second: Structures per second of the first process, before others joined.
        together_per_second: Structures per second of all of them, after the last had joined.
        start_seconds: Time that the slowest of the others took to start and load the model.
        reason: Why the first process computed everything.
        peak_resident_bytes: Sum of the peak memory of all of them; `None` if the system does not tell.
    """

    allowed: Annotated[int, Field(ge=1)]
    used: Annotated[int, Field(ge=1)]
    alone_per_second: Annotated[FiniteFloat, Field(gt=0.0)] | None
    together_per_second: Annotated[FiniteFloat, Field(gt=0.0)] | None
    start_seconds: Annotated[FiniteFloat, Field(ge=0.0)] | None
    reason: str | None
    peak_resident_bytes: _Count | None


class TimedPart(Record):
    """What one process computed of a run, from its start to its end.

    Attributes:
        started: Start of the process' part, UTC.
        rank: Rank of the process.
        processor: Model of the GPU or CPU that computed.
        threads: CPU threads of its arithmetic, if known.
        n_computed: Structures that it computed.
        n_timed: Structures that it computed after its first batch.
        seconds: Time for these.
        peak_device_bytes: Peak memory of all tensors on a GPU; `None` on a CPU, or if it could not be measured.
        peak_resident_bytes: Peak memory of the computing process since its start; `None` if the system does not tell.
        jobs: Other processes of the machine that computed, too; `None` if none was allowed.
    """

    started: AwareDatetime
    rank: _Count
    processor: _Name
    threads: Annotated[int, Field(ge=1)] | None
    n_computed: _CountOfPart
    n_timed: _CountOfPart
    seconds: Annotated[FiniteFloat, Field(ge=0.0, le=_MAX_COUNT)]
    peak_device_bytes: _Count | None
    peak_resident_bytes: _Count | None
    jobs: JobsRecord | None = None

    def save(self, directory: Path) -> None:
        """Writes the part into a run folder, beside those of other processes.

        Raises:
            OSError: If the folder cannot be written to.
        """
        folder = directory / TIMING_NAME
        folder.mkdir(exist_ok=True)
        name = f"{self.started:%Y%m%dT%H%M%S%f}-{self.rank}.json"
        write_text_whole(folder / name, self.model_dump_json(indent=2) + "\n")


class CostRecord(Record):
    """The cost of an evaluation; batch size, precision and device are in other parts of the result.

    Attributes:
        structures_per_second: Of all processes together; `None` if too little was computed in one go.
        reason: Why it is missing.
        n_timed: Structures that were timed.
        n_structures: Structures of the run; the others were in first batches, or in parts that were killed or timed on
            other hardware.
        n_processes: Processes that computed at a time, of those whose speed is known; all if none is.
        processor: Model of the GPU or CPU.
        threads: CPU threads of each process, if known.
        peak_device_bytes: Peak memory of all tensors on a GPU, of the process that needed most; `None` on a CPU.
        peak_resident_bytes: Peak memory of the computing process that needed most.
        jobs: Processes of the first rank's machine, in the part of the run that timed most structures; `None` if one
            process was asked for.
    """

    structures_per_second: _Speed | None
    reason: str | None = None
    n_timed: _Count
    n_structures: _Count
    n_processes: Annotated[int, Field(ge=1)]
    processor: _Name
    threads: Annotated[int, Field(ge=1)] | None
    peak_device_bytes: _Count | None
    peak_resident_bytes: _Count | None
    jobs: JobsRecord | None = None

    @model_validator(mode="after")
    def _explains_what_is_missing(self) -> "CostRecord":
        if (self.structures_per_second is None) != (self.reason is not None):
            raise ValueError("a reason is needed where the speed is missing, and only there")
        return self

    @property
    def speed_text(self) -> str:
        """The speed with its unit, or why there is none."""
        rate = self.structures_per_second
        return f"not timed ({self.reason})" if rate is None else f"{three_digits(rate)} structures/s"

    @property
    def hardware_text(self) -> str:
        """Processor, threads and processes."""
        threads = "" if self.threads is None else f", {_counted(self.threads, 'thread')}"
        processes = "" if self.n_processes == 1 else f", {self.n_processes} processes"
        return f"{self.processor}{threads}{processes}"

    @property
    def memory_text(self) -> str | None:
        """Peak memory, of the GPU if one computed."""
        if self.peak_device_bytes is not None:
            return f"{self.peak_device_bytes / _GIB:.2f} GiB of GPU memory"
        if self.jobs is not None and self.jobs.used > 1 and self.jobs.peak_resident_bytes is not None:
            return f"{self.jobs.peak_resident_bytes / _GIB:.2f} GiB of memory in {self.jobs.used} processes"
        return None if self.peak_resident_bytes is None else f"{self.peak_resident_bytes / _GIB:.2f} GiB of memory"


def read_parts(directory: Path) -> list[TimedPart]:
    """What the processes of a run timed, in the order of their start; a damaged file is logged and left out.

    Args:
        directory: Folder of the run.
    """
    parts = []
    for path in sorted((directory / TIMING_NAME).glob("*.json")):
        try:
            parts.append(TimedPart.model_validate_json(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, ValidationError) as cause:
            _LOG.warning(
                "%s is no record of a timed part (%s): the speed is that of the others", path, first_line(cause)
            )
    return parts


def cost_of(parts: Sequence[TimedPart], n_structures: int) -> CostRecord | None:
    """The cost of a run; `None` if nothing was timed.

    Processes add up, since they compute at the same time; parts of one process follow each other. Of parts on several
    kinds of hardware, those count that timed most.

    Args:
        parts: What the processes of the run timed.
        n_structures: Structures of the run.
    """
    by_hardware: dict[tuple[str, int | None], list[TimedPart]] = {}
    for part in parts:
        by_hardware.setdefault((part.processor, part.threads), []).append(part)
    if not by_hardware:
        return None
    chosen = max(by_hardware.values(), key=lambda of_one: sum(part.n_timed for part in of_one))
    ranks = {part.rank for part in chosen}
    longest = max(chosen, key=lambda part: part.n_timed)
    rates = [_rate([part for part in chosen if part.rank == rank]) for rank in sorted(ranks)]
    total = math.fsum(rate for rate in rates if rate is not None)
    n_timed_ranks = sum(rate is not None for rate in rates) or len(ranks)
    return CostRecord(
        structures_per_second=total or None,
        reason=None if total else "no process computed a second batch",
        n_timed=sum(part.n_timed for part in chosen),
        n_structures=n_structures,
        n_processes=max(n_timed_ranks, 1 if longest.jobs is None else longest.jobs.used),
        processor=chosen[0].processor,
        threads=chosen[0].threads,
        peak_device_bytes=_most(part.peak_device_bytes for part in chosen),
        peak_resident_bytes=_most(part.peak_resident_bytes for part in chosen),
        jobs=longest.jobs,
    )


def joint_cost(costs: Sequence[CostRecord | None]) -> CostRecord | None:
    """The cost of several runs, one after another; `None` unless all were timed on the same hardware.

    Args:
        costs: Their costs.
    """
    known = [cost for cost in costs if cost is not None]
    jobs = {cost.jobs for cost in known}
    hardware = {(cost.processor, cost.threads, cost.n_processes) for cost in known}
    rates = [(cost.n_timed, cost.structures_per_second) for cost in known if cost.structures_per_second is not None]
    if len(known) < len(costs) or len(hardware) != 1 or len(rates) < len(known):
        return None
    n_timed = sum(cost.n_timed for cost in known)
    return known[0].model_copy(
        update={
            "structures_per_second": n_timed / math.fsum(count / rate for count, rate in rates),
            "n_timed": n_timed,
            "n_structures": sum(cost.n_structures for cost in known),
            "peak_device_bytes": _most(cost.peak_device_bytes for cost in known),
            "peak_resident_bytes": _most(cost.peak_resident_bytes for cost in known),
            "jobs": known[0].jobs if len(jobs) == 1 else None,
        }
    )


def three_digits(number: float) -> str:
    """A number with three significant digits, without an exponent."""
    if number <= 0.0:
        return "0"
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(rounded)))}f}"


def _rate(parts: Sequence[TimedPart]) -> float | None:
    n_timed, seconds = sum(part.n_timed for part in parts), math.fsum(part.seconds for part in parts)
    return n_timed / seconds if n_timed and seconds >= _LEAST_SECONDS else None


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
