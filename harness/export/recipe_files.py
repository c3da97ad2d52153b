"""The values that fill in the recipes of `TRAINING.md`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from harness.export.keys import LabelKeys

NOT_RUN: Final = "Written from its documentation, not run."


@dataclass(frozen=True, slots=True)
class RecipeFiles:
    """The values that fill in a recipe.

    Attributes:
        train: File of the training frames.
        validation: File of the validation frames.
        keys: Names of the labels.
        energies: Reference energies, eV, by symbol.
        force_rms: Root mean square of the forces, eV/Å.
    """

    train: str
    validation: str
    keys: LabelKeys
    energies: Mapping[str, float]
    force_rms: float

    @property
    def symbols(self) -> str:
        """The elements as a YAML and TOML list."""
        return f"[{', '.join(self.energies)}]"

    @property
    def by_symbol(self) -> str:
        """The reference energies in YAML."""
        return "{" + ", ".join(f"{symbol}: {energy!r}" for symbol, energy in self.energies.items()) + "}"
