"""Geometric support of test frames by training frames: counts by split, subset and spacer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal

from dataset_builders.chemistry.environments import Subset

MeasuredSplit = Literal["train", "test_id", "test_ood"]

MEASURED_SPLITS: Final[tuple[MeasuredSplit, ...]] = ("train", "test_id", "test_ood")
"""Splits whose frames are measured. `validation` has frames of the trajectories of `test_id`, for tuning."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of frames, torsions and atoms; sums of groups are sums of their counts.

    Attributes:
        frames: Frames.
        seen_rotamers: Frames whose rotamer the same molecule has in training.
        unseen_types: Frames with a torsion of a type that training never shows.
        unseen_angles: Frames with an unseen angle of a type that training shows.
        torsions: Torsions of types that training shows.
        torsions_beyond: Those of them with an unseen angle.
        unseen_pairs: Frames with two heavy atoms at an unseen distance.
        two_ended: Frames of molecules with a fragment at both ends.
        contacts: Those of them whose ends are in contact.
        hydrogen_bonds: Those of them whose ends are connected by a hydrogen bond.
        atoms: Sampled atoms.
        remote_atoms: Those of them that are remote from training.
    """

    frames: int = 0
    seen_rotamers: int = 0
    unseen_types: int = 0
    unseen_angles: int = 0
    torsions: int = 0
    torsions_beyond: int = 0
    unseen_pairs: int = 0
    two_ended: int = 0
    contacts: int = 0
    hydrogen_bonds: int = 0
    atoms: int = 0
    remote_atoms: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))


@dataclass(frozen=True, slots=True)
class Group:
    """Frames of one split, subset and spacer.

    Attributes:
        split: The split.
        subset: `far` or `near` in the OOD test of a task with subsets, else empty.
        spacer: Number of CH2 groups.
    """

    split: MeasuredSplit
    subset: Subset
    spacer: int


@dataclass(frozen=True, slots=True)
class GeometricSupport:
    """Geometric support of one configuration.

    Attributes:
        config: Name of the configuration.
        groups: Counts of each group of frames.
    """

    config: str
    groups: Mapping[Group, Counts]

    def total(self, chosen: Callable[[Group], bool]) -> Counts:
        """Sum of the counts of the chosen groups."""
        return sum((counts for group, counts in self.groups.items() if chosen(group)), Counts())

    def of_split(self, split: MeasuredSplit, subset: Subset | None = None) -> Counts:
        """Counts of a split, or of a subset of it."""
        return self.total(lambda group: group.split == split and subset in (None, group.subset))

    def subsets(self) -> tuple[Subset, ...]:
        """Subsets of the OOD test: `far` and `near`, or none."""
        found = {group.subset for group in self.groups if group.split == "test_ood"} - {""}
        return tuple(sorted(found))
