"""Which molecules go together when fragments are drawn: those that have one in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.tasks.drawn import ClusterKind, Drawn
from harness.scoring.metric_terms import BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """The clusters of the molecules of a split or subset.

    Attributes:
        part: Name of the split or subset; what is said of two parts of one name is of the same molecules.
        kind: What is drawn.
        names: Clusters of each molecule, n_molecules of them.
    """

    part: str
    kind: ClusterKind
    names: tuple[tuple[str, ...], ...]

    @property
    def n_molecules(self) -> int:
        """How many molecules there are."""
        return len(self.names)

    @property
    def distinct(self) -> tuple[str, ...]:
        """The clusters that there are, in alphabetical order."""
        return tuple(sorted({name for names in self.names for name in names}))

    @property
    def is_fixed(self) -> BoolArray:
        """Which molecules have no drawn fragment, shape (n_molecules,)."""
        return np.array([not names for names in self.names], dtype=np.bool_)

    def select(self, positions: IntArray) -> "Clusters":
        """The clusters of some of the molecules, by position."""
        return Clusters(self.part, self.kind, tuple(self.names[position] for position in positions))

    def members(self, name: str) -> IntArray:
        """Positions of the molecules of a cluster."""
        return np.array([place for place, names in enumerate(self.names) if name in names], dtype=np.int64)


def clusters_of(part: str, molecule_ids: Sequence[str], drawn: Drawn) -> Clusters:
    """The clusters of the molecules of a split or subset."""
    return Clusters(part, drawn.kind, tuple(drawn.of(molecule_id) for molecule_id in molecule_ids))
