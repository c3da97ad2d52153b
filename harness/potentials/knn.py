"""The memoriser: forces by similarity to the nearest environments in training, energies to training molecules.

It knows nothing about how molecules are composed. If its error grows as much on unseen combinations as that of a
network, the network may have only memorised.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from dataset_builders.core.errors import ModelError
from harness.baselines.memory import LabelledFrames, Memory
from harness.compute.device import require_cpu_and_float64
from harness.compute.elements import require_elements_of_batch
from harness.core.batch import Prediction, StructureBatch
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.networks.checkpoint_format import CONFIG_FILE, WEIGHTS_FILE
from harness.potentials.control_traits import control_traits, reference_energy

if TYPE_CHECKING:
    from harness.networks.control_checkpoints import ControlConfig, Tensors

FAMILY: Final = Family(
    "knn", __name__, "torchani", extra="torchani", folder=("config.json", "model.safetensors"), in_config=True
)

NAME: Final = "knn"
PACKAGES: Final = ("numpy", "safetensors", "scipy", "torch", "torchani")
NEIGHBOURS: Final = "n_neighbours"
"""The setting for the number of nearest environments."""

_TENSORS: Final = {
    "atomic_numbers": "uint8",
    "positions": "float32",
    "forces": "float32",
    "n_atoms": "int64",
    "energy": "float64",
}


class KnnPotential:
    """Remembered frames plus one reference energy for each atom.

    Args:
        memory: The frames.
        config: The config of its checkpoint.
        traits: Its traits.
    """

    def __init__(self, memory: Memory, config: "ControlConfig", traits: PotentialTraits) -> None:
        self._memory = memory
        self._config = config
        self._traits = traits

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å); the forces are not the gradient of the energies.

        Raises:
            ModelError: If a structure contains an element that it was not trained on.
        """
        require_elements_of_batch(self._traits, batch)
        energy, forces = self._memory.energies_and_forces(batch, int(self._config.settings[NEIGHBOURS]))
        return Prediction(energy + reference_energy(batch, self._config), forces, {})


def load(path: Path, options: LoadOptions) -> Potential:
    """Loads a checkpoint folder of `python -m harness train --arch knn`.

    Args:
        path: Folder with `config.json` and `model.safetensors`.
        options: Device and precision.

    Raises:
        ModelError: If the checkpoint is incomplete, corrupt or of an unknown version.
        UsageError: If a device other than the CPU or a precision other than float64, or a readout head, was requested.
        MissingPackageError: If TorchANI is not installed.
    """
    require_cpu_and_float64(str(path), options)
    options.require_no_head(str(path))
    from harness.networks.control_checkpoints import read_control

    config, tensors = read_control(path, NAME)
    n_neighbours = config.settings.get(NEIGHBOURS, 0.0)
    if n_neighbours < 1 or n_neighbours % 1:
        raise ModelError(
            f"{path / CONFIG_FILE}: settings.{NEIGHBOURS} is {n_neighbours:g}; expected a whole number of 1 or more"
        )
    traits = control_traits(path, config, PACKAGES, conservative=False)
    return KnnPotential(Memory(_frames(tensors, config, path)), config, traits)


def tensors_of(frames: LabelledFrames) -> "Tensors":
    """The frames as tensors of a checkpoint."""
    batch = frames.batch
    arrays = (batch.atomic_numbers, batch.positions, frames.forces, batch.n_atoms, frames.energy)
    return {
        name: np.ascontiguousarray(array, dtype=dtype)
        for (name, dtype), array in zip(_TENSORS.items(), arrays, strict=True)
    }


def _frames(tensors: "Tensors", config: "ControlConfig", path: Path) -> LabelledFrames:
    if {name: str(tensor.dtype) for name, tensor in tensors.items()} != _TENSORS:
        found = ", ".join(f"{name} ({tensor.dtype})" for name, tensor in sorted(tensors.items()))
        expected = ", ".join(f"{name} ({dtype})" for name, dtype in sorted(_TENSORS.items()))
        raise ModelError(f"{path / WEIGHTS_FILE} contains {found}; expected {expected}. Copy the checkpoint again")
    n_atoms, numbers = tensors["n_atoms"], tensors["atomic_numbers"]
    total, n_frames = numbers.size, n_atoms.size
    shapes = {"atomic_numbers": (total,), "positions": (total, 3), "forces": (total, 3)}
    shapes |= {"n_atoms": (n_frames,), "energy": (n_frames,)}
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ModelError(
                f"tensor {name!r} of {path / WEIGHTS_FILE} has shape {tensors[name].shape}; expected {shape}"
            )
    if n_frames == 0 or n_atoms.min() < 1 or n_atoms.sum() != total or set(numbers.tolist()) != set(config.elements):
        raise ModelError(
            f"{path / WEIGHTS_FILE} contains {n_frames} frames with {n_atoms.sum()} atoms in total, {total} atomic "
            f"numbers, and the elements {sorted(set(numbers.tolist()))}; expected complete frames of the elements "
            f"{config.elements}"
        )
    batch = StructureBatch(numbers, tensors["positions"], n_atoms, ("",) * n_frames)
    return LabelledFrames(batch, tensors["energy"], tensors["forces"])
