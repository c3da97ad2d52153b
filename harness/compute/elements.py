"""Rejects molecules with elements that a potential has no parameters for."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import ModelError, ShapeError
from harness.core.batch import StructureBatch
from harness.core.potential import PotentialTraits

MAX_NAMED: Final = 5
"""Number of molecules that a message names."""


def require_elements(
    traits: PotentialTraits, atomic_numbers: IntArray, where: Sequence[str] | npt.NDArray[np.str_]
) -> None:
    """Checks that a potential has parameters for every atom.

    Args:
        traits: Traits of the potential.
        atomic_numbers: Shape (n_atoms,).
        where: Name of the molecule that each atom belongs to, length n_atoms.

    Raises:
        ModelError: If it lacks some; the message names the elements, the first molecules that contain
            them and the elements that the potential supports.
        ShapeError: If there is not one name for each atom.
    """
    if len(where) != len(atomic_numbers):
        raise ShapeError(f"{len(where)} molecule names for {len(atomic_numbers)} atoms; expected one for each atom")
    if traits.elements is None:
        return
    unknown = ~np.isin(atomic_numbers, sorted(traits.elements))
    if not unknown.any():
        return
    missing = _symbols(frozenset(int(number) for number in atomic_numbers[unknown]))
    molecules = tuple(dict.fromkeys(str(where[int(atom)]) for atom in np.flatnonzero(unknown)))
    named = ", ".join(molecules[:MAX_NAMED])
    if len(molecules) > MAX_NAMED:
        named += f" and {len(molecules) - MAX_NAMED} more"
    raise ModelError(
        f"{traits.model_id} has no parameters for {' '.join(missing)}, which {named} contain(s); "
        f"it supports {' '.join(_symbols(traits.elements))}. Choose a task without these elements or another model"
    )


def require_elements_of_batch(traits: PotentialTraits, batch: StructureBatch) -> None:
    """As `require_elements`, for a packed batch; the message names molecules by their SMILES.

    Raises:
        ModelError: If an element is not among those that the potential has parameters for.
    """
    if traits.elements is not None and not np.isin(batch.atomic_numbers, sorted(traits.elements)).all():
        require_elements(traits, batch.atomic_numbers, np.repeat(np.array(batch.smiles, dtype=np.str_), batch.n_atoms))


def _symbols(atomic_numbers: frozenset[int]) -> tuple[str, ...]:
    from ase.data import chemical_symbols

    return tuple(
        chemical_symbols[number] if number < len(chemical_symbols) else f"Z={number}"
        for number in sorted(atomic_numbers)
    )
