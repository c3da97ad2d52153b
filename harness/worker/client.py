"""The harness's end of a worker: a potential that computes in a separate process."""

import contextlib
import dataclasses
import itertools
import logging
import re
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from dataset_builders.core import errors
from dataset_builders.core.errors import MlipOodError, ModelError
from dataset_builders.core.hub.explaining import first_line
from harness.compute.hardware import peak_resident_of_process
from harness.compute.meter import Footprint
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, PotentialTraits
from harness.worker.confinement import Confinement
from harness.worker.last_output import LastOutput
from harness.worker.process import cut_off, exit_text, start, stop
from harness.worker.protocol import (
    LONGEST_TRAITS,
    Message,
    ProtocolError,
    encoded,
    longest_answer,
    receive,
)

LOAD_SECONDS: Final = 1800.0
BATCH_SECONDS: Final = 1800.0
"""Longest wait for an answer, after which a worker counts as hung; the first batch includes compilation."""
MESSAGE_SECONDS: Final = 300.0
"""Longest time from the first byte of an answer to its last; a busy machine needs seconds for the largest."""
MAX_LOST_BATCHES: Final = 3
"""Consecutive batches that may kill their worker twice before the run is aborted."""

_IS_PLACE: Final = re.compile("[0-9]{1,9}").fullmatch
_LOG: Final = logging.getLogger(__name__)


class WorkerDied(Exception):  # noqa: N818 (not a user error: the caller decides how to handle it)
    """A worker ended, or did not answer in time; the message contains its last output."""


class HelperEndedError(MlipOodError):
    """A worker that helps another process to compute cannot go on; its work is left to that process."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker loads, and how it runs.

    Attributes:
        module: Adapter, a module with `load(source, options)`.
        source: Checkpoint, or the name of a method without one.
        options: Options of the loader.
        python: Interpreter; by default that of the harness.
        module_folders: Additional folders from which the module may import.
        confinement: How it is confined; `None` for the rights of the user.
        contained: Whether any error of the module's code counts as an error of the model or of a structure.
        is_helper: Whether another process can compute what this worker cannot, because it was killed, for example: then
            nothing counts as a failure.
        load_seconds: Longest wait until the potential is loaded.
        batch_seconds: Longest wait for a batch.
        message_seconds: Longest time from the first byte of an answer to its last.
    """

    module: str
    source: Path | str
    options: LoadOptions
    python: Path = Path(sys.executable)
    module_folders: tuple[Path, ...] = ()
    confinement: Confinement | None = None
    contained: bool = False
    is_helper: bool = False
    load_seconds: float = LOAD_SECONDS
    batch_seconds: float = BATCH_SECONDS
    message_seconds: float = MESSAGE_SECONDS


class WorkerPotential:
    """A potential that is computed by a worker.

    A worker that dies, hangs or runs out of memory is restarted once for the batch on which it died; if that
    batch kills it again, its structures are failures, each with the worker's last output, and the run
    continues with the other batches.

    Args:
        spec: What the worker loads.

    Raises:
        ModelError: If the potential cannot be loaded, or the worker dies while loading it.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._lost_batches = 0
        self._numbers = itertools.count(1)
        self._worker = self._started()
        self._traits = self._worker.traits

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å).

        Raises:
            ModelError: If the worker died on several batches in a row.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        return self.collect(self.launch(self.prepare(batch)))

    @property
    def is_cut_off(self) -> bool:
        """Whether the worker says that it has no network access."""
        return self._worker.is_cut_off

    @property
    def overlaps(self) -> bool:
        """Always true, since it computes in another process."""
        return True

    def prepare(self, batch: StructureBatch) -> "_Request":
        """Encodes the batch as a message; see `staging`."""
        arrays = {
            "atomic_numbers": batch.atomic_numbers,
            "positions": batch.positions,
            "n_atoms": batch.n_atoms,
        }
        number = next(self._numbers)
        content = encoded(Message("compute", {"smiles": batch.smiles}, arrays, number))
        return _Request(batch, number, content, longest_answer(batch.n_structures, len(batch.atomic_numbers)))

    def launch(self, prepared: "_Request") -> "_Sent":
        """Sends the batch to the worker, which may still be computing the previous one."""
        self._worker.ask(prepared.number, prepared.content, prepared.longest_answer)
        return _Sent(prepared, self._worker)

    def collect(self, launched: "_Sent") -> Prediction:
        """Waits for the prediction.

        Raises:
            ModelError: If the worker died on several batches in a row, violates the protocol, or was closed meanwhile.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        request, worker = launched.request, launched.worker
        for attempt in (1, 2):
            # A worker that died on the previous batch did not try this one.
            if worker is not self._worker and not worker.has_answered(request.number):
                worker = self._worker
                worker.ask(request.number, request.content, request.longest_answer)
            try:
                prediction = worker.prediction(request.number, self._spec.batch_seconds)
            except WorkerDied as cause:
                worker.require_open(cause)
                last_words = str(cause)
                if self._spec.is_helper:
                    raise HelperEndedError(last_words) from cause
                _LOG.warning(
                    "%s: %s; %s",
                    self._traits.model_id,
                    cause,
                    "restarting it" if attempt == 1 else f"{request.batch.n_structures} structures count as failures",
                )
                self._worker.close()
                self._worker = self._started()
            else:
                self._lost_batches = 0
                return prediction
        self._lost_batches += 1
        if self._lost_batches >= MAX_LOST_BATCHES:
            raise ModelError(
                f"{self._traits.model_id} ended its worker twice on each of {self._lost_batches} consecutive batches; "
                f"{last_words}. Try a smaller --batch-atoms or another --device; finished work is kept"
            )
        batch = request.batch
        nan = np.full((len(batch.atomic_numbers), 3), np.nan)
        return Prediction(nan[: batch.n_structures, 0], nan, dict.fromkeys(range(batch.n_structures), last_words))

    def meter(self) -> "_RemoteMeter":
        """Measures in the worker, since no other process can measure its memory."""
        return _RemoteMeter(self)

    def peak_resident(self) -> int | None:
        """Peak memory of the worker, in bytes; `None` where the system does not report it."""
        return self._worker.peak_resident()

    def ask(self, kind: str) -> Message | None:
        """The worker's answer to a request other than a batch; `None` if it died meanwhile.

        Raises:
            ModelError: If the worker violates the protocol, or was closed meanwhile.
        """
        number, worker = next(self._numbers), self._worker
        worker.ask(number, encoded(Message(kind, number=number)), longest_answer(0, 0))
        try:
            return worker.answer(number, self._spec.batch_seconds)
        except WorkerDied as cause:
            worker.require_open(cause)
            _LOG.warning("%s: %s; restarting it", self._traits.model_id, cause)
            self._worker.close()
            self._worker = self._started()
            return None

    def close(self) -> None:
        """Ends the worker."""
        self._worker.close()

    def _started(self) -> "_Worker":
        try:
            return _Worker(self._spec)
        except WorkerDied as cause:
            raise ModelError(f"{self._spec.source} could not be loaded in its worker: {cause}") from cause


