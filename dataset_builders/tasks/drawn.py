"""What is drawn in a task, and what stands there by design: which population an interval speaks for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dataset_builders.tasks.fragments import FragmentName
from dataset_builders.tasks.regions import Region, Task
from dataset_builders.tasks.words import word

ClusterKind = Literal["fragment", "molecule"]
"""What is drawn: fragments, or single molecules where a task has no two fragments that could be drawn."""

_PLAIN_END: Final = "H"


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn in a task.

    Attributes:
        kind: Fragments or molecules.
        by_molecule: What of each molecule is drawn, by its id: nothing where it is part of the design, two fragments
            where it is a pair of them.
    """

    kind: ClusterKind
    by_molecule: Mapping[str, tuple[str, ...]]

    def of(self, molecule_id: str) -> tuple[str, ...]:
        """What of a molecule is drawn.

        Of one that the task does not declare, as a data set that was put together by hand may hold, these are its ends
        other than H.
        """
        if molecule_id in self.by_molecule:
            return self.by_molecule[molecule_id]
        parts = molecule_id.split("-")
        if self.kind == "molecule" or len(parts) != 3:
            return (molecule_id,)
        return tuple(sorted({parts[0], parts[2]} - {_PLAIN_END}))


def drawn_of_task(task: Task) -> Drawn:
    """What is drawn in a task, from its declaration; single molecules where fewer than two fragments are."""
    fragments = drawn_fragments(task)
    if len({name for names in fragments.values() for name in names}) > 1:
        return Drawn("fragment", fragments)
    return Drawn("molecule", {molecule_id: (molecule_id,) for molecule_id in fragments})


def drawn_fragments(task: Task) -> dict[str, tuple[FragmentName, ...]]:
    """The fragments of each molecule of a task that stand for others which could have been chosen.

    A region chooses its left ends, and with them right ends that are the `same` or the `other` ones. Spacers, and a
    right end that is named, are the design. So `X-6-H` of chain extension has the one fragment X, `X-6-X` of
    duplication has it too, and `X-6-Y` of combination has two. Plain chains, with H at both ends, are where every task
    starts from: H is drawn only where an OOD region lists it among its fragments, as chain extension does.

    Returns:
        By molecule id, of training and OOD molecules: its drawn fragments, by name; none for a molecule of the design.
    """
    drawn = {name for region in task.ood for name in region.left}
    drawn |= {name for region in task.train for name in region.left if name != _PLAIN_END}
    found: dict[str, set[FragmentName]] = {}
    for region in (*task.train, *task.ood):
        for molecule_id, ends in _chosen_ends(region, task):
            found.setdefault(molecule_id, set()).update(ends & drawn)
    return {molecule_id: tuple(sorted(ends)) for molecule_id, ends in found.items()}


def _chosen_ends(region: Region, task: Task) -> Iterator[tuple[str, set[FragmentName]]]:
    """Each molecule of a region, and the ends that the region chooses."""
    for left in region.left:
        for spacer in region.spacers:
            for right in region.right_ends(left):
                chosen = {left} if region.right_is_named else {left, right}
                yield word(left, spacer, right, task.vocabulary).molecule_id, chosen
