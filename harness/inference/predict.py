"""Runs a potential over a plan and stores its predictions shard by shard, so that a killed run can resume."""

import contextlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from dataset_builders.core.errors import ModelError, SetupError
from dataset_builders.core.hub.explaining import first_line
from harness.compute.device import out_of_memory_as_itself, release_memory
from harness.compute.hardware import peak_resident_of
from harness.compute.merging import merged
from harness.compute.staging import compute_ahead
from harness.core.batch import Prediction, StructureBatch, check_prediction
from harness.core.potential import Potential
from harness.inference.batching import Plan, Shard, filled_bounds
from harness.inference.jobs import JobFigures, Jobs, Joining
from harness.inference.progress import OnStructures, no_progress
from harness.inference.shards import NO_CAUSE, is_finished, unwritable, write_shard
from harness.inference.windows import Window
from harness.worker.client import HelperEndedError

SHARDS_WAITING: Final = 2
"""Maximum number of shards waiting to be written; beyond it the computation waits."""

MOST_FAILURES_IN_A_ROW: Final = 256
"""Consecutive structures that may fail before the run is aborted; as many as in a shard, so that a restarted run makes
progress."""

_LOG: Final = logging.getLogger(__name__)


def compute_shards(
    potential: Potential,
    plan: Plan,
    windows: Iterator[Window],
    directory: Path,
    identity: Mapping[str, str],
    on_structures: OnStructures = no_progress,
) -> None:
    """Computes the missing shards in this process; see `compute_together`."""
    compute_together(Jobs(potential), plan, windows, directory, identity, on_structures)


