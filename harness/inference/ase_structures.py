"""Molecules of ASE as a batch: neutral, closed-shell, not periodic, or refused."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.chemistry.charge_and_spin import state_problem
from dataset_builders.core.errors import DataError, UsageError
from harness.core.batch import StructureBatch

if TYPE_CHECKING:
    from ase import Atoms

SMILES_KEY: Final = "smiles"
"""Entry of `Atoms.info` with the SMILES of a molecule, for models that need bonds."""
_HEAVIEST: Final = 118


def batch_of(structures: "Sequence[Atoms]", smiles: Sequence[str] | None = None) -> StructureBatch:
    """Molecules of ASE as a batch, which copies their positions.

    Args:
        structures: Molecules. A cell without periodic boundaries has no effect.
        smiles: SMILES of each, for models that need bonds; the atoms must stand in RDKit's order,
            `AddHs(MolFromSmiles(smiles))`. `None` for the entries `smiles` of `Atoms.info`, where they exist.

    Raises:
        UsageError: If there is no molecule, or one is periodic, charged, open-shell or without atoms, or the number of
            SMILES differs.
        DataError: If a position is not finite or an atom is of no element.
    """
    if not structures:
        raise UsageError("there are no structures; expected one or more ase.Atoms")
    if smiles is not None and len(smiles) != len(structures):
        raise UsageError(f"{len(smiles)} SMILES for {len(structures)} structures; expected one each")
    for number, atoms in enumerate(structures):
        place = f"structure {number}" if len(structures) > 1 else "the structure"
        require_molecule(atoms, place)
        _require_finite(atoms, place)
    return StructureBatch(
        atomic_numbers=np.concatenate([atoms.numbers for atoms in structures]).astype(np.int64),
        positions=np.concatenate([atoms.positions for atoms in structures]).astype(np.float64),
        n_atoms=np.array([len(atoms) for atoms in structures], dtype=np.int64),
        smiles=tuple(smiles if smiles is not None else map(smiles_of, structures)),
    )


def smiles_of(atoms: "Atoms") -> str:
    """The SMILES that `Atoms.info` gives; empty where it gives none.

    Raises:
        UsageError: If it is no text.
    """
    smiles = atoms.info.get(SMILES_KEY, "")
    if not isinstance(smiles, str):
        raise UsageError(f"atoms.info[{SMILES_KEY!r}] is {smiles!r}; expected the SMILES of the molecule")
    return smiles


def require_molecule(atoms: "Atoms", place: str) -> None:
    """Checks that a structure is one that the models of the harness describe.

    Args:
        atoms: The structure.
        place: What messages call it.

    Raises:
        UsageError: If it has no atoms, or is periodic, charged or open-shell.
        DataError: If an atom is of no element.
    """
    if not len(atoms):
        raise UsageError(f"{place} has no atoms; expected a molecule")
    strange = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > _HEAVIEST))
    if strange.size:
        raise DataError(
            f"atom {strange[0]} of {place} has atomic number {atoms.numbers[strange[0]]}; expected an element, 1 to "
            f"{_HEAVIEST}"
        )
    formula = atoms.get_chemical_formula()
    if atoms.pbc.any():
        raise UsageError(
            f"{place} ({formula}) is periodic, pbc {atoms.pbc.tolist()}; the harness computes molecules, so set "
            "atoms.pbc = False"
        )
    stated = [f"{key} {_shown(value)}" for key, value in _state(atoms) if _is_other_state(key, value, atoms)]
    if stated:
        raise UsageError(
            f"{place} ({formula}) states {', '.join(stated)}; expected a neutral closed-shell molecule (charge 0, spin "
            "multiplicity 1), the only kind that the harness computes. Correct or delete the entry"
        )
    n_electrons = int(atoms.numbers.sum())
    if n_electrons % 2:
        raise UsageError(
            f"{place} ({formula}) has {n_electrons} electrons when neutral, so one is unpaired; expected a "
            "closed shell, the only kind that the harness computes"
        )


def _state(atoms: "Atoms") -> Iterator[tuple[str, Any]]:
    """What a structure says of its charge and spin, and whatever else it says."""
    yield from atoms.info.items()
    if atoms.has("initial_charges"):
        yield "initial_charges", atoms.get_initial_charges()
    if atoms.has("initial_magmoms"):
        yield "initial_magmoms", atoms.get_initial_magnetic_moments()


def _is_other_state(key: str, value: Any, atoms: "Atoms") -> bool:
    return state_problem([(key, value)], atoms.numbers, spin="multiplicity") is not None


def _shown(value: Any) -> str:
    return f"{value!s:.60}"


def _require_finite(atoms: "Atoms", place: str) -> None:
    lost = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if lost.size:
        raise DataError(
            f"atom {lost[0]} of {place} is at {atoms.positions[lost[0]].tolist()}; expected finite positions, Å. If "
            "this came up during a simulation, try a shorter time step or a lower temperature"
        )
