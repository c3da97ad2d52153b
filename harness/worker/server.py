"""The worker's end: loads one potential and computes what it is sent, until the pipe is closed.

On a GPU, the next batch is read and prepared while one computes.
"""

import dataclasses
import importlib
import traceback
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from dataset_builders.errors import MlipOodError
from harness.potentials.base import LoadOptions, Potential
from harness.potentials.foreign import load_foreign
from harness.potentials.staging import compute_ahead
from harness.structures import Prediction, StructureBatch
from harness.worker.protocol import Message, read_message, write_message


def serve(incoming: IO[bytes], outgoing: IO[bytes], *, is_cut_off: bool) -> int:
    """Loads what the first message asks for, then answers each further one.

    Args:
        incoming: Where messages come from.
        outgoing: Where answers go.
        is_cut_off: Whether this process is without a network, which the first answer tells.

    Returns:
        The exit code of the process.
    """
    request = read_message(incoming)
    if request is None:
        return 0
    potential = _load(request, outgoing, is_cut_off=is_cut_off)
    if potential is None:
        return 1
    for _, outcome in compute_ahead(potential, _batches(incoming), _answered_errors):
        write_message(outgoing, _answer(outcome))
    return 0


def _load(request: Message, outgoing: IO[bytes], *, is_cut_off: bool) -> Potential | None:
    # Whatever goes wrong while a stranger's checkpoint is loaded is told to the user, never lost in a worker.
    try:
        potential = _loaded(request.body)
    except MlipOodError as cause:
        write_message(outgoing, Message("error", {"type": type(cause).__name__, "message": str(cause)}))
        return None
    except (Exception, SystemExit) as cause:
        traceback.print_exc()
        text = f"{request.body['source']} cannot be loaded: {type(cause).__name__}: {cause}"
        write_message(outgoing, Message("error", {"type": "ModelError", "message": text}))
        return None
    traits = dataclasses.asdict(potential.traits)
    elements = None if traits["elements"] is None else sorted(traits["elements"])
    versions = {name: version(name) for name in potential.traits.packages}
    body = {**traits, "elements": elements, "files": dict(traits["files"]), "versions": versions}
    write_message(outgoing, Message("loaded", {"traits": body, "is_cut_off": is_cut_off}))
    return potential


def _loaded(body: Mapping[str, Any]) -> Potential:
    options = LoadOptions(**body["options"])

    def load() -> Potential:
        adapter: Any = importlib.import_module(body["module"])
        potential: Potential = adapter.load(_source(body), options)
        return potential

    return load_foreign(body["module"], str(body["source"]), load, contained=body["contained"], alone=True)


def _source(body: Mapping[str, Any]) -> Path | str:
    return Path(body["source"]) if body["is_path"] else body["source"]


def _batches(incoming: IO[bytes]) -> Iterator[tuple[None, StructureBatch]]:
    """The batches that are asked for; answers are told apart by their order alone."""
    while (request := read_message(incoming)) is not None:
        yield (
            None,
            StructureBatch(
                atomic_numbers=request.arrays["atomic_numbers"],
                positions=request.arrays["positions"],
                n_atoms=request.arrays["n_atoms"],
                smiles=tuple(request.body["smiles"]),
            ),
        )


def _answered_errors() -> tuple[type[Exception], ...]:
    import torch

    return (torch.OutOfMemoryError, MlipOodError)


def _answer(outcome: Prediction | Exception) -> Message:
    if isinstance(outcome, MlipOodError):
        return Message("error", {"type": type(outcome).__name__, "message": str(outcome)})
    if isinstance(outcome, Exception):
        return Message("out of memory", {"message": str(outcome)})
    failures = {str(number): cause for number, cause in outcome.failures.items()}
    return Message("computed", {"failures": failures}, {"energy": outcome.energy, "forces": outcome.forces})