def compute_together(
    jobs: Jobs,
    plan: Plan,
    windows: Iterator[Window],
    directory: Path,
    identity: Mapping[str, str],
    on_structures: OnStructures = no_progress,
) -> JobFigures | None:
    """Computes the missing shards.

    Batches are read and prepared in one thread, computed and checked in this one, and written in a third. If several
    processes may compute, each has a thread here, and takes one shard after another.

    Args:
        jobs: The potential, and the processes of this machine that may compute.
        plan: Frames and batches to compute; a share of the plan if several processes compute.
        windows: The geometries of the plan; only advanced if there is something to compute.
        directory: Folder of the shards; created if needed.
        identity: What the predictions depend on (hashes of model, data set and code, precision);
            stored in each shard, and must agree when a shard is read again.
        on_structures: Called with the number of structures computed or found.

    Returns:
        The processes that computed; `None` if nothing was missing, or only one was asked for.

    Raises:
        SetupError: If one structure alone does not fit on the device, or the folder cannot be
            written.
        ModelError: If the potential returns arrays that do not fit the batch, or fails on too many structures.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise unwritable(directory, cause) from cause
    missing = []
    for shard in plan.shards:
        if is_finished(plan, shard, directory, identity):
            on_structures(len(shard), "resumed")
        else:
            missing.append(shard)
    if not missing:
        return None
    model_id = jobs.potential.traits.model_id
    failing = _Failing(model_id, is_all=len(missing) == len(plan.shards))
    shards = _Shards(missing, windows)
    n_atoms = sum(int(plan.n_atoms[shard.start : shard.stop].sum()) for shard in missing)
    joining = Joining(jobs, n_atoms, len(missing))
    with (
        _Writer(plan, directory, identity) as writer,
        contextlib.closing(_computed(plan, shards, joining)) as parts,
    ):
        for number, piece, prediction in parts:
            checked = check_prediction(prediction, piece.batch, model_id)
            writer.add(piece, checked)
            joining.count(piece.batch, number)
            on_structures(piece.stop - piece.start, "computed")
            failing.count(checked, piece.batch.n_structures)
    failing.require_one_success()
    return joining.figures()


_Part = tuple[int, "_Job", Prediction]
"""Number of a process, the places that it computed, and their prediction."""


def _computed(plan: Plan, shards: "_Shards", joining: Joining) -> Generator[_Part]:
    """The predictions of all shards, from this process and from those that join it."""
    own = _predictions(joining.jobs.potential, plan, shards.jobs())
    if joining.most == 1 or joining.jobs.start is None:
        for piece, prediction in own:
            shards.note(piece)
            yield 0, piece, prediction
        return
    others = (_of_another(number, plan, shards, joining) for number in range(1, joining.most))
    streams = [_of_the_first(own, joining), *others]
    with contextlib.closing(merged(streams)) as arriving:
        for parts in arriving:
            shards.note(parts[-1][1])
            yield from parts
    # The shards of a process that ended early.
    for piece, prediction in _predictions(joining.jobs.potential, plan, shards.unfinished()):
        yield 0, piece, prediction


def _of_the_first(own: "Iterator[tuple[_Job, Prediction]]", joining: Joining) -> Iterator[list[_Part]]:
    try:
        for piece, prediction in own:
            yield [(0, piece, prediction)]
    finally:
        joining.end()


def _of_another(number: int, plan: Plan, shards: "_Shards", joining: Joining) -> Iterator[list[_Part]]:
    """The predictions of another process, each shard as a whole; what it cannot finish is left to the first."""
    start = joining.jobs.start
    if start is None or not joining.wait(number) or shards.are_over:
        return
    before = time.perf_counter()
    try:
        with start() as potential:
            joining.joined(number, time.perf_counter() - before)
            parts: list[_Part] = []
            for piece, prediction in _predictions(potential, plan, shards.jobs()):
                parts.append((number, piece, prediction))
                if piece.stop == piece.shard.stop:
                    yield parts
                    parts = []
            joining.left(number, peak_resident_of(potential))
    except HelperEndedError as cause:
        joining.left(number, None)
        _LOG.warning(
            "%s: process %d of %d ended; the others go on: %s",
            joining.jobs.potential.traits.model_id,
            number + 1,
            joining.most,
            cause,
        )


def _predictions(
    potential: Potential, plan: Plan, jobs: "Iterator[tuple[_Job, StructureBatch]]"
) -> "Iterator[tuple[_Job, Prediction]]":
    """The predictions of one process; a batch that does not fit on its device comes in parts."""
    room = _Room()
    for job, outcome in compute_ahead(potential, jobs, _out_of_memory_errors, room.pieces):
        if isinstance(outcome, Exception):
            yield from _alone(potential, plan, job, outcome, room)
        else:
            yield job, outcome


@dataclass(slots=True)
class _Failing:
    """Counts failures, so that a run with a model that always fails does not continue for days.

    Attributes:
        model_id: The model.
        is_all: Whether this run computes all structures of the plan, and none were found.
        n_computed: Number of structures computed successfully.
        in_a_row: Failures since the last success.
        cause: Cause of the last failure.
    """

    model_id: str
    is_all: bool
    n_computed: int = 0
    in_a_row: int = 0
    cause: str = ""

    def count(self, prediction: Prediction, n_structures: int) -> None:
        """Counts a batch, whose prediction is checked.

        Raises:
            ModelError: If too many consecutive structures failed.
        """
        failures = prediction.failures
        for number in range(n_structures):
            self.in_a_row = self.in_a_row + 1 if number in failures else 0
        self.n_computed += n_structures - len(failures)
        if failures:
            self.cause = failures[max(failures)] or NO_CAUSE
        if self.in_a_row >= MOST_FAILURES_IN_A_ROW:
            raise ModelError(
                f"{self.model_id} failed on {self.in_a_row} consecutive structures, the last with: {self.cause}. "
                "Earlier results are kept. Correct the model and evaluate it again; the same command continues after "
                "these structures"
            )

    def require_one_success(self) -> None:
        """Checks that not everything failed.

        Raises:
            ModelError: If it did.
        """
        if self.is_all and self.in_a_row and not self.n_computed:
            raise ModelError(
                f"{self.model_id} failed on all {self.in_a_row} structures, the last with: {self.cause}. "
                "Correct the model and evaluate it again"
            )


@dataclass(frozen=True, slots=True)
class _Job:
    """A batch of a shard: its places in the plan, and its structures."""

    shard: Shard
    start: int
    stop: int
    batch: StructureBatch

    def piece(self, start: int, stop: int) -> "_Job":
        """The part of the job at some places of the plan."""
        return _Job(self.shard, start, stop, self.batch.slice(start - self.start, stop - self.start))


class _Room:
    """Number of atoms that were found to fit on the device at once.

    The plan does not change: its batches determine the names of the shards and the identity of the run, and a run that
    resumes elsewhere, or after other programs have freed memory, must find the existing shards. A batch that does not
    fit is split only on its way to the device, and its predictions are written as planned.
    """

    def __init__(self) -> None:
        self._most_atoms: int | None = None

    def refused(self, batch: StructureBatch) -> None:
        """Notes that a batch did not fit; later ones have at most half of its atoms, or one structure."""
        half = max(1, len(batch.atomic_numbers) // 2)
        self._most_atoms = half if self._most_atoms is None else min(half, self._most_atoms)

    def pieces(self, job: _Job, batch: StructureBatch) -> Iterator[tuple[_Job, StructureBatch]]:
        """Splits the batch into parts that may fit; a limit found meanwhile applies to the remaining parts."""
        start = job.start
        while start < job.stop:
            n_atoms = batch.n_atoms[start - job.start :]
            most = self._most_atoms
            length = len(n_atoms) if most is None else filled_bounds(n_atoms, most)[1]
            piece = job if length == job.stop - job.start else job.piece(start, start + length)
            yield piece, piece.batch
            start = piece.stop


class _Shards:
    """The shards to compute, in the order of the plan; several threads take from them.

    Args:
        shards: The shards.
        windows: The geometries of the plan.
    """

    def __init__(self, shards: Sequence[Shard], windows: Iterator[Window]) -> None:
        self._waiting, self._windows = deque(shards), windows
        self._window: Window | None = None
        self._taken: dict[int, list[_Job]] = {}
        self._lock = threading.Lock()

    @property
    def are_over(self) -> bool:
        """Whether none is left to take."""
        return not self._waiting

    def jobs(self) -> Iterator[tuple[_Job, StructureBatch]]:
        """The batches of one shard after another; each shard goes to one caller."""
        while (jobs := self._next()) is not None:
            yield from ((job, job.batch) for job in jobs)

    def note(self, piece: _Job) -> None:
        """Notes that a piece was computed; with its last piece a shard is finished, and its batches are freed."""
        if piece.stop == piece.shard.stop:
            with self._lock:
                del self._taken[piece.shard.start]

    def unfinished(self) -> Iterator[tuple[_Job, StructureBatch]]:
        """The batches of shards that were taken and, by the notes, not finished."""
        with self._lock:
            left = [self._taken[start] for start in sorted(self._taken)]
        yield from ((job, job.batch) for jobs in left for job in jobs)

    def _next(self) -> list[_Job] | None:
        with self._lock:
            if not self._waiting:
                return None
            shard = self._waiting.popleft()
            while self._window is None or self._window.stop < shard.stop:
                self._window = next(self._windows)
            window = self._window
            jobs = [_Job(shard, start, stop, window.batch(start, stop)) for start, stop in pairwise(shard.bounds)]
            self._taken[shard.start] = jobs
            return jobs


class _Writer:
    """Writes checked predictions, shard by shard, in a separate thread.

    Shards that are complete when the `with` block ends are written, even after an error.
    """

    def __init__(self, plan: Plan, directory: Path, identity: Mapping[str, str]) -> None:
        self._plan, self._directory, self._identity = plan, directory, identity
        self._parts: dict[int, list[tuple[_Job, Prediction]]] = {}
        self._written: deque[Future[None]] = deque()
        self._executor = ThreadPoolExecutor(1, "writer")

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True)
        if error is None:
            for future in self._written:
                future.result()

    def add(self, job: _Job, prediction: Prediction) -> None:
        """Accepts the prediction of a batch; those of one shard come in their order.

        Raises:
            SetupError: If an earlier shard could not be written.
        """
        parts = self._parts.setdefault(job.shard.start, [])
        parts.append((job, prediction))
        if job.stop == job.shard.stop:
            self._written.append(self._executor.submit(self._write, self._parts.pop(job.shard.start)))
        # Raises errors at once, and limits the number of shards that wait to be written.
        while self._written and (self._written[0].done() or len(self._written) > SHARDS_WAITING):
            self._written.popleft().result()

    def _write(self, parts: Sequence[tuple[_Job, Prediction]]) -> None:
        joined = _joined([prediction for _, prediction in parts])
        write_shard(self._plan, parts[0][0].shard, joined, self._directory, self._identity)


def _alone(
    potential: Potential, plan: Plan, job: _Job, cause: Exception, room: _Room
) -> Iterator[tuple[_Job, Prediction]]:
    """Computes a batch that did not fit on the device beside others, in parts and with nothing else running.

    Raises:
        SetupError: If one structure alone does not fit.
    """
    _LOG.warning(
        "a batch of %d structures (%d atoms) does not fit in the memory of %s; it is halved, as are later ones of that "
        "size. A smaller --batch-atoms avoids the failed attempts",
        job.batch.n_structures,
        len(job.batch.atomic_numbers),
        potential.traits.device,
    )
    room.refused(job.batch)
    waiting = deque(piece for piece, _ in room.pieces(job, job.batch))
    while waiting:
        piece = waiting.popleft()
        outcome = _tried(potential, piece.batch)
        if isinstance(outcome, Prediction):
            yield piece, outcome
            continue
        if piece.batch.n_structures == 1:
            molecule = plan.names(piece.start, piece.stop).molecule_id[0]
            raise SetupError(
                f"{molecule} alone ({len(piece.batch.atomic_numbers)} atoms) does not fit in the memory of "
                f"{potential.traits.device} ({first_line(outcome)}); free some memory, use --dtype float32 or another "
                "--device"
            ) from cause
        room.refused(piece.batch)
        waiting.extendleft(reversed([part for part, _ in room.pieces(piece, piece.batch)]))


def _tried(potential: Potential, batch: StructureBatch) -> Prediction | Exception:
    try:
        with out_of_memory_as_itself():
            return potential.compute(batch)
    except _out_of_memory_errors() as cause:
        # The frames of its traceback would keep the tensors of the failed attempt alive.
        cause.__cause__ = cause.__context__ = None
        error = cause.with_traceback(None)
    release_memory()
    return error


def _out_of_memory_errors() -> tuple[type[Exception], ...]:
    # Only a potential that has imported torch can raise its error, and importing torch takes seconds.
    torch = sys.modules.get("torch")
    return (torch.OutOfMemoryError,) if torch else ()


def _joined(parts: list[Prediction]) -> Prediction:
    starts = np.cumsum([0, *(len(part.energy) for part in parts)])
    failures = {
        int(start) + number: cause
        for start, part in zip(starts, parts, strict=False)
        for number, cause in part.failures.items()
    }
    return Prediction(
        np.concatenate([part.energy for part in parts]), np.concatenate([part.forces for part in parts]), failures
    )
