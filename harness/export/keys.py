"""Names of energies and forces in a file."""

import re
from dataclasses import dataclass
from typing import Final

from dataset_builders.core.errors import UsageError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", flags=re.ASCII)

_TAKEN: Final = frozenset(
    {
        "atomic_numbers",
        "charge",
        "frame",
        "lattice",
        "molecule_id",
        "molecule_idx",
        "n_atoms",
        "numbers",
        "offsets",
        "pbc",
        "pos",
        "positions",
        "properties",
        "smiles",
        "species",
        "spin",
        "spin_multiplicity",
        "symbols",
        "trajectory",
        "z",
    }
)
"""Names of other columns in the files, or names to which readers give another meaning."""


@dataclass(frozen=True, slots=True)
class LabelKeys:
    """Names of the labels.

    Attributes:
        energy: Name of the total energy.
        forces: Name of the forces.
    """

    energy: str
    forces: str


REFERENCE_KEYS: Final = LabelKeys("REF_energy", "REF_forces")
"""MACE's default names; ASE reads them unchanged and does not treat them as calculator results."""

RESULT_KEYS: Final = LabelKeys("energy", "forces")
"""Names that ASE reads as calculator results."""


def require_usable(keys: LabelKeys) -> None:
    """Checks that readers will find the labels under these names, without confusion.

    Raises:
        UsageError: If a name is invalid, both are the same, or one has another meaning.
    """
    for option, name in (("--energy-key", keys.energy), ("--forces-key", keys.forces)):
        if not _NAME.fullmatch(name):
            raise UsageError(f"{option} {name!r} is not a valid name; expected a letter, then letters, digits and _")
        other = RESULT_KEYS.forces if option == "--energy-key" else RESULT_KEYS.energy
        if name.lower() in _TAKEN or name == other:
            raise UsageError(f"{option} {name}: {name} has another meaning for readers; choose another name")
    if keys.energy == keys.forces:
        raise UsageError(f"--energy-key and --forces-key are both {keys.energy}; expected different names")
