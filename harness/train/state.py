"""The state of a run on disk, from which an interrupted run resumes bit for bit."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.whole_file import whole_file
from harness.networks.finished import STATE_FILE
from harness.networks.tensor_file import system_errors

if TYPE_CHECKING:
    from torch import Tensor

_RECORD: Final = "record"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One validation.

    Attributes:
        step: Optimiser steps so far.
        seconds: Wall-clock time of the run so far, validations included.
        learning_rate: Rate at that step.
        train_loss: Mean over the steps since the previous validation.
        validation_force_mae: MAE of force components, eV/Å.
        validation_energy_mae: MAE of the energy per atom, eV.
    """

    step: int
    seconds: float
    learning_rate: float
    train_loss: float
    validation_force_mae: float
    validation_energy_mae: float


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The data that a run needs to resume.

    Attributes:
        identity: Settings and data of the run; a run with others cannot resume from it.
        curve: Validations so far; the last one is at the current step.
        n_steps: Steps of the whole run; 0 in a file of an earlier release with a number of epochs or steps.
        tensors: Weights, their running mean and the moments of the optimiser, by name.
    """

    identity: Mapping[str, Any]
    curve: tuple[CurvePoint, ...]
    n_steps: int
    tensors: "Mapping[str, Tensor]"


def write_state(directory: Path, run: SavedRun) -> None:
    """Writes the state; if the process is killed, either the old file or the new one remains."""
    from safetensors.torch import save_file

    record = {"identity": run.identity, "curve": [asdict(point) for point in run.curve], "n_steps": run.n_steps}
    # Copies, since the format rejects tensors that share memory, such as tied weights.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in run.tensors.items()}
    with whole_file(directory / STATE_FILE) as partial, system_errors():
        save_file(tensors, partial, metadata={_RECORD: json.dumps(record)})


def read_state(directory: Path, identity: Mapping[str, Any]) -> SavedRun | None:
    """Reads the state of an interrupted run; `None` where there is none.

    Args:
        directory: Folder of the run.
        identity: Settings and data of the run to resume.

    Raises:
        DataError: If the file is corrupt.
        UsageError: If it belongs to a run with other settings or data, or to an earlier release.
    """
    from safetensors import SafetensorError, safe_open

    path = directory / STATE_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            record = json.loads((file.metadata() or {})[_RECORD])
    except (SafetensorError, OSError, KeyError, ValueError) as cause:
        raise DataError(f"{path} cannot be read ({cause}); delete it to restart the training") from cause
    wanted = json.loads(json.dumps(identity))
    different = sorted(
        key for key in wanted.keys() | record["identity"] if wanted.get(key) != record["identity"].get(key)
    )
    if different:
        key = different[0]
        raise UsageError(
            f"{directory} contains an interrupted run whose {key} is {record['identity'].get(key)!r}, not "
            f"{wanted.get(key)!r} as in this command. Repeat the original command to resume it, or choose another --out"
        )
    if "n_steps" not in record and wanted.get("budget_minutes") is not None:
        raise UsageError(
            f"{path} was written by an earlier release, whose learning rate followed the clock; finish the training "
            "with that release, or delete the file to restart it"
        )
    curve = tuple(CurvePoint(**point) for point in record["curve"])
    return SavedRun(wanted, curve, record.get("n_steps", 0), tensors)
