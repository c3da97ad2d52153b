"""What a model must infer without having seen it, in words, from the columns of the certificate."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dataset_builders.certify.coverage import RADII, DataSetCertificate, TaskCertificate
from dataset_builders.certify.coverage_tables import by_part, one_for_each_task
from dataset_builders.certify.geometry.support import Counts, GeometricSupport
from dataset_builders.certify.geometry.support_tables import share

_SHOWN: Final = 6


def inferred_texts(certificate: DataSetCertificate) -> list[str]:
    """One paragraph for each task: what training does not show of its OOD molecules and of their geometries."""
    supports = {support.config: support for support in certificate.support}
    texts = []
    for each in one_for_each_task(certificate.tasks):
        support = next((supports[name] for name in each.config.split(", ") if name in supports), None)
        sentences = [*_sentences_of_parts(each), *(_sentences_of_geometry(support) if support else ())]
        texts.append(f"{each.config}: {' '.join(sentences)}")
    return texts


def _sentences_of_parts(certificate: TaskCertificate) -> Iterator[str]:
    n_ood = certificate.n_ood
    missing = list(_missing(certificate))
    if not missing:
        yield (
            f"Every part of its {n_ood} OOD molecules was shown: environments up to radius {RADII[-1]}, torsion types and "
            "pairs of heavy elements; training fixes their total energies."
        )
        return
    yield f"A model must infer, without having seen them, {_joined(missing)}."
    n_complete = n_ood - len(certificate.incomplete)
    if n_complete:
        yield f"Of {n_complete} of {n_ood} OOD molecules every part was shown."


def _missing(certificate: TaskCertificate) -> Iterator[str]:
    n_ood = certificate.n_ood
    for coverage in certificate.coverage:
        if coverage.uncovered:
            yield f"environments of radius {coverage.radius} of {_of(len(coverage.uncovered), n_ood)}"
    if certificate.unseen_torsions:
        yield f"torsion types of {_of_parts(certificate.unseen_torsions, n_ood)}"
    if certificate.unseen_pairs:
        yield f"pairs of heavy elements of {_of_parts(certificate.unseen_pairs, n_ood)}"
    if certificate.undetermined:
        yield f"total energies of {_of(len(certificate.undetermined), n_ood)}, which training leaves open"


def _of(count: int, n_ood: int) -> str:
    return f"all {n_ood} OOD molecules" if count == n_ood else f"{count} of {n_ood} OOD molecules"


def _of_parts(unseen: Mapping[str, Sequence[str]], n_ood: int) -> str:
    parts = list(by_part(unseen))
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return f"{_of(len(unseen), n_ood)} ({', '.join(parts[:_SHOWN])}{more})"


def _sentences_of_geometry(support: GeometricSupport) -> Iterator[str]:
    tested, unseen = support.of_split("test_id"), support.of_split("test_ood")
    if not unseen.frames:
        return
    compared = (
        ("a torsion angle that training does not show of its type", "unseen_angles", "frames"),
        ("two heavy atoms at a distance that training does not show", "unseen_pairs", "frames"),
    )
    found = [
        f"{share(getattr(unseen, part), getattr(unseen, whole))} of the OOD frames have {what} "
        f"(ID: {share(getattr(tested, part), getattr(tested, whole))})"
        for what, part, whole in compared
        if getattr(unseen, part)
    ]
    if found:
        yield f"{_joined(found)}."
    yield from _sentences_of_ends(support.of_split("train"), unseen)


def _sentences_of_ends(train: Counts, unseen: Counts) -> Iterator[str]:
    bonds = share(unseen.hydrogen_bonds, unseen.two_ended)
    if unseen.contacts and not train.contacts:
        bonded = f", and in {bonds} by a hydrogen bond" if unseen.hydrogen_bonds else ""
        yield f"In {share(unseen.contacts, unseen.two_ended)} of the OOD frames the two ends are in contact{bonded}; in training never."


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
