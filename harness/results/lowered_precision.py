"""What it changes that a model was computed in a lower precision than its checkpoint was saved in."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import Field, FiniteFloat, model_validator

from harness.core.potential import SavedDtypeName
from harness.results.estimate import Count, Record

_LONGEST_REASON: Final = 1000
_Difference = Annotated[FiniteFloat, Field(ge=0.0)]


class LoweredPrecision(Record):
    """Differences between the precision that was used and that of the checkpoint, on a sample of a run's structures.

    Attributes:
        saved: Precision of the checkpoint, in which the sample was computed, too; `None` if it could not be found out.
        seed: Seed of the sample.
        n_structures: Structures that were computed in both.
        n_atoms: Atoms of these.
        n_failed: Structures of the sample that could not be computed in one of the two; they are left out.
        largest_force: Largest absolute difference of a force component, eV/Å.
        mean_force: Mean absolute difference of the force components, eV/Å.
        largest_energy_per_atom: Largest absolute difference of an energy, divided by the number of atoms, eV.
        mean_energy_per_atom: Mean over structures of the same, eV.
        reason: Why there are no differences.
    """

    saved: SavedDtypeName | None
    seed: Count
    n_structures: Count
    n_atoms: Count
    n_failed: Count = 0
    largest_force: _Difference | None = None
    mean_force: _Difference | None = None
    largest_energy_per_atom: _Difference | None = None
    mean_energy_per_atom: _Difference | None = None
    reason: Annotated[str, Field(min_length=1, max_length=_LONGEST_REASON)] | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it has differences."""
        return self.reason is None

    @property
    def text(self) -> str:
        """The differences with their units, or why there are none."""
        if not self.is_measured:
            saved = "the precision of the checkpoint" if self.saved is None else f"{self.saved} of the checkpoint"
            return f"not compared with {saved}: {self.reason}"
        failed = f", {self.n_failed} more failed" if self.n_failed else ""
        counted = f"{self.n_structures} structure{'' if self.n_structures == 1 else 's'}"
        return (
            f"differs from {self.saved} of the checkpoint by at most {self.largest_force:.2g} eV/Å and "
            f"{self.largest_energy_per_atom:.2g} eV/atom "
            f"(mean {self.mean_force:.2g} and {self.mean_energy_per_atom:.2g}; {counted}{failed})"
        )

    @model_validator(mode="after")
    def _explains_what_is_missing(self) -> Self:
        pairs = (
            (self.mean_force, self.largest_force),
            (self.mean_energy_per_atom, self.largest_energy_per_atom),
        )
        numbers = [number for pair in pairs for number in pair]
        if any((number is None) != (self.reason is not None) for number in numbers):
            raise ValueError("all differences are needed, or a reason why there are none")
        if self.reason is None and self.saved is None:
            raise ValueError("differences from an unknown precision")
        if self.reason is None and not 0 < self.n_structures <= self.n_atoms:
            raise ValueError(f"differences of {self.n_structures} structures with {self.n_atoms} atoms")
        # A mean of equal numbers may exceed them by rounding.
        if any(mean > largest * (1.0 + 1e-12) for mean, largest in pairs if mean is not None and largest is not None):
            raise ValueError("a mean difference exceeds the largest")
        return self


def joint_lowering(members: Mapping[str, LoweredPrecision | None]) -> LoweredPrecision | None:
    """What lowering the precision changed in several models together; `None` if none of them was lowered.

    Args:
        members: By name of the model; `None` where it was computed in the precision of its checkpoint.
    """
    known = {name: each for name, each in members.items() if each is not None}
    if not known:
        return None
    each = list(known.values())
    reasons = [f"{name}: {one.reason}" for name, one in known.items() if not one.is_measured]
    weights = [one.n_atoms for one in each], [one.n_structures for one in each]
    return LoweredPrecision(
        saved=next((one.saved for one in each if one.saved is not None), None),
        seed=each[0].seed,
        n_structures=sum(one.n_structures for one in each),
        n_atoms=sum(one.n_atoms for one in each),
        n_failed=sum(one.n_failed for one in each),
        largest_force=_largest([one.largest_force for one in each]),
        mean_force=_mean([one.mean_force for one in each], weights[0]),
        largest_energy_per_atom=_largest([one.largest_energy_per_atom for one in each]),
        mean_energy_per_atom=_mean([one.mean_energy_per_atom for one in each], weights[1]),
        reason="; ".join(reasons)[:_LONGEST_REASON] or None,
    )


def _largest(values: Sequence[float | None]) -> float | None:
    """`None` if one is missing."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _mean(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
    """`None` if one is missing."""
    terms = [value * weight for value, weight in zip(values, weights, strict=True) if value is not None]
    return math.fsum(terms) / sum(weights) if len(terms) == len(values) else None
