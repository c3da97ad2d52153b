"""Checkpoints of controls that are fitted to training frames: the same two files as for networks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset_builders.core.errors import ModelError
from dataset_builders.core.parsed_text import json_file
from dataset_builders.core.shown import shown
from dataset_builders.core.whole_file import whole_file, write_text_whole
from dataset_builders.tasks.task_document import first_problem
from harness.networks.checkpoint_format import CONFIG_FILE, FORMAT, WEIGHTS_FILE, symbol_of
from harness.networks.tensor_file import system_errors

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

ControlArchitecture = Literal["knn", "additive"]
"""Controls that are trained on a task; each is a family of potentials of the same name."""

CONTROL_ARCHITECTURES: Final[tuple[ControlArchitecture, ...]] = get_args(ControlArchitecture)


class ControlConfig(BaseModel):
    """The contents of `config.json`.

    Attributes:
        format: Identifies a checkpoint of this project.
        format_version: Version of the format.
        family: The control.
        settings: Values chosen on `validation`, such as the number of neighbours.
        elements: Atomic numbers that it was trained on, ascending.
        reference_energies: Energy of each atom, eV, by element symbol.
        trained_on: Data-set configuration of the training set, such as `task2`.
        protocol: How the control was trained on the molecules of that task.
        level_of_theory: Level of theory of the training labels.
        training: Details of the training, for information.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["mlip-ood-checkpoint"] = FORMAT
    format_version: Literal[1] = 1
    family: ControlArchitecture
    settings: dict[str, Annotated[float, Field(gt=0.0, allow_inf_nan=False)]]
    elements: Annotated[list[Annotated[int, Field(ge=1, le=118)]], Field(min_length=1)]
    reference_energies: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
    trained_on: Annotated[str, Field(min_length=1)]
    protocol: Literal["from-scratch"] = "from-scratch"
    level_of_theory: Annotated[str, Field(min_length=1)]
    training: dict[str, Any]


def write_control(directory: Path, config: ControlConfig, tensors: "Tensors") -> None:
    """Writes a checkpoint folder; the config comes last, so that a folder with a config is complete.

    Args:
        directory: Folder; created if absent.
        config: Description of the control and its training.
        tensors: Arrays by name.
    """
    from safetensors.numpy import save_file

    with whole_file(directory / WEIGHTS_FILE) as partial, system_errors():
        save_file(tensors, partial)
    text = json.dumps(config.model_dump(), indent=2, ensure_ascii=False) + "\n"
    write_text_whole(directory / CONFIG_FILE, text)


def read_control(directory: Path, family: ControlArchitecture) -> "tuple[ControlConfig, Tensors]":
    """Reads a checkpoint folder.

    Args:
        directory: Checkpoint folder.
        family: The expected control.

    Returns:
        The config, and all arrays by name.

    Raises:
        ModelError: If a file is absent or corrupt, the config is not supported by this version, or an array
            contains numbers that are not finite.
    """
    config = _read_config(directory / CONFIG_FILE)
    if config.family != family:
        raise ModelError(f"{directory / CONFIG_FILE} has the family {config.family}; expected {family}")
    return config, _read_tensors(directory / WEIGHTS_FILE)


def control_of(directory: Path) -> ControlArchitecture | None:
    """The control in a checkpoint folder; `None` for other families, or if no config can be read."""
    try:
        family = json_file(directory / CONFIG_FILE).get("family")
    except (OSError, ValueError, AttributeError):
        return None
    return next((control for control in CONTROL_ARCHITECTURES if control == family), None)


def _read_config(path: Path) -> ControlConfig:
    try:
        config = ControlConfig.model_validate_json(path.read_bytes())
    except OSError as cause:
        raise ModelError(f"cannot read {path}: {cause}; copy the whole checkpoint folder") from cause
    except ValidationError as cause:
        raise ModelError(
            f"{path}: {first_problem(cause)}; copy the checkpoint again, or "
            "read it with the release of this package that wrote it"
        ) from cause
    symbols = [symbol_of(number) for number in config.elements]
    if config.elements != sorted(set(config.elements)) or list(config.reference_energies) != symbols:
        raise ModelError(
            f"{path}: elements {shown(config.elements, 200)} with reference energies of "
            f"{shown(list(config.reference_energies), 200)}; "
            "expected ascending atomic numbers, and one energy for each in the same order"
        )
    return config


def _read_tensors(path: Path) -> "Tensors":
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: Tensors = load_file(path)
    except (SafetensorError, OSError) as cause:
        raise ModelError(
            f"{path} cannot be read as safetensors ({shown(str(cause), 300)}); copy the checkpoint again"
        ) from cause
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ModelError(f"tensor {name!r} of {path} contains numbers that are not finite; train the model again")
    return tensors
