"""The coverage certificate as a table, with notes.

Configurations of a task at several levels of theory have the same molecules, so they share a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dataset_builders.certify.coverage import RADII, TaskCertificate

CERTIFICATE_HEADER: Final = (
    "config",
    "train molecules",
    "OOD molecules",
    "in both",
    *(f"radius {radius}" for radius in RADII),
    "total energy fixed",
    "torsion types",
    "element pairs",
    "all of these",
    "far/near",
    "divergence",
)


def certificate_rows(tasks: Sequence[TaskCertificate]) -> list[tuple[str, ...]]:
    """The certificates as table rows under `CERTIFICATE_HEADER`, one for each task."""
    return [
        (
            _label(names),
            str(each.n_train),
            str(each.n_ood),
            str(len(each.shared)),
            *(str(coverage) for coverage in each.coverage),
            *(
                f"{each.n_ood - len(without)}/{each.n_ood}"
                for without in (each.undetermined, each.unseen_torsions, each.unseen_pairs, each.incomplete)
            ),
            "-" if each.far is None else f"{len(each.far)}/{each.n_ood - len(each.far)}",
            f"{each.divergence:.2f}",
        )
        for names, each in one_for_each_task(tasks).items()
    ]


def certificate_notes(tasks: Sequence[TaskCertificate]) -> list[str]:
    """Details for the table: the molecules in both sets, and what training does not show of which molecule."""
    notes = []
    for each in one_for_each_task(tasks).values():
        if each.shared:
            notes.append(f"{each.config}, in training and OOD: {', '.join(each.shared)}")
        for coverage in each.coverage:
            if coverage.uncovered:
                notes.append(
                    f"{each.config}, not covered at radius {coverage.radius}: {_named(coverage.uncovered, each)}"
                )
        if each.undetermined:
            notes.append(f"{each.config}, total energy not determined by training: {_named(each.undetermined, each)}")
        for what, unseen in (("torsion types", each.unseen_torsions), ("element pairs", each.unseen_pairs)):
            if unseen:
                parts = (f"{part} ({', '.join(names)})" for part, names in by_part(unseen).items())
                notes.append(f"{each.config}, {what} not in training: {', '.join(parts)}")
    return notes


def one_for_each_task(tasks: Sequence[TaskCertificate]) -> dict[tuple[str, ...], TaskCertificate]:
    """Certificates without repetition: the first of those that differ only by the configuration, by all their names."""
    found: list[tuple[list[str], TaskCertificate]] = []
    for each in tasks:
        for names, other in found:
            if replace(other, config="") == replace(each, config=""):
                names.append(each.config)
                break
        else:
            found.append(([each.config], each))
    return {tuple(names): each for names, each in found}


def _label(names: Sequence[str]) -> str:
    """Such as `task2 (-pbe, -wb97x)`."""
    first, *others = names
    return first + (f" ({', '.join(other.removeprefix(first) for other in others)})" if others else "")


def by_part(unseen: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Ids of the molecules with each part, from the parts of each molecule; parts are sorted."""
    parts = sorted({part for found in unseen.values() for part in found})
    return {part: [name for name, found in unseen.items() if part in found] for part in parts}


def _named(ids: Sequence[str], certificate: TaskCertificate) -> str:
    return "all" if len(ids) == certificate.n_ood else ", ".join(ids)
