"""MMFF94 as a control: a force field that was not trained on these molecules.

Source: Halgren, J. Comput. Chem. 17, 490 (1996), as implemented in RDKit. Only energy differences between
geometries of one molecule are meaningful.
"""

import functools
from typing import Final

import numpy as np

from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of
from dataset_builders.core.errors import DataError, UsageError
from harness.compute.device import require_cpu_and_float64
from harness.core.batch import Prediction, StructureBatch
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential, PotentialTraits

FAMILY: Final = Family("mmff94", __name__, "rdkit", methods=("mmff94",))

_TRAITS: Final = PotentialTraits(
    model_id="mmff94",
    family="mmff94",
    elements=None,
    packages=("rdkit",),
    protocol="control",
    level_of_theory="MMFF94",
    threads=1,
)
_MAX_FORCE_FIELDS: Final = 1024


class Mmff94Potential:
    """MMFF94 with bonds taken from the SMILES of each structure.

    `elements` is `None` although MMFF94 does not support every element: its parameters are for bonding
    patterns, so a molecule without parameters is reported as a failure.
    """

    def __init__(self) -> None:
        self._force_field = functools.lru_cache(maxsize=_MAX_FORCE_FIELDS)(Mmff94)

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        return _TRAITS

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å); a molecule without parameters is a failure.

        Raises:
            DataError: If the atoms of a structure are not those of its SMILES, in RDKit's order.
        """
        energy = np.full(batch.n_structures, np.nan)
        forces = np.full((len(batch.atomic_numbers), 3), np.nan)
        failures: dict[int, str] = {}
        offsets = batch.offsets
        for index, smiles in enumerate(batch.smiles):
            atoms = slice(offsets[index], offsets[index + 1])
            expected = atomic_numbers_of(smiles)
            if not np.array_equal(batch.atomic_numbers[atoms], expected):
                raise DataError(
                    f"structure {index} of the batch has atomic numbers {batch.atomic_numbers[atoms].tolist()}, but "
                    f"its SMILES {smiles} has {expected.tolist()}; expected the order of AddHs(MolFromSmiles(smiles))"
                )
            try:
                energy[index], forces[atoms] = self._force_field(smiles).singlepoint(batch.positions[atoms])
            except UsageError as cause:
                failures[index] = str(cause)
        return Prediction(energy, forces, failures)


def load(method: str, options: LoadOptions) -> Potential:
    """Loads MMFF94.

    Raises:
        UsageError: If a device other than the CPU or a precision other than float64, or a readout head, was requested.
    """
    require_cpu_and_float64(method, options)
    options.require_no_head(method)
    return Mmff94Potential()
