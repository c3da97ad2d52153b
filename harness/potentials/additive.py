"""The additive control: a force field of bonds, angles and torsions, linear in its parameters and fitted to one task.

Its energy is a sum over small groups of bonded atoms, so it is compositional by construction: where its error on unseen
combinations is close to that on training molecules, the parts determine the whole.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.core.errors import DataError, ModelError
from harness.baselines.force_field.energy_terms import BASES, KINDS
from harness.baselines.force_field.model import ForceField
from harness.compute.device import require_cpu_and_float64
from harness.compute.elements import require_elements_of_batch
from harness.core.batch import Prediction, StructureBatch
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.networks.checkpoint_format import CONFIG_FILE, WEIGHTS_FILE
from harness.potentials.control_traits import control_traits, reference_energy

if TYPE_CHECKING:
    from harness.networks.control_checkpoints import ControlConfig, Tensors

FAMILY: Final = Family("additive", __name__, "rdkit", folder=("config.json", "model.safetensors"), in_config=True)

NAME: Final = "additive"
PACKAGES: Final = ("numpy", "rdkit", "safetensors")


class AdditivePotential:
    """A fitted force field plus one reference energy for each atom.

    Args:
        field: The force field.
        config: The config of its checkpoint.
        traits: Its traits.
    """

    def __init__(self, field: ForceField, config: "ControlConfig", traits: PotentialTraits) -> None:
        self._field = field
        self._config = config
        self._traits = traits

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å); a molecule with terms that are absent from training is a failure.

        Raises:
            ModelError: If a structure contains an element that it was not trained on.
            DataError: If the atoms of a structure are not those of its SMILES, in RDKit's order.
        """
        require_elements_of_batch(self._traits, batch)
        energy = np.full(batch.n_structures, np.nan)
        forces = np.full((len(batch.atomic_numbers), 3), np.nan)
        failures: dict[int, str] = {}
        for smiles in dict.fromkeys(batch.smiles):
            chosen = np.array([index for index, each in enumerate(batch.smiles) if each == smiles])
            _require_atoms_of(smiles, chosen, batch)
            atoms = batch.offsets[chosen][:, None] + np.arange(batch.n_atoms[chosen[0]])
            try:
                # If atoms coincide, the result is not finite, and the caller counts it as a failure.
                with np.errstate(divide="ignore", invalid="ignore"):
                    energy[chosen], forces[atoms] = self._field.energies_and_forces(smiles, batch.positions[atoms])
            except ModelError as cause:
                failures |= dict.fromkeys(chosen.tolist(), str(cause))
        return Prediction(energy + reference_energy(batch, self._config), forces, failures)


def load(path: Path, options: LoadOptions) -> Potential:
    """Loads a checkpoint folder of `python -m harness train --arch additive`.

    Args:
        path: Folder with `config.json` and `model.safetensors`.
        options: Device and precision.

    Raises:
        ModelError: If the checkpoint is incomplete, corrupt or of an unknown version.
        UsageError: If a device other than the CPU or a precision other than float64, or a readout head, was requested.
    """
    require_cpu_and_float64(str(path), options)
    options.require_no_head(str(path))
    from harness.networks.control_checkpoints import read_control

    config, tensors = read_control(path, NAME)
    _require_coefficients(tensors, path)
    origins = {name: tensor for name, tensor in tensors.items() if name.startswith("origin/")}
    coefficients = {name: tensor for name, tensor in tensors.items() if name not in origins}
    return AdditivePotential(
        ForceField(coefficients, origins), config, control_traits(path, config, PACKAGES, conservative=True)
    )


def _require_atoms_of(smiles: str, chosen: "np.ndarray", batch: StructureBatch) -> None:
    expected = atomic_numbers_of(smiles)
    for index in chosen:
        found = batch.atomic_numbers[batch.offsets[index] : batch.offsets[index + 1]]
        if not np.array_equal(found, expected):
            raise DataError(
                f"structure {index} of the batch has atomic numbers {found.tolist()}, but its SMILES {smiles} has "
                f"{expected.tolist()}; expected the order of AddHs(MolFromSmiles(smiles))"
            )


def _require_coefficients(tensors: "Tensors", path: Path) -> None:
    """Checks that each tensor belongs to a type of term, or is the origin of a coordinate."""
    lengths = {"origin": 2, "atom": 1} | {kind: len(BASES[kind]) for kind in KINDS}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if not rest or kind not in lengths:
            raise ModelError(
                f"{path / WEIGHTS_FILE} contains the unexpected tensor {name!r}; expected the coefficients of an "
                f"additive force field, as declared in its {CONFIG_FILE}. Copy the checkpoint again"
            )
        if tensor.shape != (lengths[kind],) or tensor.dtype != np.float64:
            raise ModelError(
                f"tensor {name!r} of {path / WEIGHTS_FILE} is {tensor.dtype} of shape {tensor.shape}; expected float64 "
                f"of shape ({lengths[kind]},). Copy the checkpoint again"
            )
        if kind == "origin" and not tensor[1] > 0.0:
            raise ModelError(
                f"tensor {name!r} of {path / WEIGHTS_FILE} has spread {tensor[1]}; expected a positive number"
            )
