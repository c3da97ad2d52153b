"""The parts of a generalisation gap, and errors by end-to-end contact, as a result holds them."""

import math
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from harness.results.estimate import Count, Estimate, Record

TOLERANCE: Final = 1e-9
"""Maximum difference between the logarithm of a gap and the sum of those of its factors."""

ContactName = Literal["contact", "apart"]


class RotamerErrors(Record):
    """Errors on ID frames whose rotamer `train` shows of the same molecule, and on those of other rotamers.

    Attributes:
        n_unseen: ID frames with an unseen rotamer.
        n_seen: ID frames with a seen one.
        seen_force_mae: eV/Å.
        unseen_force_mae: eV/Å.
        n_molecules: Training molecules with ID frames of both kinds.
        ratio: Error of unseen divided by that of seen rotamers, within these molecules.
        share_of_atoms: Share of the OOD atoms whose environment these molecules contain.
    """

    n_unseen: Count
    n_seen: Count
    seen_force_mae: Estimate
    unseen_force_mae: Estimate
    n_molecules: Count
    ratio: Estimate
    share_of_atoms: Annotated[float, Field(ge=0.0, le=1.0)]


class Anatomy(Record):
    """The gap of the force MAE as a product of factors; docs/anatomy.md defines them.

    The gap is composition x conformers x remaining, and remaining is unseen_parts x combination. A factor that the data
    do not determine has no value, with the reason; its effect is then part of `remaining`.

    Attributes:
        composition: Which atoms the OOD molecules have.
        conformers: Rotamers that `train` does not show.
        remaining: What neither explains.
        unseen_parts: Torsion types and pairs of heavy elements that no training molecule has.
        combination: The remaining excess of OOD molecules whose parts all occur in training.
        n_molecules: Number of OOD molecules.
        n_parts_shown: OOD molecules whose parts all occur in training.
        rotamers: The errors that determine `conformers`; `None` without a gap or without training frames.
    """

    composition: Estimate
    conformers: Estimate
    remaining: Estimate
    unseen_parts: Estimate
    combination: Estimate
    n_molecules: Count
    n_parts_shown: Count
    rotamers: RotamerErrors | None

    @property
    def factors(self) -> dict[str, Estimate]:
        """The factors that have a value and multiply to the gap, by name; none without a gap."""
        names = ["composition", "conformers"]
        is_divided = self.unseen_parts.value is not None and self.combination.value is not None
        names += ["unseen_parts", "combination"] if is_divided else ["remaining"]
        return {name: estimate for name in names if (estimate := getattr(self, name)).value is not None}

    @property
    def log_gap(self) -> float | None:
        """The sum of the logarithms of the factors; `None` without a gap."""
        factors = self.factors
        return sum(math.log(each.value or 1.0) for each in factors.values()) if factors else None

    @model_validator(mode="after")
    def _parts_make_up_what_remains(self) -> Self:
        parts = [self.unseen_parts.value, self.combination.value]
        if (parts[0] is None) != (parts[1] is None):
            raise ValueError("unseen_parts and combination have values together or not at all")
        if (self.composition.value is None) != (self.remaining.value is None):
            raise ValueError("composition and remaining have values together or not at all")
        values = [self.composition, self.conformers, self.remaining, self.unseen_parts, self.combination]
        if any(each.value is not None and each.value <= 0.0 for each in values):
            raise ValueError("a factor of a gap is positive")
        if parts[0] is not None and parts[1] is not None and self.remaining.value is not None:
            difference = math.log(parts[0]) + math.log(parts[1]) - math.log(self.remaining.value)
            if abs(difference) > TOLERANCE:
                raise ValueError("unseen_parts and combination do not multiply to remaining")
        return self


class ContactResult(Record):
    """Errors of the frames of a split whose two end fragments are within 5 Å (`contact`), or are not (`apart`).

    Frames of molecules with a single fragment count in neither.
    """

    split: Literal["test_id", "test_ood"]
    contact: ContactName
    n_molecules: Count
    n_frames: Count
    force_mae: Estimate
