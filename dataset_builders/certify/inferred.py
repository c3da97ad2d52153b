"""What a model must infer without having seen it, in words, from the columns of the certificate."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from dataset_builders.certify.coverage import RADII, DataSetCertificate, TaskCertificate
from dataset_builders.certify.coverage_tables import by_part, one_for_each_task
from dataset_builders.certify.geometry.support import MEASURED_SPLITS, Counts, GeometricSupport
from dataset_builders.certify.geometry.support_tables import share
from dataset_builders.chemistry.conformations import CONTACT

_SHOWN: Final = 6


def inferred_texts(certificate: DataSetCertificate) -> list[str]:
    """One paragraph for each task: what training does not show of its OOD molecules and of their geometries."""
    supports = {support.config: support for support in certificate.support}
    texts = []
    for names, each in one_for_each_task(certificate.tasks).items():
        support = next((supports[name] for name in names if name in supports), None)
        sentences = [*_sentences_of_parts(each), *(_sentences_of_geometry(support) if support else ())]
        texts.append(f"{each.config}: {' '.join(sentences)}")
    return texts


def _sentences_of_parts(certificate: TaskCertificate) -> Iterator[str]:
    n_ood = certificate.n_ood
    missing = list(_missing(certificate))
    if not certificate.incomplete:
        yield (
            f"every part of its {n_ood} OOD molecules was shown: environments up to radius {RADII[-1]}, torsion types "
            "and pairs of heavy elements; training fixes their total energies."
        )
        return
    if missing:
        yield f"training never shows {_joined(missing)}: a model must infer them."
    if certificate.undetermined:
        yield f"Training leaves the total energies of {_of(len(certificate.undetermined), n_ood)} open."
    n_complete = n_ood - len(certificate.incomplete)
    if n_complete:
        yield f"Every part of the other {n_complete} was shown."


def _missing(certificate: TaskCertificate) -> Iterator[str]:
    """Each kind of parts that training does not show, with the number of OOD molecules that have some."""
    unseen: tuple[tuple[str, Collection[str], list[str]], ...] = (
        *((f"environments of radius {each.radius}", each.uncovered, []) for each in certificate.coverage),
        ("torsion types", certificate.unseen_torsions, list(by_part(certificate.unseen_torsions))),
        ("element pairs", certificate.unseen_pairs, list(by_part(certificate.unseen_pairs))),
    )
    is_first = True
    for what, molecules, parts in unseen:
        if molecules:
            number = _of(len(molecules), certificate.n_ood) if is_first else str(len(molecules))
            yield f"{what} of {number}" + (f" ({_shortened(parts)})" if parts else "")
            is_first = False


def _of(count: int, n_ood: int) -> str:
    return f"all {n_ood} OOD molecules" if count == n_ood else f"{count} of {n_ood} OOD molecules"


def _shortened(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return f"{', '.join(parts[:_SHOWN])}{more}"


def _sentences_of_geometry(support: GeometricSupport) -> Iterator[str]:
    train, tested, unseen = (support.of_split(split) for split in MEASURED_SPLITS)
    found = []
    for what, part in (("a torsion angle", "unseen_angles"), ("heavy atoms at a distance", "unseen_pairs")):
        if getattr(unseen, part):
            of_ood, of_id = (share(getattr(counts, part), counts.frames) for counts in (unseen, tested))
            found.append(f"{of_ood} have {what} that training does not show (ID: {of_id})")
    for what, part in (
        (f"have the two end fragments within {CONTACT:g} Å of each other", "contacts"),
        ("have a hydrogen bond between them", "hydrogen_bonds"),
    ):
        if getattr(unseen, part):
            found.append(f"{_share_of(unseen, part)} {what} (training: {_share_of(train, part)})")
    if found:
        yield f"Of the OOD frames, {_joined(found)}."


def _share_of(counts: Counts, part: str) -> str:
    return share(getattr(counts, part), counts.frames) if getattr(counts, part) else "none"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
