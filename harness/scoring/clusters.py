"""Clusters of molecules: those that share a drawn fragment."""

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
        part: Name of the split or subset; equal names mean the same molecules.
        kind: Sampling unit.
        names: Clusters of each molecule, length n_molecules.
    """

    part: str
    kind: ClusterKind
    names: tuple[tuple[str, ...], ...]

    @property
    def n_molecules(self) -> int:
        """Number of molecules."""
        return len(self.names)

    @property
    def distinct(self) -> tuple[str, ...]:
        """The distinct clusters, in alphabetical order."""
        return tuple(sorted({name for names in self.names for name in names}))

    @property
    def is_fixed(self) -> BoolArray:
        """Which molecules have no drawn fragment, shape (n_molecules,)."""
        return np.array([not names for names in self.names], dtype=np.bool_)

    def select(self, positions: IntArray) -> "Clusters":
        """The clusters of selected molecules, by position."""
        return Clusters(self.part, self.kind, tuple(self.names[position] for position in positions))

    def members(self, name: str) -> IntArray:
        """Positions of the molecules in a cluster."""
        return np.array([place for place, names in enumerate(self.names) if name in names], dtype=np.int64)


def clusters_of(part: str, molecule_ids: Sequence[str], drawn: Drawn) -> Clusters:
    """The clusters of the molecules in a split or subset."""
    return Clusters(part, drawn.kind, tuple(drawn.of(molecule_id) for molecule_id in molecule_ids))
