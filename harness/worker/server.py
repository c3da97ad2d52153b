"""The worker's end: loads one potential and computes what it is sent, until the pipe is closed."""

import dataclasses
import importlib
import traceback
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from dataset_builders.errors import MlipOodError
from harness.potentials.base import LoadOptions, Potential
from harness.structures import StructureBatch
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
    while (request := read_message(incoming)) is not None:
        write_message(outgoing, _compute(potential, request))
    return 0


def _load(request: Message, outgoing: IO[bytes], *, is_cut_off: bool) -> Potential | None:
    # Whatever goes wrong while a stranger's checkpoint is loaded is told to the user, never lost in a worker.
    try:
        adapter: Any = importlib.import_module(request.body["module"])
        options = LoadOptions(**request.body["options"])
        potential: Potential = adapter.load(_source(request.body), options)
    except MlipOodError as cause:
        write_message(outgoing, Message("error", {"type": type(cause).__name__, "message": str(cause)}))
        return None
    except Exception as cause:
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


def _source(body: Mapping[str, Any]) -> Path | str:
    return Path(body["source"]) if body["is_path"] else body["source"]


def _compute(potential: Potential, request: Message) -> Message:
    import torch

    batch = StructureBatch(
        atomic_numbers=request.arrays["atomic_numbers"],
        positions=request.arrays["positions"],
        n_atoms=request.arrays["n_atoms"],
        smiles=tuple(request.body["smiles"]),
    )
    try:
        prediction = potential.compute(batch)
    except torch.OutOfMemoryError as cause:
        return Message("out of memory", {"message": str(cause)})
    except MlipOodError as cause:
        return Message("error", {"type": type(cause).__name__, "message": str(cause)})
    failures = {str(number): cause for number, cause in prediction.failures.items()}
    return Message("computed", {"failures": failures}, {"energy": prediction.energy, "forces": prediction.forces})
