"""MMFF94 energies and forces, through RDKit.

Source: Halgren, J. Comput. Chem. 17, 490 (1996). The force field needs bonds, so it is set up from the SMILES, with the
atoms in the order of `AddHs(MolFromSmiles(smiles))`.
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray, require_shape
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.units import KCAL_PER_MOL

if TYPE_CHECKING:
    from rdkit.Chem import Mol


@functools.lru_cache(maxsize=4096)
def molecule(smiles: str) -> "Mol":
    """The RDKit molecule with explicit hydrogens, in the atom order of every frame.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    from rdkit import Chem

    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise DataError(f"RDKit cannot read the SMILES {smiles!r}")
    return Chem.AddHs(mol)


@functools.lru_cache(maxsize=4096)
def atomic_numbers_of(smiles: str) -> IntArray:
    """Atomic numbers, shape (n_atoms,), in the atom order of every frame. Do not modify it."""
    numbers = np.array([atom.GetAtomicNum() for atom in molecule(smiles).GetAtoms()], dtype=np.uint8)
    numbers.flags.writeable = False
    return numbers


class Mmff94:
    """The MMFF94 force field of one molecule.

    Args:
        smiles: SMILES of the molecule.

    Raises:
        UsageError: If MMFF94 has no parameters for it.
    """

    def __init__(self, smiles: str) -> None:
        from rdkit import Chem
        from rdkit.Chem import rdForceFieldHelpers
        from rdkit.ForceField import rdForceField  # noqa: F401 (registers the classes that the helpers return)

        self._mol = Chem.Mol(molecule(smiles))
        self._mol.AddConformer(Chem.Conformer(self._mol.GetNumAtoms()))
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(self._mol, mmffVariant="MMFF94")
        if properties is None:
            raise UsageError(f"MMFF94 has no parameters for {smiles}")
        self._field: Any = rdForceFieldHelpers.MMFFGetMoleculeForceField(self._mol, properties)

    def singlepoint(self, positions: FloatArray) -> tuple[float, FloatArray]:
        """Energy (eV) and forces (eV/Å, shape (n_atoms, 3)) at positions of shape (n_atoms, 3), Å.

        Raises:
            ShapeError: If the numbers of positions and atoms differ.
        """
        require_shape("positions", positions, (self._mol.GetNumAtoms(), 3))
        flat = np.asarray(positions, dtype=np.float64).ravel().tolist()
        # Without CalcEnergy first, CalcGrad uses the distances of the previous geometry (rdkit 2026.9.1).
        energy = self._field.CalcEnergy(flat)
        gradient = np.array(self._field.CalcGrad(flat), dtype=np.float64).reshape(-1, 3)
        return float(energy) * KCAL_PER_MOL, -gradient * KCAL_PER_MOL
