"""The harness's end of a worker: a potential that computes in a process of its own."""

import contextlib
import dataclasses
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

import dataset_builders
import harness
from dataset_builders import errors
from dataset_builders.errors import MlipOodError, ModelError
from harness.potentials.base import LoadOptions, PotentialTraits
from harness.structures import Prediction, StructureBatch
from harness.worker.protocol import Message, ProtocolError, encoded, read_message, write_encoded
from harness.worker.sandbox import scrubbed_environment

LOAD_SECONDS: Final = 1800.0
BATCH_SECONDS: Final = 1800.0
"""Longest wait for an answer, after which a worker counts as hung; compilation falls into the first batch."""
MAX_LOST_BATCHES: Final = 3
"""Batches in a row that may kill their worker twice before the run is given up."""

_LAST_WORDS: Final = 12
_PROJECT_PACKAGES: Final = (dataset_builders, harness)
_LOG: Final = logging.getLogger(__name__)


class WorkerDied(Exception):  # noqa: N818 (not an error of the user's: the caller decides what becomes of it)
    """A worker ended, or did not answer in time; the message has its last words."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is to load, and where it runs.

    Attributes:
        module: Adapter, a module with `load(source, options)`.
        source: Checkpoint, or the name of a method without one.
        options: For the loader.
        python: Interpreter; that of the harness by default.
        module_folders: Folders, beside those of the interpreter, where the module may import from.
        contained: Whether any error of the module's code is taken for one of the model or of a structure.
        load_seconds: Longest wait until the potential is loaded.
        batch_seconds: Longest wait for a batch.
    """

    module: str
    source: Path | str
    options: LoadOptions
    python: Path = Path(sys.executable)
    module_folders: tuple[Path, ...] = ()
    contained: bool = False
    load_seconds: float = LOAD_SECONDS
    batch_seconds: float = BATCH_SECONDS


class WorkerPotential:
    """A potential whose computing is done by a worker.

    A worker that dies, hangs or runs out of memory is started again once for the batch that it died on; if
    that batch kills it again, its structures are failures, each with the worker's last words, and the rest
    of the run goes on.

    Args:
        spec: What to load.

    Raises:
        ModelError: If the potential cannot be loaded, or the worker dies while loading it.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._lost_batches = 0
        self._worker = self._started()
        self._traits = self._worker.traits

    @property
    def traits(self) -> PotentialTraits:
        """What is known of the potential."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å).

        Raises:
            ModelError: If the worker died on several batches in a row.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        return self.collect(self.launch(self.prepare(batch)))

    @property
    def overlaps(self) -> bool:
        """That it computes in another process."""
        return True

    def prepare(self, batch: StructureBatch) -> "_Request":
        """Writes the batch down as a message; see `staging`."""
        arrays = {
            "atomic_numbers": batch.atomic_numbers,
            "positions": batch.positions,
            "n_atoms": batch.n_atoms,
        }
        return _Request(batch, encoded(Message("compute", {"smiles": batch.smiles}, arrays)))

    def launch(self, prepared: "_Request") -> "_Sent":
        """Sends the batch to the worker, which may still be computing the one before."""
        self._worker.send(prepared.content)
        return _Sent(prepared, self._worker)

    def collect(self, launched: "_Sent") -> Prediction:
        """Waits for the prediction.

        Raises:
            ModelError: If the worker died on several batches in a row.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        request, worker = launched.request, launched.worker
        for attempt in (1, 2):
            # A worker that died on the batch before took this one with it, which was not tried then.
            if worker is not self._worker:
                worker = self._worker
                worker.send(request.content)
            try:
                prediction = worker.receive()
            except WorkerDied as cause:
                last_words = str(cause)
                _LOG.warning(
                    "%s: %s; %s",
                    self._traits.model_id,
                    cause,
                    "it is started again" if attempt == 1 else f"{request.batch.n_structures} structures are given up",
                )
                self._worker.close()
                self._worker = self._started()
            else:
                self._lost_batches = 0
                return prediction
        self._lost_batches += 1
        if self._lost_batches >= MAX_LOST_BATCHES:
            raise ModelError(
                f"{self._traits.model_id} ended its worker twice on each of {self._lost_batches} batches in a row; "
                f"{last_words}. Try a smaller --batch-atoms or another --device; finished work is kept"
            )
        batch = request.batch
        nan = np.full((len(batch.atomic_numbers), 3), np.nan)
        return Prediction(nan[: batch.n_structures, 0], nan, dict.fromkeys(range(batch.n_structures), last_words))

    def close(self) -> None:
        """Ends the worker."""
        self._worker.close()

    def _started(self) -> "_Worker":
        try:
            return _Worker(self._spec)
        except WorkerDied as cause:
            raise ModelError(f"{self._spec.source} could not be loaded in its worker: {cause}") from cause


@dataclass(frozen=True, slots=True)
class _Request:
    """A batch, and the message that asks for its prediction."""

    batch: StructureBatch
    content: bytes


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request, and the worker that it was sent to."""

    request: _Request
    worker: "_Worker"