class _RemoteMeter:
    """The meter of a worker's process."""

    def __init__(self, potential: WorkerPotential) -> None:
        self._potential = potential

    def begin(self) -> None:
        """Starts the measurement."""
        self._potential.ask("begin measuring")

    def end(self) -> Footprint | None:
        """Memory used since `begin`; `None` if the worker cannot measure it, or was restarted meanwhile.

        Raises:
            ModelError: If the worker's answer is not a footprint.
        """
        answer = self._potential.ask("end measuring")
        body = None if answer is None else answer.body.get("footprint")
        if body is None:
            return None
        try:
            return TypeAdapter(Footprint).validate_python(body)
        except ValidationError as cause:
            raise _protocol_violation(self._potential.traits.model_id, f"a footprint of {body!r:.60}") from cause


@dataclass(frozen=True, slots=True)
class _Request:
    """A batch, and the message that requests its prediction."""

    batch: StructureBatch
    number: int
    content: bytes
    longest_answer: int


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request, and the worker to which it was sent."""

    request: _Request
    worker: "_Worker"


class _Worker:
    """One process with its connection and its last output, which are closed together."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._open: dict[int, int] = {}
        """Open requests, each with the maximum size of its answer in bytes."""
        self._answers: dict[int, Message] = {}
        self._home = Path(tempfile.mkdtemp(prefix="mlip-ood-worker-"))
        self._process, self._connection = start(spec.python, spec.module_folders, self._home, spec.confinement)
        assert self._process.stdout is not None
        self._output = LastOutput(self._process.stdout)
        self._sender = ThreadPoolExecutor(1, "sender")
        self.close = weakref.finalize(self, stop, self._process, self._connection, self._sender, self._home)
        body = {
            "module": spec.module,
            "source": str(spec.source),
            "is_path": isinstance(spec.source, Path),
            "options": dataclasses.asdict(spec.options),
            "contained": spec.contained,
        }
        self.ask(0, encoded(Message("load", body)), LONGEST_TRAITS)
        try:
            self.traits, self.is_cut_off = self._loaded(self.answer(0, spec.load_seconds))
        except BaseException:
            self.close()
            raise

    def peak_resident(self) -> int | None:
        """Peak memory of the process, in bytes; `None` where the system does not tell."""
        return peak_resident_of_process(self._process.pid)

    def ask(self, number: int, content: bytes, longest: int) -> None:
        """Sends a request in a separate thread, since a worker that hangs does not empty its socket.

        Args:
            number: Number of the request; its answer has the same number.
            content: An encoded message.
            longest: Maximum size of the answer in bytes.
        """
        self._open[number] = longest
        self._sender.submit(self._write, content)

    def require_open(self, cause: WorkerDied) -> None:
        """Checks that nobody has closed the worker, as an interrupted run does; one that died by itself is open.

        Raises:
            ModelError: If it is closed, so that it is not to be started again.
        """
        if not self.close.alive:
            raise ModelError(f"the worker of {self._spec.source} was closed while it computed") from cause

    def has_answered(self, number: int) -> bool:
        """Whether the answer to a request has arrived."""
        return number in self._answers

    def prediction(self, number: int, seconds: float) -> Prediction:
        """Waits for the prediction of the request with a number.

        Raises:
            ModelError: If the worker reports an error of the model, or its answer is not a prediction.
            torch.OutOfMemoryError: If the batch does not fit on the worker's device.
            WorkerDied: If it ends, or does not answer in time.
        """
        answer = self.answer(number, seconds)
        if answer.kind == "out of memory":
            import torch

            raise torch.OutOfMemoryError(str(answer.body.get("message")))
        if answer.kind != "computed" or not {"energy", "forces"} <= answer.arrays.keys():
            raise self._violation(f"{answer.kind!r:.40} with {sorted(answer.arrays)} for a batch")
        failures = answer.body.get("failures")
        if not isinstance(failures, dict) or not all(_IS_PLACE(each) for each in failures):
            raise self._violation(f"{failures!r:.60} for the failures of a batch")
        numbered = {int(place): str(cause) for place, cause in failures.items()}
        return Prediction(answer.arrays["energy"], answer.arrays["forces"], numbered)

    def answer(self, number: int, seconds: float) -> Message:
        """Waits for the answer to a request; answers to other requests that arrive earlier are kept.

        Raises:
            ModelError: If the worker reports an error, or violates the protocol.
            WorkerDied: If it ends, or does not answer in time.
        """
        while number not in self._answers:
            answer = self._received(seconds)
            if self._open.pop(answer.number, None) is None:
                waiting = ", ".join(map(str, self._open))
                raise self._violation(f"an answer to request {answer.number}; open requests: {waiting}")
            self._answers[answer.number] = answer
        answer = self._answers.pop(number)
        if answer.kind == "error":
            raise _error_of(answer.body)
        return answer

    def _write(self, content: bytes) -> None:
        # Whoever waits for the answer detects that the worker ended, and reports its last output.
        with contextlib.suppress(OSError, ValueError):
            self._connection.send_bytes(content)

    def _received(self, seconds: float) -> Message:
        is_late = threading.Event()
        try:
            if not self._connection.poll(seconds):
                cut_off(self._process, self._connection)
                raise WorkerDied(self._was_ended(f"it did not answer within {seconds:g} s"))
            with _cut_after(self._spec.message_seconds, self._process, self._connection, is_late):
                answer = receive(self._connection, max(self._open.values(), default=0))
        except ProtocolError as cause:
            raise self._violation(str(cause)) from cause
        except OSError as cause:
            raise WorkerDied(self._late() if is_late.is_set() else self._exit_report(str(cause))) from cause
        if answer is None:
            raise WorkerDied(
                self._late() if is_late.is_set() else self._exit_report("it closed its end of the connection")
            )
        return answer

    def _late(self) -> str:
        seconds = f"{self._spec.message_seconds:g} s"
        return self._was_ended(f"it did not complete an answer within {seconds}")

    def _loaded(self, answer: Message) -> tuple[PotentialTraits, bool]:
        try:
            traits = TypeAdapter(PotentialTraits).validate_python(answer.body.get("traits"))
        except ValidationError as cause:
            raise self._violation(f"{answer.kind!r:.40} with invalid traits ({first_line(cause)})") from cause
        means = None if self._spec.confinement is None else self._spec.confinement.means
        return dataclasses.replace(traits, isolation=means), answer.body.get("is_cut_off") is True

    def _violation(self, what: str) -> ModelError:
        cut_off(self._process, self._connection)
        self.close()
        return _protocol_violation(str(self._spec.source), what)

    def _exit_report(self, cause: str) -> str:
        return f"its worker ended ({cause}; {exit_text(self._process)}), {self._output.text()}"

    def _was_ended(self, cause: str) -> str:
        # The harness ended it, so its exit signal is not informative.
        return f"the harness ended its worker ({cause}), {self._output.text()}"


@contextlib.contextmanager
def _cut_after(
    seconds: float, process: subprocess.Popen[bytes], connection: Connection, is_late: threading.Event
) -> Iterator[None]:
    """Ends a worker that has started an answer and does not complete it, while this thread waits for it.

    Args:
        seconds: Maximum time for the answer.
        process: The worker.
        connection: Connection to it.
        is_late: Set if the worker was ended.
    """

    def cut() -> None:
        is_late.set()
        cut_off(process, connection)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _protocol_violation(model: str, what: str) -> ModelError:
    return ModelError(
        f"the worker of {model} sent {what}; expected the answer to an open request. The code of the model, or a "
        "program that it started, writes to the worker's connection; ask its author, or, if you trust it, try "
        "--isolation never"
    )


def _error_of(body: Mapping[str, Any]) -> MlipOodError:
    kind = getattr(errors, str(body.get("type")), ModelError)
    if not (isinstance(kind, type) and issubclass(kind, MlipOodError)) or kind is errors.MissingPackageError:
        kind = ModelError
    error: MlipOodError = kind(str(body.get("message")))
    return error
