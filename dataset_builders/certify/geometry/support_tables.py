"""The geometric support as tables."""

from collections.abc import Iterator, Sequence
from typing import Final

from dataset_builders.certify.geometry.support import Counts, GeometricSupport, Group, MeasuredSplit
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

NOT_MEASURED: Final = "Geometric support was not measured (`--without-geometry`)."


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
    least = 10.0**-digits
    percent = 100.0 * part / whole
    if 0.0 < percent < least / 2.0:
        return f"<{least:g} %"
    if 100.0 - least / 2.0 <= percent < 100.0:
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
        return (
            share(counts.seen_rotamers, counts.frames)
            if split == "test_id"
            else share(counts.contacts, counts.two_ended)
        )

    def belongs(group: Group, spacer: int) -> bool:
        return (group.split, group.spacer) == (split, spacer) and subset in (None, group.subset)

    by_spacer = (support.total(lambda group, k=spacer: belongs(group, k)) for spacer in spacers)  # type: ignore[misc]
    name = f"{support.config} {split}" + (f" {subset}" if subset else "")
    what = "rotamer in train" if split == "test_id" else "ends in contact"
    return name, what, shown(support.of_split(split, subset)), *(shown(counts) for counts in by_spacer)