class _Worker:
    """One process with its pipes and its log, which all end together."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._home = Path(tempfile.mkdtemp(prefix="mlip-ood-worker-"))
        self._log = self._home / "log"
        self._process, self._outgoing, self._incoming = _start(spec, self._home, self._log)
        self._sender = ThreadPoolExecutor(1, "sender")
        self.close = weakref.finalize(self, _stop, self._process, self._outgoing, self._incoming, self._home)
        body = {
            "module": spec.module,
            "source": str(spec.source),
            "is_path": isinstance(spec.source, Path),
            "options": dataclasses.asdict(spec.options),
            "contained": spec.contained,
        }
        self.send(encoded(Message("load", body)))
        try:
            answer = self._answer(spec.load_seconds)
        except BaseException:
            self.close()
            raise
        self.traits = _traits(answer.body["traits"])
        if not answer.body["is_cut_off"]:
            _LOG.info("the worker of %s can reach the network: this system does not let it be cut off", spec.source)

    def send(self, content: bytes) -> None:
        """Sends an encoded message, in a thread of its own: a worker that hangs does not empty its pipe."""
        self._sender.submit(self._write, content)

    def receive(self) -> Prediction:
        """Waits for the answer to the first message that was not answered yet."""
        answer = self._answer(self._spec.batch_seconds)
        if answer.kind == "out of memory":
            import torch

            raise torch.OutOfMemoryError(answer.body["message"])
        failures = {int(number): str(cause) for number, cause in answer.body["failures"].items()}
        return Prediction(answer.arrays["energy"], answer.arrays["forces"], failures)

    def _write(self, content: bytes) -> None:
        # The end of a worker is seen, with its last words, where its answer is waited for.
        with contextlib.suppress(OSError, ValueError):
            write_encoded(self._outgoing, content)

    def _answer(self, seconds: float) -> Message:
        try:
            self._wait(seconds)
            answer = read_message(self._incoming)
        except (OSError, ProtocolError) as cause:
            raise WorkerDied(self._epitaph(str(cause))) from cause
        if answer is None:
            raise WorkerDied(self._epitaph("it closed its pipe"))
        if answer.kind == "error":
            raise _error_of(answer.body)
        return answer

    def _wait(self, seconds: float) -> None:
        ready, _, _ = select.select([self._incoming], [], [], seconds)
        if not ready:
            _kill(self._process)
            raise WorkerDied(self._epitaph(f"it did not answer within {seconds:g} s"))

    def _epitaph(self, cause: str) -> str:
        with_status = f"its worker ended ({cause}; {_exit_text(self._process)})"
        lines = [line for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        printable = ["".join(char for char in line if char.isprintable()) for line in lines[-_LAST_WORDS:]]
        return with_status + (", last words: " + " | ".join(printable) if printable else ", without a word")


def _start(spec: WorkerSpec, home: Path, log: Path) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
    packages = home / "packages"
    packages.mkdir()
    for package in _PROJECT_PACKAGES:
        # Links, and not the folder that the packages lie in: other packages there may be of another environment.
        (packages / package.__name__).symlink_to(Path(package.__path__[0]).resolve(), target_is_directory=True)
    their_read, our_write = os.pipe()
    our_read, their_write = os.pipe()
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(spec.python), "-m", "harness.worker", str(their_read), str(their_write)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(their_read, their_write),
                cwd=home,
                env=scrubbed_environment(os.environ, home, (packages, *spec.module_folders)),
                # A Ctrl-C in the terminal is for the harness, which ends its workers itself.
                start_new_session=True,
            )
    except OSError as cause:
        os.close(our_write)
        os.close(our_read)
        shutil.rmtree(home, ignore_errors=True)
        raise ModelError(
            f"cannot start {spec.python}: {cause}; make the environment again: harness env create"
        ) from cause
    finally:
        os.close(their_read)
        os.close(their_write)
    return process, os.fdopen(our_write, "wb"), os.fdopen(our_read, "rb")


def _stop(process: subprocess.Popen[bytes], outgoing: IO[bytes], incoming: IO[bytes], home: Path) -> None:
    for stream in (outgoing, incoming):
        try:
            stream.close()
        except OSError:
            continue
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        _kill(process)
        process.wait()
    shutil.rmtree(home, ignore_errors=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a worker and what it has started, such as a compiler; it leads a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _exit_text(process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 2.0
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    code = process.poll()
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return name + (", most often for lack of memory" if -code == signal.SIGKILL else "")


def _traits(body: Mapping[str, Any]) -> PotentialTraits:
    elements = body["elements"]
    return PotentialTraits(
        **{
            **body,
            "elements": None if elements is None else frozenset(elements),
            "packages": tuple(body["packages"]),
        }
    )


def _error_of(body: Mapping[str, Any]) -> MlipOodError:
    kind = getattr(errors, body["type"], ModelError)
    if not (isinstance(kind, type) and issubclass(kind, MlipOodError)) or kind is errors.MissingPackageError:
        kind = ModelError
    error: MlipOodError = kind(body["message"])
    return error
