"""Names under which a file holds energies and forces."""

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
"""What the files hold beside the labels, or what readers take for something else."""


@dataclass(frozen=True, slots=True)
class LabelKeys:
    """Names of the labels.

    Attributes:
        energy: Of the total energy.
        forces: Of the forces.
    """

    energy: str
    forces: str


REFERENCE_KEYS: Final = LabelKeys("REF_energy", "REF_forces")
"""What MACE asks for; ASE reads them as they are, and keeps them out of the results of a calculator."""

RESULT_KEYS: Final = LabelKeys("energy", "forces")
"""What ASE takes for the results of a calculator."""


def require_usable(keys: LabelKeys) -> None:
    """Checks that readers find labels under these names, and nothing else.

    Raises:
        UsageError: If a name is none, both are one, or one means something else.
    """
    for option, name in (("--energy-key", keys.energy), ("--forces-key", keys.forces)):
        if not _NAME.fullmatch(name):
            raise UsageError(f"{option} {name!r} is no name; expected a letter, then letters, digits and _")
        other = RESULT_KEYS.forces if option == "--energy-key" else RESULT_KEYS.energy
        if name.lower() in _TAKEN or name == other:
            raise UsageError(f"{option} {name}: readers take {name} for something else; choose another name")
    if keys.energy == keys.forces:
        raise UsageError(f"--energy-key and --forces-key are both {keys.energy}; expected two names")
