"""The worker's end: loads one potential and computes the batches it receives, until the connection is closed.

On a GPU, the next batch is read and prepared while the current one computes.
"""

import dataclasses
import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dataset_builders.core.errors import MlipOodError
from harness.compute.device import does_not_fit, is_out_of_memory
from harness.compute.meter import meter_of
from harness.compute.staging import compute_ahead
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, Potential
from harness.models.foreign import load_foreign
from harness.worker.protocol import LONGEST_TEXT, Message, UnsendableError, receive, send


def serve(connection: Connection, *, is_cut_off: bool) -> int:
    """Loads the potential in the first message, then answers each further one.

    Args:
        connection: Connection to the harness.
        is_cut_off: Whether this process has no network access, which the first answer reports.

    Returns:
        The exit code of the process.
    """
    request = receive(connection)
    if request is None:
        return 0
    potential = _load(request, connection, is_cut_off=is_cut_off)
    if potential is None:
        return 1
    for number, outcome in compute_ahead(potential, _batches(connection, potential), _answered_errors):
        _send_answer(connection, _answer(outcome, number))
    return 0


def refuse(connection: Connection, reason: str) -> int:
    """Answers the request to load anything with the reason why this process is not confined as it should be."""
    request = receive(connection)
    if request is not None:
        text = f"--isolation strict: the system refuses to confine the worker of the model: {reason}"
        send(connection, _error("SetupError", text, request.number))
    return 1


def _load(request: Message, connection: Connection, *, is_cut_off: bool) -> Potential | None:
    # Any error while loading a foreign checkpoint must reach the user, not only the worker's log.
    options = LoadOptions(**request.body["options"])
    try:
        potential = _loaded(request.body, options)
    except MlipOodError as cause:
        send(connection, _error(type(cause).__name__, str(cause), request.number))
        return None
    except (Exception, SystemExit) as cause:
        traceback.print_exc()
        if isinstance(cause, Exception) and is_out_of_memory(cause):
            full = does_not_fit(request.body["source"], options, cause)
            send(connection, _error("SetupError", str(full), request.number))
            return None
        text = f"{request.body['source']} cannot be loaded: {type(cause).__name__}: {cause}"
        send(connection, _error("ModelError", text, request.number))
        return None
    traits = dataclasses.asdict(potential.traits)
    elements = None if traits["elements"] is None else sorted(traits["elements"])
    versions = {name: version(name) for name in potential.traits.packages}
    body = {**traits, "elements": elements, "files": dict(traits["files"]), "versions": versions}
    send(connection, Message("loaded", {"traits": body, "is_cut_off": is_cut_off}, number=request.number))
    return potential


def _loaded(body: Mapping[str, Any], options: LoadOptions) -> Potential:
    def load() -> Potential:
        adapter: Any = importlib.import_module(body["module"])
        potential: Potential = adapter.load(_source(body), options)
        return potential

    return load_foreign(body["module"], str(body["source"]), load, contained=body["contained"], alone=True)


def _source(body: Mapping[str, Any]) -> Path | str:
    return Path(body["source"]) if body["is_path"] else body["source"]


def _batches(connection: Connection, potential: Potential) -> Iterator[tuple[int, StructureBatch]]:
    """The requested batches, each with the number of its request.

    The harness requests measurements only when no other request is open, so they are answered here.
    """
    meter = meter_of(potential)
    while (request := receive(connection)) is not None:
        if request.kind == "begin measuring":
            if meter is not None:
                meter.begin()
            send(connection, Message("measuring", number=request.number))
        elif request.kind == "end measuring":
            footprint = None if meter is None else meter.end()
            body = None if footprint is None else dataclasses.asdict(footprint)
            send(connection, Message("measured", {"footprint": body}, number=request.number))
        else:
            yield (
                request.number,
                StructureBatch(
                    atomic_numbers=request.arrays["atomic_numbers"],
                    positions=request.arrays["positions"],
                    n_atoms=request.arrays["n_atoms"],
                    smiles=tuple(request.body["smiles"]),
                ),
            )


def _answered_errors() -> tuple[type[Exception], ...]:
    # Importing torch takes seconds, and without it no error is its own.
    torch = sys.modules.get("torch")
    return (MlipOodError,) if torch is None else (torch.OutOfMemoryError, MlipOodError)


def _answer(outcome: Prediction | Exception, number: int) -> Message:
    if isinstance(outcome, MlipOodError):
        return _error(type(outcome).__name__, str(outcome), number)
    if isinstance(outcome, Exception):
        return Message("out of memory", {"message": _shortened(str(outcome))}, number=number)
    failures = {str(place): _shortened(cause) for place, cause in outcome.failures.items()}
    arrays = {"energy": outcome.energy, "forces": outcome.forces}
    return Message("computed", {"failures": failures}, arrays, number)


def _send_answer(connection: Connection, answer: Message) -> None:
    try:
        send(connection, answer)
    except UnsendableError as cause:
        text = f"the model returned something other than an array of numbers: {cause}"
        send(connection, _error("ModelError", text, answer.number))


def _error(kind: str, text: str, number: int) -> Message:
    return Message("error", {"type": kind, "message": _shortened(text)}, number=number)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."
