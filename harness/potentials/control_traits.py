"""Common code of the fitted controls: their traits and their reference energies."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.tasks.regions import DECLARATION
from harness.core.batch import StructureBatch
from harness.core.potential import PotentialTraits
from harness.networks.checkpoint_format import file_hashes, symbol_of

if TYPE_CHECKING:
    from harness.networks.control_checkpoints import ControlConfig


def control_traits(
    path: Path, config: "ControlConfig", packages: tuple[str, ...], *, conservative: bool
) -> PotentialTraits:
    """Traits of a fitted control, which computes in float64 on the CPU.

    Args:
        path: Checkpoint folder.
        config: Its config.
        packages: Python packages that compute.
        conservative: Whether its forces are the negative gradient of its energy.

    Raises:
        ModelError: If a file is absent.
    """
    return PotentialTraits(
        model_id=str(path),
        family=config.family,
        elements=frozenset(config.elements),
        files=file_hashes(path),
        packages=packages,
        protocol=config.protocol,
        trained_on=config.trained_on,
        trained_task=config.training.get(DECLARATION),
        level_of_theory=config.level_of_theory,
        conservative=conservative,
    )


def reference_energy(batch: StructureBatch, config: "ControlConfig") -> FloatArray:
    """Sum of the reference energies of the atoms of each structure.

    Args:
        batch: Molecules of elements that the control was trained on.
        config: Its config.

    Returns:
        Shape (n_structures,), float64, eV.
    """
    energies = np.zeros(max(config.elements) + 1)
    for number in config.elements:
        energies[number] = config.reference_energies[symbol_of(number)]
    per_structure: FloatArray = np.add.reduceat(energies[batch.atomic_numbers], batch.offsets[:-1])
    return per_structure
