"""Rows of a result besides its splits: errors by spacer length, fragment pair, fragment and molecule."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

import numpy as np

from dataset_builders.core.arrays import IntArray
from harness.results.result import (
    Estimate,
    FragmentResult,
    MoleculeResult,
    PairResult,
    PartName,
    SpacerResult,
)
from harness.scoring.clusters import Clusters
from harness.scoring.influences import MoleculeSums
from harness.scoring.intervals import Interval, IntervalSettings, ratio_interval
from harness.scoring.metric_terms import CentredEnergies
from harness.scoring.metrics import UNITS
from harness.scoring.paired_frames import Molecule
from harness.scoring.totals import SplitTotals

TestSplit = Literal["test_id", "test_ood"]
_SUBSETS: Final[tuple[Literal["near", "far"], ...]] = ("near", "far")
_Key = TypeVar("_Key", int, tuple[str, str])


@dataclass(frozen=True, slots=True)
class Part:
    """A split or subset, its metrics summed by molecule, and the clusters of its molecules."""

    name: PartName
    totals: SplitTotals
    sums: dict[str, MoleculeSums]
    centred: CentredEnergies
    clusters: Clusters
    settings: IntervalSettings

    @property
    def molecules(self) -> tuple[Molecule, ...]:
        """Molecules with at least one computed frame."""
        return self.totals.molecules

    @property
    def n_failed(self) -> int:
        """Frames that could not be computed."""
        return len(self.totals.failures)

    def group_intervals(self, group: "_Group") -> tuple[Estimate, Estimate]:
        """Force MAE and centred energy MAE of a group of molecules."""
        positions = group.positions
        clusters = self.clusters.select(positions)
        n_frames = int(self.totals.n_frames[positions].sum())
        force, energy = (
            estimate_of(
                of_the_computed(
                    ratio_interval(self.sums[name].select(positions), clusters, "log", self.settings),
                    group.n_failed,
                    n_frames,
                ),
                UNITS[name],
            )
            for name in ("force_mae", "centred_energy_mae")
        )
        return force, energy


@dataclass(frozen=True, slots=True)
class _Group:
    """Molecules with a common property: positions of those with a computed frame, and the number of failed frames."""

    positions: IntArray
    n_failed: int


def by_spacer(split: TestSplit, part: Part) -> list[SpacerResult]:
    """Errors by spacer length."""
    rows = []
    for spacer, group in _groups(part.totals, lambda molecule: molecule.spacer):
        force, energy = part.group_intervals(group)
        rows.append(
            SpacerResult(
                split=split,
                spacer=spacer,
                n_molecules=len(group.positions),
                force_mae=force,
                centred_energy_mae=energy,
            )
        )
    return rows


def by_pair(split: TestSplit, part: Part) -> list[PairResult]:
    """Errors by fragment pair."""
    rows = []
    for (left, right), group in _groups(part.totals, lambda molecule: (molecule.left, molecule.right)):
        force, energy = part.group_intervals(group)
        rows.append(
            PairResult(
                split=split,
                left=left,
                right=right,
                n_molecules=len(group.positions),
                force_mae=force,
                centred_energy_mae=energy,
            )
        )
    return rows


def _groups(totals: SplitTotals, key: Callable[[Molecule], _Key]) -> list[tuple[_Key, _Group]]:
    """The groups in order; a group whose frames all failed has no positions."""
    positions: dict[_Key, list[int]] = {}
    for position, molecule in enumerate(totals.molecules):
        positions.setdefault(key(molecule), []).append(position)
    lost = [key(failure.molecule) for failure in totals.failures]
    for name in lost:
        positions.setdefault(name, [])
    return [(name, _Group(np.array(positions[name], dtype=np.int64), lost.count(name))) for name in sorted(positions)]


def by_molecule(split: TestSplit, part: Part) -> list[MoleculeResult]:
    """Errors of each molecule."""
    n_frames = part.totals.n_frames
    n_atoms = n_frames * part.totals.n_atoms
    force, energy, zero = (part.sums[name] for name in ("force_mae", "centred_energy_mae", "zero_force_mae"))
    lost = Counter(failure.molecule.molecule_id for failure in part.totals.failures)
    return [
        MoleculeResult(
            split=split,
            molecule_id=molecule.molecule_id,
            drawn=part.clusters.names[position],
            n_frames=int(n_frames[position]),
            n_atoms=int(n_atoms[position]),
            force_mae=float(force.numerator[position] / force.weight[position]),
            centred_energy_mae=energy.select(np.array([position])).value,
            n_failed=lost[molecule.molecule_id],
            subset=next((name for name in _SUBSETS if name == molecule.subset), ""),
            zero_force_mae=float(zero.numerator[position] / zero.weight[position]),
        )
        for position, molecule in enumerate(part.molecules)
    ]


def by_fragment(test_id: Part, test_ood: Part) -> list[FragmentResult]:
    """Errors of each drawn fragment, over the molecules that contain it."""
    rows = []
    for name in sorted({*test_id.clusters.distinct, *test_ood.clusters.distinct}):
        known, unseen = (
            part.sums["force_mae"].select(part.clusters.members(name)).value for part in (test_id, test_ood)
        )
        gap = unseen / known if known and unseen is not None else None
        rows.append(FragmentResult(fragment=name, id_force_mae=known, ood_force_mae=unseen, gap=gap))
    return rows


def of_the_computed(interval: Interval, n_failed: int, n_frames: int, counted: str = "frames") -> Interval:
    """Accounts for failed frames: the value covers only the computed frames and has no interval.

    Args:
        interval: The number, of the computed frames.
        n_failed: Frames that failed.
        n_frames: Computed frames of the same group.
        counted: What the counts are of.
    """
    if not n_failed:
        return interval
    if not n_frames:
        return Interval(None, reason=f"all {n_failed} {counted} failed")
    failed = f"{n_failed} of {n_failed + n_frames} {counted} failed"
    if interval.value is None:
        return replace(interval, reason=f"{interval.reason}; {failed}")
    reason = f"no interval: {failed}, and the value is that of the others"
    return Interval(interval.value, reason=reason, n_clusters=interval.n_clusters)


def estimate_of(interval: Interval, unit: str) -> Estimate:
    """Converts a number with its interval to the form of a result."""
    return Estimate(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        unit=unit,
        reason=interval.reason,
        n_clusters=interval.n_clusters,
    )
