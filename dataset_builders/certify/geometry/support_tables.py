"""The geometric support as tables."""

from collections.abc import Iterator, Sequence
from typing import Final

from dataset_builders.certify.geometry.support import Counts, GeometricSupport, MeasuredSplit
from dataset_builders.certify.geometry.support_meter import (
    ANGLE_TOLERANCE,
    DISTANCE_LIMIT,
    DISTANCE_TOLERANCE,
    N_TEST_ATOMS,
    N_TRAIN_ATOMS,
    QUANTILE,
)
from dataset_builders.chemistry.conformations import CONTACT
from dataset_builders.chemistry.environments import Subset

SUPPORT_HEADER: Final = (
    "frames of",
    "frames",
    "rotamer seen",
    "torsion type unseen",
    "torsion angle unseen",
    "torsions with unseen angle",
    "heavy-atom distance unseen",
    "atoms remote",
    "ends in contact",
    "hydrogen bond of ends",
)

NOT_MEASURED: Final = (
    "Geometric support was not measured: `certify --without-geometry` leaves it out, and it needs frames of train and "
    "test_ood."
)


LEGEND: Final = (
    "rotamer seen: frames whose rotamer (the wells of all rotatable bonds) the same molecule has in train",
    "torsion type unseen: frames of molecules with a torsion type that training does not have",
    f"torsion angle unseen: frames with an angle more than {ANGLE_TOLERANCE:g}° from every training angle of its type, "
    "signs aside; then the share of such torsions",
    f"heavy-atom distance unseen: frames with two heavy atoms within {DISTANCE_LIMIT:g} Å whose distance is more than "
    f"{DISTANCE_TOLERANCE:g} Å from every training distance of their elements",
    f"atoms remote: atoms whose environment vector (AEV) is farther from training than those of {QUANTILE:.0%} of the "
    f"test_id atoms, in samples of up to {N_TRAIN_ATOMS:,} atoms of train and {N_TEST_ATOMS:,} of each test split",
    f"ends in contact, hydrogen bond of ends: frames with an atom of one end fragment within {CONTACT:g} Å of the "
    "other fragment, or hydrogen-bonded to it; - where no molecule has two end fragments",
)
"""What the columns mean."""


def support_rows(supports: Sequence[GeometricSupport]) -> list[tuple[str, ...]]:
    """Geometric support as table rows under `SUPPORT_HEADER`: test_id, test_ood, and the subsets of test_ood."""
    return [
        row
        for support in supports
        for name, split, subset in _parts(support)
        for row in _rows(support, name, split, subset)
    ]


def _parts(support: GeometricSupport) -> Iterator[tuple[str, MeasuredSplit, Subset | None]]:
    if support.of_split("train").two_ended:
        yield "train", "train", None
    yield "test_id", "test_id", None
    yield "test_ood", "test_ood", None
    for subset in support.subsets():
        yield f"test_ood {subset}", "test_ood", subset


def _rows(
    support: GeometricSupport, name: str, split: MeasuredSplit, subset: Subset | None
) -> Iterator[tuple[str, ...]]:
    counts = support.of_split(split, subset)
    if not counts.frames:
        return
    # Training is what the others are compared with.
    compared = ["-"] * 6 if split == "train" else _compared(counts)
    ends = [share(found, counts.two_ended) for found in (counts.contacts, counts.hydrogen_bonds)]
    yield f"{support.config} {name}", f"{counts.frames:,}", *compared, *ends


def _compared(counts: Counts) -> list[str]:
    frames = (counts.seen_rotamers, counts.unseen_types, counts.unseen_angles)
    return [
        *(share(found, counts.frames) for found in frames),
        share(counts.torsions_beyond, counts.torsions, 1),
        share(counts.unseen_pairs, counts.frames),
        share(counts.remote_atoms, counts.atoms),
    ]


def share(part: int, whole: int, digits: int = 0) -> str:
    """A share as text in percent; `-` of nothing. What is neither 0 nor all is not rounded to them."""
    if not whole:
        return "-"
    if part in (0, whole):
        return "100 %" if part else "0 %"
    least = 10.0**-digits
    percent = 100.0 * part / whole
    if percent <= least / 2.0:
        return f"<{least:g} %"
    if percent >= 100.0 - least / 2.0:
        return f">{100.0 - least:g} %"
    return f"{percent:.{digits}f} %"


def spacer_table(supports: Sequence[GeometricSupport]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows by spacer: seen rotamers of test_id, and end contacts of test_ood by subset."""
    spacers = sorted({group.spacer for support in supports for group in support.groups if group.split != "train"})
    header = ("frames of", "share with", "all", *(f"k = {spacer}" for spacer in spacers))
    rows = []
    for support in supports:
        rows.append(_spacer_row(support, "test_id", None, spacers))
        if support.of_split("test_ood").two_ended:
            subsets: Sequence[Subset | None] = support.subsets() or [None]
            rows.extend(_spacer_row(support, "test_ood", subset, spacers) for subset in subsets)
    return header, rows


def _spacer_row(
    support: GeometricSupport, split: MeasuredSplit, subset: Subset | None, spacers: Sequence[int]
) -> tuple[str, ...]:
    def shown(counts: Counts) -> str:
        if split == "test_id":
            return share(counts.seen_rotamers, counts.frames)
        return share(counts.contacts, counts.two_ended)

    def of_spacer(spacer: int) -> Counts:
        return support.total(
            lambda group: (group.split, group.spacer) == (split, spacer) and subset in (None, group.subset)
        )

    name = f"{support.config} {split}" + (f" {subset}" if subset else "")
    what = "rotamer in train" if split == "test_id" else "ends in contact"
    return name, what, shown(support.of_split(split, subset)), *(shown(of_spacer(spacer)) for spacer in spacers)
