"""Certifies a folder and writes its card."""

from pathlib import Path

from dataset_builders.card.dataset_card import card_facts, remove_card, write_card
from dataset_builders.certify.audit import CertifyReport, certify
from dataset_builders.core.errors import CertificateError
from dataset_builders.core.hub.names import DATASET_ID


def certify_and_describe(directory: Path) -> CertifyReport:
    """Certifies a data-set folder and writes its card.

    Args:
        directory: The folder.

    Returns:
        The report. A slice of an edition does not pass and gets no card.

    Raises:
        DataError: If a file is missing or corrupt.
        CertificateError: If the rows do not pass; the folder stays, without a card.
    """
    report = certify(directory)
    if report.ok:
        write_card(directory, card_facts(report, DATASET_ID))
        return report
    remove_card(directory)
    if not report.is_sound_slice:
        raise CertificateError(f"{directory} was built, but is not certified:\n{report.text()}")
    return report
